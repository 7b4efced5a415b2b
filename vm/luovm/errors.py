# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The exception that the user sees as a message instead of a traceback."""


class UserError(Exception):
    """The text says what failed, on what, why, and what to do."""
