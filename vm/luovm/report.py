# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Prints KTAP as scenarios finish and a summary at the end, and writes a JUnit file."""

import os
import sys
import threading

from . import junit, ktap


class Report:
    def __init__(self, folder, count, out=None, status=None):
        self._folder = folder
        self._out = out or sys.stdout
        self._status = status or sys.stderr
        self._live = self._status.isatty() and not self._out.isatty()
        self._lock = threading.Lock()
        self._results = []
        self._count = count
        self._say(["KTAP version 1", f"1..{count}"])

    def _say(self, lines):
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()

    def add(self, result):
        with self._lock:
            self._results.append(result)
            lines = ktap.lines(result, len(self._results))
            lines[-1] += f" # {result.seconds:.1f} s" if result.seconds and "#" not in lines[-1] else ""
            self._say(lines)

    def seconds(self):
        """{name: seconds} of the scenarios that passed; one that failed may have ended early."""
        return {result.name: result.seconds for result in self._results if result.outcome == ktap.PASS}

    def finish(self):
        """Write the JUnit file. Returns (passed, failed, skipped), which count tests without subtests."""
        leaves = [leaf for result in self._results for leaf in result.leaves()]
        counts = tuple(sum(leaf.outcome == outcome for leaf in leaves)
                       for outcome in (ktap.PASS, ktap.FAIL, ktap.SKIP))
        with open(os.path.join(self._folder, "junit.xml"), "wb") as out:
            out.write(junit.document(self._results))
        self._say([f"# {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped",
                   f"# results: {self._folder}"])
        return counts
