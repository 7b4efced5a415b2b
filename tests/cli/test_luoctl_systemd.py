# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl and systemd: enable, disable, and what claim has to tell it. systemctl is a script."""

import json
import os
import unittest

from fakeluod import Error
from luoctltest import STATUS, LuoctlTest, entry

PARTS = [f"{os.environ[folder]}/{name}" for folder, name in (
    ("UNITDIR", "luod.service"), ("UNITDIR", "luo-harvest.service"), ("UNITDIR", "luo-pin.service"),
    ("GENERATORDIR", "luo-generator"), ("SHUTDOWNDIR", "luo-shutdown"),
    ("LIBEXECDIR", "luo/luo-harvest"), ("LIBEXECDIR", "luo/luo-restore"))]

ENABLED = """\
luod.service is enabled: it starts at every boot.
luo-harvest.service is enabled: it runs before a kexec.
"""
KEEPS = "systemctl kexec now keeps the fd stores of services with FileDescriptorStorePreserve=yes.\n"
DISABLED = """\
luo-harvest.service is disabled.
luod.service is disabled.
luod.service is stopped.
"""


class SystemdTest(LuoctlTest):
    def setUp(self):
        super().setUp()
        self.environment["PATH"] = os.path.join(self.root, "bin") + ":" + os.environ["PATH"]
        self.environment["LUO_MANAGER_VERSION"] = "257"
        script = self.file("/bin/systemctl", """#!/bin/sh
            [ "$1 $2" = "-q --no-ask-password" ] || exit 9
            shift 2
            echo "$*" >>"$FAKE_LOG"
            case " $FAKE_FAIL " in *" $1 "*) echo "systemctl: $1 failed" >&2; exit 1 ;; esac
            """)
        os.chmod(script, 0o755)
        for part in PARTS:
            self.file(part, "")


class Enable(SystemdTest):
    def test_enable(self):
        self.check(["enable"], ENABLED + "luod.service is started.\n" + KEEPS)
        self.assertEqual(self.logged(), ["enable luod.service luo-harvest.service",
                                         "start luod.service luo-pin.service"])

    def test_native(self):
        self.environment["LUO_MANAGER_VERSION"] = "262"
        self.check(["enable"], ENABLED + "luod.service is started.\nsystemd 262 hands over the fd "
                   "stores of services itself, luod what it holds.\n")

    def test_json(self):
        p = self.luoctl("enable", "--json")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertEqual(json.loads(p.stdout)["done"],
                         (ENABLED + "luod.service is started.\n" + KEEPS).splitlines())

    def test_kernel(self):
        for support, text in (
                ("off", "live update is switched off in this kernel: boot it with kho=on "
                        "liveupdate=on, until then nothing is kept"),
                ("none", "this kernel has no live update: until another one is booted, nothing "
                         "is kept")):
            self.environment["FAKE_SUPPORT"] = support
            self.check(["enable"], ENABLED + KEEPS, f"luoctl: {text}\n")
        self.assertNotIn("start luod.service", self.logged())

    def test_refused(self):
        del self.environment["LUO_MANAGER_VERSION"]
        self.environment["LUO_MANAGER_PID"] = str(os.getpid())
        self.environment["LUO_MANAGER_ADDRESS"] = "unix:path=/nonexistent"
        for verb in "enable", "disable":
            self.check([verb], code=1, stderr="luoctl: PID 1 is not systemd\nWithout systemd the "
                       "init script of each service uses luo-run, see luo(7).\n")
        self.environment["LUO_MANAGER_VERSION"] = "253"
        self.check(["enable"], code=1, stderr="luoctl: systemd 253 frees the fd store of a service "
                                              "that stops; 254 is needed\n")
        self.environment["LUO_MANAGER_VERSION"] = "257"
        self.environment["FAKE_USER"] = "1"
        for verb in "enable", "disable":
            self.check([verb], code=5, stderr="luoctl: only root can switch services on and off\n"
                                              "Try it as root.\n")
        self.assertEqual(self.logged(), [])

    def test_not_installed(self):
        os.unlink(self.root + PARTS[2])
        os.unlink(self.root + PARTS[5])
        self.check(["enable"], code=1, stderr=f"luoctl: {PARTS[2]} is not installed\n"
                                              f"luoctl: {PARTS[5]} is not installed\n")
        self.assertEqual(self.logged(), [])

    def test_systemctl_fails(self):
        self.environment["FAKE_FAIL"] = "enable"
        self.check(["enable"], code=1, stderr="systemctl: enable failed\nluoctl: cannot enable "
                   "luod.service and luo-harvest.service: systemctl has failed\n")
        self.environment["FAKE_FAIL"] = "start"
        self.check(["enable"], ENABLED, code=1, stderr="systemctl: start failed\nluoctl: cannot "
                   "start luod.service and luo-pin.service: systemctl has failed\n")
        os.unlink(self.root + "/bin/systemctl")
        self.environment["PATH"] = "/nonexistent"
        self.check(["enable"], code=1, stderr="luoctl: cannot run systemctl: No such file or "
                                              "directory\n")


