# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl on a machine with systemd: what PID 1 has in the fd stores of its services."""

import json
import os
import subprocess
import unittest

from fakeluod import Error
from luoctltest import STATUS, LuoctlTest, entry

FAKE_MANAGER = os.environ["FAKE_MANAGER"]


class SystemdTest(LuoctlTest):
    def start_manager(self, *words, version="257"):
        path = os.path.join(self.root, "private")
        # pylint: disable=consider-using-with
        manager = subprocess.Popen([FAKE_MANAGER, path, *words], stdout=subprocess.PIPE)
        self.addCleanup(manager.stdout.close)
        self.addCleanup(manager.wait)
        self.addCleanup(manager.kill)
        self.assertEqual(manager.stdout.readline(), b"ready\n")
        self.environment["LUO_MANAGER_VERSION"] = version
        self.environment["LUO_MANAGER_ADDRESS"] = f"unix:path={path}"
        self.environment["LUO_MANAGER_PID"] = str(manager.pid)


UNITS = ["unit=b.service", "preserve=no", "fd=x,memfd,8192", "unit=a.service", "fd=state,memfd",
         "fd=conn,socket", "unit=luod.service", "fd=m,memfd"]

TABLE = """\
UNIT          NAME   KIND       SIZE  SURVIVES  WHY
a.service     state  memfd   4.0 KiB  yes       -
a.service     conn   socket        -  no        sockets cannot be preserved
b.service     x      memfd   8.0 KiB  no        FileDescriptorStorePreserve=no
luod.service  m      memfd   4.0 KiB  no        luod's own copy of what it holds

4 fds of 3 units; 1 would survive, 4.0 KiB.
"""

HINT = """\
b.service: FileDescriptorStorePreserve=yes in its [Service] keeps its store (systemctl edit b.service).
"""


class Harvest(SystemdTest):
    def test_dry_run(self):
        self.start_manager(*UNITS)
        self.check(["harvest", "--dry-run"], TABLE + HINT)
        self.assertEqual(self.luod.calls, [])

    def test_without_dry_run(self):
        self.start_manager(*UNITS)
        self.check(["harvest"], TABLE + HINT, code=2,
                   stderr="luoctl: luo-harvest.service does it, at the kexec; say --dry-run to see "
                          "this\n")

    def test_native(self):
        self.start_manager(*UNITS, version="262")
        self.check(["harvest", "--dry-run"], TABLE + "systemd 262 does it itself.\n" + HINT)

    def test_json(self):
        self.start_manager(*UNITS)
        p = self.luoctl("harvest", "--dry-run", "--json")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        o = json.loads(p.stdout)
        self.assertEqual((o["managerVersion"], o["native"]), (257, False))
        self.assertEqual(o["entries"][0], {"unit": "a.service", "name": "state", "kind": "memfd",
                                           "survives": True, "size": 4096})
        self.assertEqual(o["entries"][2]["hint"], "FileDescriptorStorePreserve=yes")

    def test_nothing(self):
        self.start_manager("unit=a.service")
        self.check(["harvest", "--dry-run"], "No service has anything in its fd store.\n")

    def test_no_systemd(self):
        self.check(["harvest", "--dry-run"], code=1, stderr="luoctl: PID 1 is not systemd, there is "
                                                            "nothing to harvest\n")

    def test_no_answer(self):
        self.start_manager(*UNITS, "hangup=ListUnitsByPatterns")
        p = self.luoctl("harvest", "--dry-run")
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertTrue(p.stderr.startswith("luoctl: cannot ask PID 1: "))


