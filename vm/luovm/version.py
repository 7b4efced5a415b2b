# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The version of luo-vm, which is the version in the meson.build of the project.

An installation has it in a file that meson writes. A checkout has no such file and reads meson.build.
"""

import argparse
import os
import re

from . import files
from .errors import UserError

_DATA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(data=_DATA):
    """The version; `data` is the folder that luo-vm runs from."""
    installed = os.path.join(data, "version")
    if os.path.exists(installed):
        return files.read(installed).decode().strip()
    project = os.path.join(os.path.dirname(data), "meson.build")
    found = re.search(r"^project\([^)]*?\bversion: *'([^']+)'", files.read(project).decode(), re.MULTILINE)
    if not found:
        raise UserError(f"{project} names no version of the project")
    return found[1]


class Action(argparse.Action):
    """--version: reads the version only when it is asked for."""

    def __init__(self, option_strings, dest=argparse.SUPPRESS):
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser, namespace, values, option_string=None):
        print(f"luo-vm {read()}")
        parser.exit()
