# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Separates the two streams of the second serial port: messages of the harness in the guest, and output of stages."""

import json

_START, _END = 0x1E, 0x1F
# A message without an end must not use up the memory of the host.
_LIMIT = 64 * 1024


class Demultiplexer:
    """Takes bytes and returns ("message", dict) and ("line", str) in the order in which the guest sent them."""

    def __init__(self):
        self._line = bytearray()
        self._message = None

    def feed(self, data):
        events = []
        for byte in data:
            if self._message is not None:
                if byte == _END:
                    events.append(_parse(bytes(self._message)))
                    # The line break after it is part of the message.
                    self._message = None
                    self._skip_newline = True
                    continue
                if byte == _START:
                    # A reset or a kexec interrupted a message. The next message must not be lost too.
                    self._message = bytearray()
                    continue
                self._message.append(byte)
                if len(self._message) > _LIMIT:
                    events.append(("message", {"type": "error", "text": "a message from the guest has no end"}))
                    self._message = None
                continue
            if self._skip_newline and byte in b"\r\n":
                # A port that is not set up yet sends a carriage return, too.
                self._skip_newline = byte == 0x0D
                continue
            self._skip_newline = False
            if byte == _START:
                self._message = bytearray()
            elif byte == 0x0A:
                events.append(("line", self._take_line()))
            else:
                self._line.append(byte)
                if len(self._line) > _LIMIT:
                    events.append(("line", self._take_line()))
        return events

    def flush(self):
        """The last line, if it has no line break at its end."""
        return [("line", self._take_line())] if self._line else []

    _skip_newline = False

    def _take_line(self):
        text = self._line.decode("utf-8", "replace").rstrip("\r")
        self._line.clear()
        return text


def _parse(data):
    try:
        message = json.loads(data)
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            return ("message", message)
    except ValueError:
        pass
    return ("message", {"type": "error", "text": f"unreadable message from the guest: {data[:200]!r}"})
