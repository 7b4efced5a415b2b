# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luo-harvest and luo-shutdown: what they do to a PID 1 and a luod of paper, and what they say."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from fakeluod import Error, FakeLuod, Hangup

HARVEST = os.environ["LUO_HARVEST"]
SHUTDOWN = os.environ["LUO_SHUTDOWN"]
FAKE_MANAGER = os.environ["FAKE_MANAGER"]

KEXEC = ["state=stopping", "job=7", "start=1000:20"]


class ShutdownTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.luod = FakeLuod()
        self.addCleanup(self.luod.__exit__)
        directory = tempfile.TemporaryDirectory(prefix="luo-shutdown-")
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        self.console = os.path.join(self.root, "console")
        self.log = os.path.join(self.root, "log")
        self.manager = None
        self.environment = {
            "PATH": os.environ["PATH"], "LUO_RUNTIME_DIR": self.luod.directory,
            "LUO_STATE_DIR": os.path.join(self.root, "var"), "LUO_CONSOLE": self.console,
            "LUO_MANAGER_VERSION": "257", "FAKE_LOG": self.log,
            "LUO_CONFIG": os.path.join(self.root, "luo.conf"),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def start_manager(self, *words):
        path = os.path.join(self.root, "private")
        # pylint: disable=consider-using-with
        self.manager = subprocess.Popen([FAKE_MANAGER, path, *words], stdout=subprocess.PIPE)
        self.addCleanup(self.manager.stdout.close)
        self.addCleanup(self.manager.wait)
        self.addCleanup(self.manager.kill)
        self.assertEqual(self.manager.stdout.readline(), b"ready\n")
        self.environment["LUO_MANAGER_ADDRESS"] = f"unix:path={path}"
        self.environment["LUO_MANAGER_PID"] = str(self.manager.pid)

    def config(self, text):
        with open(self.environment["LUO_CONFIG"], "w", encoding="utf-8") as f:
            f.write("[Shutdown]\n" + text)

    def seen(self, path=None):
        try:
            with open(path or self.console, encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def record(self, directory=None):
        with open(os.path.join(directory or self.luod.directory, "harvested"
                               if not directory else "shutdown.json"), encoding="utf-8") as f:
            return json.load(f)


class Harvest(ShutdownTest):
    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.Store"] = lambda p: {"stored": len(p["names"])}

    def run_it(self, *arguments, code=0):
        p = subprocess.run([HARVEST, "--config", self.environment["LUO_CONFIG"], *arguments],
                           env=self.environment, text=True, capture_output=True, timeout=60,
                           check=False)
        self.assertEqual(p.returncode, code, p.stderr)
        return p

    def stored(self):
        return [(p["unit"], p["names"]) for m, p in self.luod.calls if m == "io.luo.Store"]

    def test_harvest(self):
        self.start_manager(*KEXEC, "unit=b.service", "fd=x,memfd,8192", "fd=s,socket", "fd=y,memfd",
                           "unit=a.service", "fd=x,memfd", "unit=c.service", "preserve=no",
                           "fd=x,memfd", "unit=luod.service", "fd=x,memfd")
        p = self.run_it()
        self.assertEqual(self.stored(), [("a.service", ["x"]), ("b.service", ["x", "y"])])
        self.assertEqual([os.fstat(fd).st_size for fd in self.luod.received], [4096, 8192, 4096])
        for _, parameters in self.luod.calls:
            self.assertIs(parameters["manager"], True)
            self.assertIs(parameters["poll"], False)
        self.assertIn("b.service: \"s\" (socket) will be lost: sockets cannot be preserved.",
                      p.stderr)
        self.assertIn("3 fds of 2 units are in luod's hands; 1 will be lost.", p.stderr)
        self.assertEqual(self.seen(), "")
        record = self.record()
        self.assertEqual((record["entries"], record["units"], record["lost"]), (3, 2, 1))
        self.assertEqual(record["shutdownStart"], 1000)
        self.assertEqual(record["skipped"], [
            {"unit": "b.service", "name": "s", "kind": "socket",
             "reason": "sockets cannot be preserved"}])
        self.assertEqual(self.record(self.environment["LUO_STATE_DIR"]), record)
        self.assertEqual(self.seen(os.path.join(self.luod.directory, "shutdown-start")),
                         "1000 20\n")

    def test_once(self):
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd")
        self.run_it()
        self.assertIn("It was done already", self.run_it().stderr)
        self.assertEqual(len(self.stored()), 1)
        self.run_it("--force")
        self.assertEqual(len(self.stored()), 2)
        # Another shutdown: the first was called off.
        self.manager.kill()
        self.manager.wait()
        os.unlink(os.path.join(self.root, "private"))
        self.start_manager("state=stopping", "job=7", "start=2000:30", "unit=a.service",
                           "fd=x,memfd")
        self.run_it()
        self.assertEqual(len(self.stored()), 3)

    def test_by_hand(self):
        self.start_manager("state=running", "unit=a.service", "fd=x,memfd", "fd=p,pipe")
        p = self.run_it(code=1)
        self.assertIn("No kexec is under way; --force does it anyway, --dry-run only looks.",
                      p.stderr)
        p = self.run_it("--dry-run")
        self.assertEqual(p.stdout, 'a.service "x" (memfd): is kept\n'
                         'a.service "p" (pipe): is not kept, pipes cannot be preserved\n')
        self.assertEqual(self.luod.calls, [])
        self.run_it("--force")
        self.assertEqual(self.stored(), [("a.service", ["x"])])
        # That says nothing about a shutdown that is yet to come.
        self.assertFalse(os.path.exists(os.path.join(self.luod.directory, "harvested")))

    def test_many(self):
        self.start_manager(*KEXEC, "unit=a.service", *(f"fd=n{i},memfd" for i in range(450)))
        self.run_it()
        self.assertEqual([len(names) for _, names in self.stored()], [200, 200, 50])
        self.assertEqual([n for _, names in self.stored() for n in names],
                         [f"n{i}" for i in range(450)])
        self.assertEqual(len(self.luod.received), 450)

    def test_luod_restarts(self):
        answers = [Hangup(), {"stored": 2}]
        self.luod.answers["io.luo.Store"] = lambda p: answers.pop(0)
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd", "fd=y,memfd")
        self.run_it()
        self.assertEqual(self.stored(), [("a.service", ["x", "y"])] * 2)
        self.assertEqual(self.record()["entries"], 2)

    def test_no_luod(self):
        self.luod.stop()
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd", "unit=b.service", "fd=x,memfd")
        begin = time.monotonic()
        self.run_it(code=1)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(self.seen(), "luo: 0 of the services' fds are kept, 2 will be lost: luod "
                                      "is not running\n")

    def test_no_luod_and_nothing_to_lose(self):
        self.luod.stop()
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,socket")
        self.run_it()
        self.assertEqual(self.seen(), "")

    def test_luod_does_not_take_one(self):
        def store(parameters):
            if "bad" in parameters["names"]:
                return Error("io.luo.Failed", {"text": "The store is full.\x1b[2J", "errno": 122})
            return {"stored": len(parameters["names"])}
        self.luod.answers["io.luo.Store"] = store
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd", "fd=bad,memfd", "fd=y,memfd")
        self.run_it(code=1)
        self.assertEqual(self.record()["entries"], 2)
        self.assertEqual(self.seen(), "luo: 2 of the services' fds are kept, 1 will be lost: The "
                                      "store is full.?[2J\n")

    def test_luod_is_silent(self):
        self.luod.answers["io.luo.Store"] = lambda p: time.sleep(20)
        self.config("HarvestTimeout=500ms\n")
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd", "unit=b.service", "fd=x,memfd")
        begin = time.monotonic()
        self.run_it(code=1)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(self.seen(), "luo: 0 of the services' fds are kept, 2 will be lost: luod "
                                      "did not answer in time\n")

    def test_manager_is_silent(self):
        self.config("HarvestTimeout=500ms\n")
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd", "unit=b.service", "fd=x,memfd",
                           "silent=DumpUnitFileDescriptorStore:a.service")
        self.run_it(code=1)
        self.assertEqual(self.stored(), [("b.service", ["x"])])
        self.assertEqual(self.seen(), "luo: 1 of the services' fds are kept, 1 will be lost: PID 1 "
                         "does not tell what is in the store of a.service: it did not answer in "
                         "time\n")

    def test_manager_is_stopped(self):
        self.config("HarvestTimeout=500ms\n")
        self.start_manager(*KEXEC)
        self.manager.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        self.run_it(code=1)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(self.seen(), "luo: the fd stores of systemd's services will be lost: PID 1 "
                                      "did not answer in time\n")

    def test_no_systemd(self):
        self.environment["LUO_MANAGER_VERSION"] = "none"
        self.assertIn("PID 1 is not systemd", self.run_it(code=1).stderr)

    def test_native(self):
        self.environment["LUO_MANAGER_VERSION"] = "261"
        self.luod.answers["io.luo.Commit"] = {}
        self.start_manager("state=running", "unit=a.service", "fd=x,memfd")
        self.run_it(code=1)
        self.assertEqual(self.luod.calls, [])
        self.manager.kill()
        self.manager.wait()
        os.unlink(os.path.join(self.root, "private"))
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd")
        self.run_it()
        self.assertEqual(self.luod.calls, [("io.luo.Commit", {"handOver": True})])

    def test_pin(self):
        self.start_manager("unit=b.service", "unit=a.service", "preserve=no", "unit=c.service",
                           "preserve=on-success", "result=exit-code")
        self.assertIn("PID 1 keeps 2 units loaded.", self.run_it("--pin", "--force").stderr)
        self.assertEqual(self.manager.stdout.readline(),
                         b"ignore-dependencies b.service c.service\n")
        self.environment["LUO_MANAGER_VERSION"] = "261"
        self.run_it("--pin")

    def test_pin_nothing(self):
        self.start_manager("unit=a.service", "preserve=no")
        self.assertIn("PID 1 keeps 0 units loaded.", self.run_it("--pin", "--force").stderr)
        self.assertEqual(self.run_it("--pin").stderr, "")

    def test_pin_fails(self):
        self.start_manager(*KEXEC, "unit=a.service", "hangup=StartTransientUnit")
        self.run_it("--pin", code=1)

    def test_journald(self):
        self.start_manager(*KEXEC, "unit=systemd-journald.service", "fd=stored,socket")
        self.assertNotIn("journald", self.run_it().stderr)
        self.assertEqual(self.record()["lost"], 0)

    def test_var_is_gone(self):
        self.environment["LUO_STATE_DIR"] = "/nowhere/at/all"
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd")
        self.run_it()
        self.assertEqual(self.seen(), "")

    def test_bad_configuration(self):
        self.config("HarvestTimeout=soon\n")
        self.start_manager(*KEXEC, "unit=a.service", "fd=x,memfd")
        self.assertIn("luo.conf:2: HarvestTimeout=soon is not a time span", self.run_it().stderr)


class Shutdown(ShutdownTest):
    def setUp(self):
        super().setUp()
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(["sleep", "60"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.status = {"pid": self.process.pid, "commit": "none", "stale": False,
                       "liveUpdate": "on", "stored": 3, "held": 1, "units": 2, "bytes": 8192}
        self.luod.answers["io.luo.Status"] = lambda p: self.status
        self.luod.answers["io.luo.Commit"] = {
            "preserved": 3, "lost": 0, "bytes": 136314880, "usec": 5, "results": [
                {"unit": "a.service", "name": "x", "result": "preserved"},
                {"unit": "a.service", "name": "y", "result": "alias"},
                {"unit": "b.service", "name": "x", "result": "session"}]}

    def run_it(self, *arguments, code=0):
        begin = time.monotonic()
        p = subprocess.run([SHUTDOWN, *arguments], env=self.environment, text=True,
                           capture_output=True, timeout=60, check=False)
        self.assertEqual((p.returncode, p.stdout, p.stderr), (code, "", ""))
        return time.monotonic() - begin

    def harvested(self, **record):
        with open(os.path.join(self.luod.directory, "harvested"), "w", encoding="utf-8") as f:
            json.dump({"version": 1, "entries": 5, "units": 2, **record}, f)

    def test_only_kexec(self):
        for arguments in ([], ["reboot"], ["poweroff"], ["halt"], ["exit"], ["kexecs"], [""]):
            self.run_it(*arguments)
        self.assertEqual((self.luod.calls, self.seen()), ([], ""))

    def test_commit(self):
        self.run_it("kexec")
        self.assertEqual([m for m, _ in self.luod.calls], ["io.luo.Status", "io.luo.Commit"])
        self.assertRegex(self.seen(), r"^luo: 3 fds of 2 units, 130 MiB, preserved in [0-9.]+ .?s\n$")

    def test_losses(self):
        self.luod.answers["io.luo.Commit"] = {
            "preserved": 1, "lost": 1, "bytes": 4096, "usec": 5, "note": "the name is taken",
            "results": [{"unit": "a.service", "name": "x", "result": "copied"},
                        {"unit": "a.service", "name": "f\n", "result": "failed",
                         "reason": "Out of memory"}]}
        self.harvested(lost=3, skipped=[
            {"unit": f"u{i}.service", "name": "p", "kind": "pipe"} for i in range(3)])
        self.run_it("kexec")
        self.assertRegex(self.seen(), r"^luo: 1 fd of 1 unit, 4.0 KiB, preserved in [0-9.]+ .?s; "
                         r"4 lost \(a.service f\?: Out of memory, u0.service p: pipe, u1.service "
                         r"p: pipe, and 1 more\); the name is taken\n$")

    def test_nothing(self):
        self.luod.answers["io.luo.Commit"] = {"preserved": 0, "lost": 0, "bytes": 0, "results": []}
        self.run_it("kexec")
        self.assertEqual(self.seen(), "")

    def test_stands(self):
        self.status["commit"] = "committed"
        self.run_it("kexec")
        self.assertEqual([m for m, _ in self.luod.calls], ["io.luo.Status"])
        self.assertEqual(self.seen(), "luo: 4 fds of 2 units, 8.0 KiB, were committed already\n")
        self.status["stale"] = True
        self.run_it("kexec")
        self.assertEqual(self.luod.calls[-1][0], "io.luo.Commit")

    def test_no_luod(self):
        self.luod.stop()
        self.run_it("kexec")
        self.environment["LUO_RUNTIME_DIR"] = "/nowhere"
        self.run_it("kexec")
        self.assertEqual(self.seen(), "")

    def test_luod_has_died(self):
        self.luod.stop()
        self.harvested()
        self.run_it("kexec", code=1)
        self.assertTrue(self.seen().startswith("luo: luod has died; 5 fds are lost\n"))

    def test_dies_in_the_middle(self):
        self.luod.answers["io.luo.Commit"] = Hangup()
        self.run_it("kexec", code=1)
        self.assertTrue(self.seen().startswith(
            "luo: luod died during the commit; 4 fds are lost\n"), self.seen())

    def test_refuses(self):
        self.luod.answers["io.luo.Commit"] = Error("io.luo.NameTaken", {
            "text": "The name luod is taken.", "sessionName": "luod"})
        self.run_it("kexec", code=1)
        self.assertTrue(self.seen().startswith(
            "luo: The name luod is taken.; 4 fds are lost\n"), self.seen())
        self.assertEqual(self.seen(self.log), "")
        self.assertIsNone(self.process.poll())

    def test_no_live_update(self):
        self.luod.answers["io.luo.Commit"] = Error("io.luo.NoLiveUpdate", {"text": "off"})
        self.config("OnFailure=reboot\n")
        self.run_it("kexec")
        self.status["liveUpdate"] = "none"
        self.run_it("kexec")
        self.assertEqual((self.seen(), self.seen(self.log)), ("", ""))

    def test_late(self):
        self.luod.answers["io.luo.Commit"] = lambda p: time.sleep(30)
        self.config("Deadline=500ms\n")
        self.assertLess(self.run_it("kexec", code=1), 10)
        self.assertTrue(self.seen().startswith(
            "luo: luod did not commit in time, and was stopped; 4 fds are lost\n"), self.seen())
        self.assertEqual(self.process.wait(), -signal.SIGKILL)

    def test_reboot(self):
        self.luod.answers["io.luo.Commit"] = Error("io.luo.Failed", {"text": "No.", "errno": 5})
        self.config("OnFailure=reboot\n")
        self.run_it("kexec", code=1)
        self.assertIn("luo: rebooting cold, as luo.conf says (OnFailure=reboot)\n", self.seen())
        self.assertEqual(self.seen(self.log), "reboot\n")

    def test_nonsense(self):
        for reply in ({"preserved": "x", "results": 7}, {"results": [7, {"unit": 3}]}):
            self.luod.answers["io.luo.Commit"] = reply
            self.run_it("kexec")
        with open(os.path.join(self.luod.directory, "harvested"), "w", encoding="utf-8") as f:
            f.write("[1,")
        self.run_it("kexec")
        self.assertEqual(self.seen(), "")


if __name__ == "__main__":
    unittest.main()
