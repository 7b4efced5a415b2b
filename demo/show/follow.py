# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Follows a running scenario, and prints a line for each phase with the time that it took."""

import os
import re
import time

from . import style

_WIDTH = 60
_RELEASE = re.compile(r"Linux version (\S+)")
# A stage prints the line itself. A line from a service starts with the time and the name of the journal.
_MESSAGE = re.compile(r"^(?:\[[ .0-9]+\] [^ ]+: )?demo-(phase|failure) (.*)")


class _Tail:
    """New lines of a file that may not exist yet."""

    def __init__(self, path):
        self._path = path
        self._file = None
        self._rest = ""

    def lines(self):
        if self._file is None:
            if not os.path.exists(self._path):
                return []
            self._file = open(self._path, encoding="utf-8", errors="replace")
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        return lines

    def close(self):
        if self._file:
            self._file.close()


class Follower:
    """Call poll() regularly, and close() at the end. `failure` is the failure that the guest reported."""

    def __init__(self, folder, plan, out, clock=time.monotonic):
        self._plan = plan
        self._tails = {boot: _Tail(os.path.join(folder, f"boot{boot}.log")) for boot in (1, 2)}
        self._out = out
        self._style = style.Style(out)
        self._live = out.isatty()
        self._clock = clock
        self._label = None
        self._blackout = False
        self._phase = None
        self.failure = None
        self._enter(plan.find(0, "prepare"))

    def poll(self):
        for boot, tail in self._tails.items():
            for line in tail.lines():
                self._line(boot, line)
        if self._live and self._label:
            self._show(final=False)

    def _line(self, boot, line):
        release, message = _RELEASE.search(line), _MESSAGE.match(line.rstrip())
        if release:
            self._enter(self._plan.find(boot, "boot"), release[1])
        elif message and message[1] == "phase":
            self._enter(self._plan.find(boot, message[2]))
        elif message:
            self.failure = message[2]
        else:
            phase = self._plan.of_line(boot, line.rstrip(), self._phase)
            if phase:
                self._enter(phase)

    def _enter(self, phase, release=""):
        self._finish()
        if phase is None:
            return
        self._phase = phase
        if phase.blackout and not self._blackout:
            self._write(self._style.paint("  the blackout begins", "bold", "yellow") + "\n")
        elif self._blackout and not phase.blackout:
            self._write(self._style.paint("  the blackout is over", "bold", "green") + "\n")
        self._blackout = phase.blackout
        self._label = ("    " if phase.blackout else "  ") + phase.text.format(release=release)
        self._since = self._clock()
        self._show(final=False)

    def _finish(self):
        if self._label:
            self._show(final=True)
            self._label = None

    def _show(self, final):
        took = f"{self._clock() - self._since:7.1f} s"
        text = f"{self._label:{_WIDTH}}"
        if self._live:
            self._write(f"\r\033[K{text}{took if final else self._style.paint(took, 'dim')}" + ("\n" if final else ""))
        elif final:
            self._write(f"{text}{took}\n")

    def _write(self, text):
        self._out.write(text)
        self._out.flush()

    def close(self):
        self.poll()
        if self._label:
            self._write("\n" if self._live else f"{self._label}\n")
            self._label = None
        for tail in self._tails.values():
            tail.close()
