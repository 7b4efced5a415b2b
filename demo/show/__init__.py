# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The host side of the demo: follows the scenario, collects and checks its results, and prints the report."""
