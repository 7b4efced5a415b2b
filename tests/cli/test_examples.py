# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The programs of examples/, with luod, luo-run and luoctl as they are."""

import os
import shutil
import unittest

from examplestest import EXAMPLES, ExamplesTest, program

# systemd-notify --fd=, for a host whose own is older than 254: the same two messages.
NOTIFY = """#!/usr/bin/env python3
import array, os, socket, sys
values = dict(a[2:].split("=", 1) for a in sys.argv[1:])
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
read, write = os.pipe()
for text, fd in (("FDSTORE=1\\nFDNAME=" + values["fdname"], int(values["fd"])), ("BARRIER=1", write)):
    to.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))], 0,
               os.environ["NOTIFY_SOCKET"])
os.close(write)
os.read(read, 1)
"""


class Examples(ExamplesTest):
    def numbers(self, *command):
        return [int(line) for line in self.output(*command).split()]

    def test_counter(self):
        counter = ["luo-run", "--unit", "counter", "--required", "--",
                   program("counter")]
        self.start_luod()
        self.assertEqual(self.numbers(*counter, "3"), [1, 2, 3])
        self.assertEqual(self.numbers(*counter, "2"), [4, 5])
        self.kill_luod()
        self.assertEqual(self.numbers("luo-run", "--restart-safe", *counter[1:], "1"), [6])
        p = self.run_it("luoctl", "list", "counter", "--no-legend")
        self.assertEqual(p.stdout.split()[:4], ["counter", "counter", "stored", "memfd"])
        self.assertEqual(self.run_it("luoctl", "drop", "counter", "--yes").returncode, 0)
        self.assertEqual(self.numbers(*counter, "1"), [1])

    def test_counter_without_luod(self):
        p = self.run_it(program("counter"), "2")
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "1\n2\n", ""))

    def test_shell_counter(self):
        counter = ["luo-run", "--unit", "counter.sh", "--",
                   os.path.join(EXAMPLES, "counter.sh")]
        self.start_luod()
        self.assertEqual(self.numbers(*counter, "3"), [1, 2, 3])
        self.assertEqual(self.numbers(*counter, "2"), [4, 5])
        p = self.run_it("luoctl", "dump", "counter.sh", "count")
        self.assertEqual(p.stdout, "00000000000000000005\n")

    def test_plain(self):
        """Without libluo, and in turns with the one that has it."""
        programs = [["luo-run", "--unit", "counter", "--",
                     program(name)]
                    for name in ("plain", "counter")]
        self.start_luod()
        self.assertEqual(self.numbers(*programs[0], "3"), [1, 2, 3])
        self.assertEqual(self.numbers(*programs[1], "2"), [4, 5])
        self.assertEqual(self.numbers(*programs[0], "1"), [6])

    def add_systemd_notify(self):
        text = self.run_it("systemd-notify", "--help").stdout \
            if shutil.which("systemd-notify") else ""
        if "--fd=" in text:
            return
        path = os.path.join(self.directory, "systemd-notify")
        with open(path, "w", encoding="ascii") as f:
            f.write(NOTIFY)
        os.chmod(path, 0o755)
        self.environment["PATH"] = self.directory + ":" + self.environment["PATH"]

    def test_shell_notify(self):
        counter = ["luo-run", "--unit", "notify.sh", "--",
                   os.path.join(EXAMPLES, "notify.sh")]
        self.add_systemd_notify()
        self.start_luod()
        self.assertEqual(self.numbers(*counter, "3"), [1, 2, 3])
        self.assertEqual(self.numbers(*counter, "2"), [4, 5])
        p = self.run_it("luoctl", "list", "notify.sh", "--no-legend")
        self.assertEqual(p.stdout.split()[:4], ["notify.sh", "count", "stored", "unlinked"])

    def test_guide(self):
        self.check_quotes("services.md", ["counter.c", "plain.c", "notify.sh"])

    def test_session(self):
        session = program("session")
        p = self.run_it(session)
        self.assertEqual((p.returncode, p.stderr), (
            2, "Usage: luo-example-session save NAME TEXT | restore NAME\n"))
        if os.path.exists("/dev/liveupdate"):
            self.skipTest("this machine has live update; the VM scenarios go on from here")
        p = self.run_it(session, "restore", "example")
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stderr, "^restore: (this kernel has no live update|live update is "
                                   "switched off; boot with kho=on liveupdate=on)\n$")


if __name__ == "__main__":
    unittest.main()
