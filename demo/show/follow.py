# SPDX-License-Identifier: GPL-2.0-or-later
"""Following a running scenario: a line for each phase, with the time that it took."""

import os
import re
import time

from . import style

_WIDTH = 60
_RELEASE = re.compile(r"Linux version (\S+)")
# From a program of luo-vm's as it is, from a service with the time and the name of the journal.
_SAID = re.compile(r"^(?:\[[ .0-9]+\] [^ ]+: )?demo-(phase|failure) (.*)")


class _Tail:
    """New lines of a file that may not be there yet."""

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
    """Call poll() now and then, and close() at the end. `failure` is what the guest complained of."""

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
        release, said = _RELEASE.search(line), _SAID.match(line.rstrip())
        if release:
            self._enter(self._plan.find(boot, "boot"), release[1])
        elif said and said[1] == "phase":
            self._enter(self._plan.find(boot, said[2]))
        elif said:
            self.failure = said[2]
        else:
            begins = self._plan.of_line(boot, line.rstrip(), self._phase)
            if begins:
                self._enter(begins)

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
