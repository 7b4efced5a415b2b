# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running the programs of a long step: output into a log, and an error that says where it is."""

import subprocess

from .errors import UserError


def _tail(path, count=15):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join("  " + line for line in file.readlines()[-count:]).rstrip()


def run(arguments, log, what, advice, on_line=None, **options):
    """Run a program to its end, every line of its output in the file `log` (appended)."""
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
            raise UserError(f"{what} failed: {arguments[0]} is not installed on this machine.\n{advice}") from None
    if status:
        raise UserError(f"{what} failed: {arguments[0]} ended with status {status}. It said last:\n{_tail(log)}\n"
                        f"The whole log: {log}\n{advice}")
