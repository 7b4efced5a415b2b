# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Records a scenario: a log for each boot, a timeline, and the files that the guest sent."""

import base64
import binascii
import json
import os
import time


class Recorder:
    """Writes to one folder. Times are seconds of the monotonic clock of the host since `start`, because the clocks
    of a guest restart at each kexec."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.start = time.monotonic()
        self.boot = 0
        self._events = []
        self._log = None
        self._files = {}

    def now(self):
        return time.monotonic() - self.start

    def event(self, kind, /, **details):
        self._events.append({"time": round(self.now(), 6), "boot": self.boot, "type": kind, **details})

    def log_path(self, boot=None):
        return os.path.join(self.folder, f"boot{boot or self.boot}.log")

    def next_boot(self):
        if self._log:
            self._log.close()
        self.boot += 1
        self._log = open(self.log_path(), "w", encoding="utf-8")

    def log(self, line):
        if self._log is None:
            self.next_boot()
        self._log.write(line + "\n")
        self._log.flush()

    def file_part(self, message):
        """Process one message of a file transfer. Returns an error message, or None."""
        name = str(message.get("name", ""))
        if not name or ".." in name.split("/") or name.startswith("/"):
            return f"the guest sent a file with the invalid name {name!r}"
        if message.get("part") == "first":
            self._files[name] = []
        elif message.get("part") == "last":
            self._save(name, b"".join(self._files.pop(name, [])))
        else:
            try:
                self._files.setdefault(name, []).append(base64.b64decode(message.get("data", ""), validate=True))
            except (binascii.Error, TypeError):
                return f"the guest sent invalid data for the file {name}"
        return None

    def _save(self, name, data):
        place = os.path.join(self.folder, "files", name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as out:
            out.write(data)
        self.event("file", name=name, bytes=len(data))

    def close(self):
        if self._log:
            self._log.close()
        with open(os.path.join(self.folder, "events.json"), "w", encoding="utf-8") as out:
            json.dump({"start_monotonic": self.start, "events": self._events}, out, indent=1)
            out.write("\n")
