# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Shows the progress of a long step, and the remaining time."""

import sys
import time

_LIVE_INTERVAL = 0.2
# For the log of a CI.
_LOG_INTERVAL = 30.0


def duration(seconds):
    """"8 s", "2 min 05 s"."""
    seconds = int(round(seconds))
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02} s"


class Progress:
    """A step with a known or estimated total. Use it as a context manager."""

    def __init__(self, label, total=None, out=None, clock=time.monotonic):
        self._label = label
        self._total = total
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._clock = clock
        self._start = self._last = clock()

    def __enter__(self):
        self._show(self._label + " ...", end="" if self._live else "\n")
        return self

    def __exit__(self, kind, value, traceback):
        took = duration(self._clock() - self._start)
        self._show(f"{self._label}: {'failed after' if kind else 'done in'} {took}", end="\n")

    def update(self, done):
        now = self._clock()
        if now - self._last < (_LIVE_INTERVAL if self._live else _LOG_INTERVAL):
            return
        self._last = now
        elapsed = now - self._start
        text = f"{self._label}: {duration(elapsed)}"
        if self._total:
            # An estimated total may be too low.
            share = min(done / self._total, 0.99)
            text = f"{self._label}: {share:4.0%}"
            if share > 0.02:
                text += f", about {duration(elapsed * (1 - share) / share)} left"
        self._show(text, end="" if self._live else "\n")

    def _show(self, text, end):
        if self._live:
            text = "\r\033[K" + text
        self._out.write(text + end)
        self._out.flush()
