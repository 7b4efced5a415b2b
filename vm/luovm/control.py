# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking the second serial port apart: messages of the guest's harness, and the output of stages."""

import json

_START, _END = 0x1E, 0x1F
# A guest that never ends a message must not eat the host's memory.
_LIMIT = 64 * 1024


class Demultiplexer:
    """Feed bytes, get ("message", dict) and ("line", str) in the order in which they were sent."""

    def __init__(self):
        self._line = bytearray()
        self._message = None

    def feed(self, data):
        events = []
        for byte in data:
            if self._message is not None:
                if byte == _END:
                    events.append(_parse(bytes(self._message)))
                    # The line break that follows belongs to the message.
                    self._message = None
                    self._skip_newline = True
                    continue
                if byte == _START:
                    # The guest was reset or kexeced in the middle of one; the next must not be lost too.
                    self._message = bytearray()
                    continue
                self._message.append(byte)
                if len(self._message) > _LIMIT:
                    events.append(("message", {"type": "error", "text": "a message without an end"}))
                    self._message = None
                continue
            if self._skip_newline and byte in b"\r\n":
                # A carriage return comes from a port that nobody has set up yet.
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
        """What was printed without a line break at its end, if anything."""
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
