# SPDX-License-Identifier: GPL-2.0-or-later
"""The host side of the demo: follows the scenario, collects and checks its results, and prints the report."""
