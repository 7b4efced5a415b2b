# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Colors and box characters on a terminal that supports them, plain ASCII elsewhere."""

_COLORS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_UTF8 = {"rule": "─", "bar": "█", "half": "▌", "good": "✔", "bad": "✘", "lost": "–", "arrow": "→", "dots": "·"}
_ASCII = {"rule": "-", "bar": "#", "half": "#", "good": "ok", "bad": "BAD", "lost": "--", "arrow": "->", "dots": "."}


class Style:
    def __init__(self, out):
        tty = out.isatty()
        utf8 = (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"
        self.colors = tty
        self._marks = _UTF8 if tty and utf8 else _ASCII

    def mark(self, name):
        return self._marks[name]

    def paint(self, text, *names):
        if not self.colors:
            return text
        return f"\033[{';'.join(_COLORS[name] for name in names)}m{text}\033[0m"


def size(count):
    """"52 B", "64 KiB", "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def seconds(value):
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
