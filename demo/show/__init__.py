# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of the demo: runs the scenario, follows it, judges it, and shows what happened."""
