# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Runs the programs of a long step. Their output goes into a log, which an error names."""

import subprocess

from .errors import UserError


def _tail(path, count=15):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join("  " + line for line in file.readlines()[-count:]).rstrip()


def run(arguments, log, what, advice, on_line=None, **options):
    """Run a program, and append its output to the file `log`."""
    with open(log, "a", encoding="utf-8") as out:
        out.write("+ " + " ".join(arguments) + "\n")
        out.flush()
        try:
            with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL, **options) as process:
                for line in process.stdout:
                    out.write(line)
                    if on_line:
                        on_line(line)
                status = process.wait()
        except FileNotFoundError:
            raise UserError(f"{what} failed: {arguments[0]} is not installed.\n{advice}") from None
    if status:
        raise UserError(f"{what} failed: {arguments[0]} ended with status {status}. Its last output:\n{_tail(log)}\n"
                        f"Log: {log}\n{advice}")
