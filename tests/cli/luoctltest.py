# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""What the tests of luoctl share: a luod with things in it, and luoctl on a machine of paper."""

import os
import pty
import shutil
import subprocess
import tempfile
import time
import unittest

from fakeluod import FakeLuod

LUOCTL = os.environ["LUOCTL"]
SRCDIR = os.environ["SRCDIR"]


def entry(unit, name, **more):
    e = {"unit": unit, "name": name, "state": "stored", "where": "luod", "type": "fd",
         "kind": "memfd", "preservable": True, "reason": None, "fileName": "file", "size": 4096,
         "allocated": 4096, "seals": [], "access": "rw", "append": False, "mode": 0o600,
         "uid": 0, "gid": 0, "inode": 17, "alias": False, "poll": True,
         "storedAt": int((time.time() - 185) * 1e6), "sessionName": None, "fileDescriptor": None}
    e.update(more)
    return e


def socket_entry(unit, name, **more):
    return entry(unit, name, kind="socket", preservable=False, fileName=None, size=None,
                 allocated=None, seals=None, mode=None, reason="a socket cannot be preserved",
                 **more)


STATUS = {
    "version": "0.1.0", "pid": 42, "kernel": "7.2.13", "startedAt": 0, "restarts": 0,
    "keeper": "supervise", "liveUpdate": "on", "sessionName": "luod", "commit": "none",
    "stale": False, "units": 2, "stored": 3, "held": 1, "lost": 0, "bytes": 8192,
    "fdstoreMaxTotal": 65536, "sessions": [], "kexecCount": 2, "shutdownStart": None,
    "shutdownFinish": None, "problems": [],
}


class LuoctlTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.luod = FakeLuod()
        self.addCleanup(self.luod.__exit__)
        self.root = tempfile.mkdtemp(prefix="luo-cli-")
        self.addCleanup(shutil.rmtree, self.root)
        self.log = os.path.join(self.root, "log")
        self.environment = {
            "PATH": os.environ["PATH"], "LUO_RUNTIME_DIR": self.luod.directory, "TZ": "UTC",
            "FAKE_ROOT": self.root, "FAKE_LOG": self.log,
            # Whatever runs on the machine of the tests.
            "LUO_MANAGER_VERSION": "none",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def file(self, path, content):
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return full

    def logged(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            return f.read().splitlines()

    def luoctl(self, *arguments, stdin=None, text=True):
        return subprocess.run([LUOCTL, *arguments], env=self.environment, text=text,
                              input=stdin, capture_output=True, timeout=60, check=False)

    def luoctl_as(self, user, *arguments):
        """As somebody else, which takes root."""
        return subprocess.run([LUOCTL, *arguments], env=self.environment, text=True, user=user,
                              group=user, extra_groups=[], capture_output=True, timeout=60,
                              check=False)

    def on_terminal(self, *arguments, answer=None):
        """Standard input and output are a terminal. Exit code, and what is seen on it."""
        master, slave = pty.openpty()
        p = subprocess.Popen([LUOCTL, *arguments], env=self.environment, stdin=slave,
                             stdout=slave, stderr=slave)
        os.close(slave)
        if answer is not None:
            os.write(master, answer.encode())
        seen = b""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
        os.close(master)
        return p.wait(), seen.decode().replace("\r\n", "\n")

    def check(self, arguments, stdout="", stderr="", code=0, **more):
        p = self.luoctl(*arguments, **more)
        self.assertEqual(p.stderr, stderr)
        if stdout is not None:
            self.assertEqual(p.stdout, stdout)
        self.assertEqual(p.returncode, code)