class List(SystemdTest):
    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.ListEntries"] = {"entries": [entry("z.service", "x")]}

    def test_list(self):
        self.start_manager(*UNITS)
        self.check(["list"], """\
UNIT       NAME   STATE   WHERE    KIND       SIZE  SEALS   AGE  NOTE
z.service  x      stored  luod     memfd   4.0 KiB  -      3min  -
a.service  state  stored  systemd  memfd   4.0 KiB  -         -  -
a.service  conn   stored  systemd  socket        -  -         -  sockets cannot be preserved
b.service  x      stored  systemd  memfd   8.0 KiB  -         -  FileDescriptorStorePreserve=no

4 fds of 3 units, 16 KiB
""")

    def test_states(self):
        self.start_manager(*UNITS)
        self.luod.answers["io.luo.ListEntries"] = {"entries": []}
        self.check(["list", "--state", "held"], "No fds.\n")

    def test_one_unit(self):
        self.start_manager(*UNITS)
        self.luod.answers["io.luo.ListEntries"] = {"entries": []}
        p = self.luoctl("list", "--json", "b.service")
        entries = json.loads(p.stdout)["entries"]
        self.assertEqual(len(entries), 1)
        self.assertEqual(entries[0]["where"], "systemd")
        self.assertEqual(entries[0]["size"], 8192)

    def test_no_stores(self):
        self.start_manager("unit=a.service")
        self.check(["list"], """\
UNIT       NAME  STATE   KIND      SIZE  SEALS   AGE  NOTE
z.service  x     stored  memfd  4.0 KiB  -      3min  -

1 fd of 1 unit, 4.0 KiB
""")

    def test_show(self):
        self.start_manager(*UNITS)
        self.luod.answers["io.luo.ListUnits"] = {"units": []}
        p = self.luoctl("show", "a.service")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertTrue(p.stdout.startswith(
            "     Unit: a.service\n    State: unknown to luod; its store is systemd's\n\n"),
            p.stdout)
        self.assertIn("State: stored, in systemd\n", p.stdout)
        for method in ("io.luo.ListUnits", "io.luo.ListEntries"):
            self.luod.answers[method] = Error("io.luo.NoSuchUnit", {"unit": "?"})
        self.assertEqual(self.luoctl("show", "a.service").stdout, p.stdout)
        self.assertIn("a.service  state  stored  systemd", self.luoctl("list", "a.service").stdout)
        self.check(["list", "nothing.service"], code=4,
                   stderr="luoctl: cannot list the fds: luod does not know the unit \"?\"\n")
        self.luod.answers["io.luo.ListUnits"] = {"units": []}
        self.luod.answers["io.luo.ListEntries"] = {"entries": []}
        self.check(["show", "nothing.service"], code=4,
                   stderr="luoctl: cannot show the unit: luod does not know the unit \"nothing.service\"\n")


    def test_dump(self):
        self.start_manager("unit=a.service", "fd=state,memfd,5", "fd=state,memfd,7", "fd=c,socket")
        for error in "NoSuchUnit", "NoSuchEntry":
            self.luod.answers["io.luo.OpenEntry"] = Error("io.luo." + error, {
                "unit": "a.service", "name": "state", "text": "luod has no such thing"})
            self.check(["dump", "a.service", "state"], "\0" * 5)
            self.check(["dump", "a.service", "state", "--nth", "1"], "\0" * 7)
            self.check(["dump", "a.service", "other"], code=4,
                       stderr="luoctl: cannot open the fd: luod has no such thing\n")
            self.check(["dump", "b.service", "state"], code=4,
                       stderr="luoctl: cannot open the fd: luod has no such thing\n")
        self.check(["dump", "a.service", "state", "--socket", "/nowhere"], "\0" * 5)
        self.assertEqual(self.luoctl("dump", "a.service", "x", "--socket", "/nowhere").returncode, 3)


class Check(SystemdTest):
    def checks(self, *words, version="257"):
        self.luod.answers["io.luo.Status"] = STATUS
        self.luod.answers["io.luo.ListEntries"] = {"entries": []}
        self.start_manager(*words, version=version)
        return [line for line in self.luoctl("check").stdout.splitlines() if "systemd:" in line]

    def test_enabled(self):
        self.assertEqual(
            self.checks("unit=luod.service", "unit=luo-harvest.service", version="262"),
            ["ok    systemd: version 262 hands its fd stores over itself",
             "ok    systemd: luod.service is enabled",
             "ok    systemd: luo-harvest.service is enabled"])

    def test_disabled(self):
        lines = self.checks("unit=luod.service", "file=disabled")
        self.assertIn("warn  systemd: luod.service is disabled: the services' fd stores will be "
                      "lost", lines)
        self.assertIn("warn  systemd: luo-harvest.service is not there: the services' fd stores "
                      "will be lost", lines)

    def test_too_old(self):
        self.assertEqual(self.checks(version="252"), [
            "warn  systemd: version 252 frees the fd store of a service that stops, from 254 on one "
            "can be kept"])


if __name__ == "__main__":
    unittest.main()
