# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one exception that reaches the user as a message instead of a traceback."""


class UserError(Exception):
    """Something the user can act on. The text says what was tried, why it failed, and what to do."""