class Disable(SystemdTest):
    CALLS = ["disable luo-harvest.service luod.service", "stop luo-harvest.service luo-pin.service luod.service luopin*.slice",
             "clean --what=fdstore luod.service", "daemon-reload"]

    def status(self, **more):
        self.luod.answers["io.luo.Status"] = {**STATUS, "stored": 0, "held": 0, "bytes": 0, **more}

    def test_disable(self):
        self.status()
        self.file("/run/luo/units", "")
        self.file("/run/luo/index.json", "")
        self.file("/var/lib/luo/shutdown.json", "")
        self.check(["disable"], DISABLED + "/run/luo is removed.\n/var/lib/luo is removed.\n")
        self.assertEqual(self.logged(), self.CALLS)
        self.assertFalse(os.path.exists(self.root + "/run/luo"))
        self.assertFalse(os.path.exists(self.root + "/var/lib/luo"))
        self.check(["disable"], DISABLED)

    def test_disable_unreadable(self):
        self.status(sessions=[{"name": "luod", "direction": "incoming", "state": "unreadable"}])
        said = "luoctl: luod holds 1 session of the previous kernel that it does not understand"
        self.check(["disable"], "", said + "\nluoctl status shows them. To free them: --force.\n", 1)
        self.assertEqual(self.logged(), [])
        self.check(["disable", "--force"], DISABLED, said + "; they are freed\n")

    def test_no_luod(self):
        self.luod.stop()
        self.check(["disable"], DISABLED)

    def test_holdings(self):
        self.status(held=2, stored=1, bytes=8192)
        said = "luoctl: luod has 3 fds (8.0 KiB) that their services have not taken"
        self.check(["disable"], code=1, stderr=said + "\nWithout luod they could not be had any "
                   "more. luoctl list shows them: start their services, or\nfree them with luoctl "
                   "drop, or with --force all of them here.\n")
        self.assertEqual(self.logged(), [])
        self.check(["disable", "--force"], DISABLED, said + "; they are freed\n")
        self.assertEqual(self.logged(), self.CALLS)

    def test_luod_does_not_answer(self):
        self.luod.answers["io.luo.Status"] = Error("io.luo.Failed", {"text": "no memory"})
        self.check(["disable"], code=1, stderr="luoctl: cannot tell what luod holds: no memory\n"
                   "To disable it nevertheless, and free all that it may hold: --force.\n")
        self.assertEqual(self.logged(), [])

    def test_failures(self):
        self.status()
        self.file("/run/luo/below/x", "")
        p = self.luoctl("disable")
        self.assertEqual((p.returncode, p.stdout), (1, DISABLED))
        self.assertIn("luoctl: cannot remove /run/luo: ", p.stderr)
        self.environment["FAKE_FAIL"] = "stop"
        self.check(["disable"], "".join(DISABLED.splitlines(True)[:2]), code=1,
                   stderr="systemctl: stop failed\nluoctl: cannot stop luod.service: systemctl has "
                          "failed\n")


class Claim(SystemdTest):
    LIST = """\
UNIT       NAME  STATE   KIND      SIZE  SEALS   AGE  NOTE
b.service  x     stored  memfd  4.0 KiB  -      3min  -

1 fd of 1 unit, 4.0 KiB
"""

    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.Claim"] = {"entries": [entry("b.service", "x")]}

    def test_told(self):
        self.check(["claim", "a.service", "--unit", "b.service"], self.LIST + "systemd was told "
                   "(daemon-reload): b.service gets it at its next start.\n")
        self.assertEqual(self.logged(), ["daemon-reload"])
        json.loads(self.luoctl("claim", "a.service", "--unit", "b.service", "--json").stdout)

    def test_fails(self):
        self.environment["FAKE_FAIL"] = "daemon-reload"
        self.check(["claim", "a.service", "--unit", "b.service"], self.LIST,
                   "systemctl: daemon-reload failed\nluoctl: systemd does not know it yet: run "
                   "systemctl daemon-reload, so that b.service gets it at its next start\n")

    def test_not_needed(self):
        self.check(["claim", "b.service"], self.LIST)
        self.check(["claim", "a.service", "--unit", "b"], self.LIST)
        self.environment["LUO_MANAGER_VERSION"] = "261"
        self.check(["claim", "a.service", "--unit", "b.service"], self.LIST)
        self.assertEqual(self.logged(), [])


if __name__ == "__main__":
    unittest.main()
