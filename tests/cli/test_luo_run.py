# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luo-run: what the program finds when it starts, and when it is not started."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
import unittest

from fakeluod import Error, FakeLuod, Hangup, Reply

LUO_RUN = os.environ["LUO_RUN"]

# Runs in the place of the service: says what it was given.
PROGRAM = r"""
import json, os, resource
fds = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        s = os.fstat(int(fd))
    except OSError:
        continue
    if int(fd) > 2:
        fds[int(fd)] = [s.st_ino, s.st_size]
print(json.dumps({
    "pid": os.getpid(),
    "environment": {k: v for k, v in os.environ.items() if k.startswith(("LISTEN", "NOTIFY"))},
    "fds": fds,
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
}))
"""


def memfd(size):
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    return fd


def entries(names, first=0, lost=()):
    return {"entries": [{"unit": "u", "name": name, "state": "lost" if i in lost else "stored",
                         "fileDescriptor": None if i in lost else first + i}
                        for i, name in enumerate(names)]}


class LuoRun(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.luod = FakeLuod()
        self.addCleanup(self.luod.__exit__)
        self.luod.answers["io.luo.Register"] = {"unit": "u", "stored": 0, "held": 0}
        self.luod.answers["io.luo.Claim"] = {"entries": []}

    def run_it(self, *arguments, environment=None, before=(), **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("LISTEN", "NOTIFY", "LUO_RUNTIME"))}
        env["LUO_RUNTIME_DIR"] = self.luod.directory
        env.update(environment or {})
        return subprocess.run([*before, LUO_RUN, *arguments], env=env, text=True, capture_output=True,
                              timeout=60, check=False, **more)

    def start(self, *arguments, **more):
        p = self.run_it(*arguments, "--", sys.executable, "-c", PROGRAM, **more)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.stderr = p.stderr
        given = json.loads(p.stdout)
        given["fds"] = {int(fd): v for fd, v in given["fds"].items()}
        return given

    def assert_fails(self, code, stderr, *arguments, **more):
        p = self.run_it(*arguments, **more)
        self.assertEqual(p.stderr, stderr)
        self.assertEqual(p.stdout, "")
        self.assertEqual(p.returncode, code)

    # ---- what it is given

    def test_nothing_stored(self):
        given = self.start("--unit", "u.service")
        self.assertEqual(given["environment"],
                         {"NOTIFY_SOCKET": self.luod.directory + "/notify"})
        self.assertEqual(self.luod.calls, [("io.luo.Register", {"unit": "u.service"}),
                                           ("io.luo.Claim", {"unit": "u.service"})])
        # No process stays between: the one that registered is the program.
        self.assertEqual(set(self.luod.pids), {given["pid"]})
        self.assertEqual(self.stderr, "")

    def test_unit_unknown_to_luod(self):
        self.luod.answers["io.luo.Claim"] = Error("io.luo.NoSuchUnit", {"unit": "u"})
        self.assertNotIn("LISTEN_FDS", self.start("--unit", "u")["environment"])

    def test_fds(self):
        fds = [memfd(n) for n in (100, 200, 300)]
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a", "b c", "a"]), fds)
        given = self.start("--unit", "u", "--fdstore-max", "7")
        self.assertEqual(given["environment"], {
            "NOTIFY_SOCKET": self.luod.directory + "/notify",
            "LISTEN_FDS": "3",
            "LISTEN_FDNAMES": "a:b c:a",
            "LISTEN_PID": str(given["pid"]),
        })
        for i, fd in enumerate(fds):
            s = os.fstat(fd)
            self.assertEqual(given["fds"][3 + i], [s.st_ino, s.st_size])
        # Nothing else: neither the connection nor the numbers that they came at.
        self.assertEqual([fd for fd, (_, size) in given["fds"].items() if size], [3, 4, 5])
        self.assertEqual(self.luod.calls[0][1], {"unit": "u", "fdstoreMax": 7})
        self.assertEqual(self.stderr, "")

    def test_order_is_that_of_the_entries(self):
        fds = [memfd(n) for n in range(1, 21)]
        answer = entries([f"n{i}" for i in range(20)])
        for i, entry in enumerate(answer["entries"]):
            entry["fileDescriptor"] = (i * 7 + 3) % 20
        self.luod.answers["io.luo.Claim"] = Reply(answer, fds)
        given = self.start("--unit", "u")
        for i in range(20):
            self.assertEqual(given["fds"][3 + i][1], (i * 7 + 3) % 20 + 1)

    def test_lost_entry(self):
        fds = [memfd(100), memfd(200)]
        answer = entries(["a", "b\x1b[2J", "c"], lost=[1])
        answer["entries"][2]["fileDescriptor"] = 1
        self.luod.answers["io.luo.Claim"] = Reply(answer, fds)
        given = self.start("--unit", "u")
        self.assertEqual(given["environment"]["LISTEN_FDNAMES"], "a:c")
        self.assertEqual(given["fds"][4][1], 200)
        self.assertEqual(self.stderr, 'luo-run: warning: "b\\x1b[2J" of unit u is lost: the kernel '
                                      "could not restore it\n")

    def test_odd_name(self):
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a:b", "\u00e4"]), [memfd(1), memfd(2)])
        self.assertEqual(self.start("--unit", "u")["environment"]["LISTEN_FDNAMES"],
                         "unknown:unknown")

    def test_more_than_one_message_takes(self):
        fds = [memfd(i + 1) for i in range(450)]
        names = [f"n{i}" for i in range(450)]
        self.luod.answers["io.luo.Claim"] = [
            Reply(entries(names[0:200]), fds[0:200]),
            Reply(entries(names[200:400]), fds[200:400]),
            Reply(entries(names[400:450]), fds[400:450]),
        ]
        # with a limit that is hardly enough
        hard = 3 + 450 + 20

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))

        given = self.start("--unit", "u", preexec_fn=limit)
        self.assertEqual(given["environment"]["LISTEN_FDS"], "450")
        self.assertEqual([given["fds"][3 + i][1] for i in range(450)], list(range(1, 451)))
        self.assertEqual(given["files"], hard)

    def test_file_limit_is_restored(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, 1000))

        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(1)])
        self.assertEqual(self.start("--unit", "u", preexec_fn=limit)["files"], 300)

    def test_names_too_long_for_exec(self):
        self.luod.answers["io.luo.Claim"] = [
            Reply(entries(["x" * 250] * 50), [memfd(1)] * 50)] * 12
        self.assert_fails(71, "luo-run: the names of 600 fds are longer than $LISTEN_FDNAMES can "
                              "be (128 KiB): use shorter names, or keep more in one memfd\n",
                          "--unit", "u", "true")

    def test_standard_fds_closed(self):
        def close():
            os.close(0)

        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(100)])
        given = self.start("--unit", "u", preexec_fn=close)
        self.assertEqual(given["fds"][3][1], 100)

    # ---- what the parent gave

    def after_script(self, script):
        """Runs the script, which opens and exports things, and then luo-run in its place."""
        path = os.path.join(self.luod.directory, "mine")
        with open(path, "wb") as f:
            f.truncate(1000)
        p = self.run_it("--unit", "u", sys.executable, "-c", PROGRAM,
                        before=["sh", "-c", script + '; exec "$0" "$@"'],
                        environment={"MINE": path})
        self.assertEqual(p.returncode, 0, p.stderr)
        self.stderr = p.stderr
        return json.loads(p.stdout)

    def test_inherited_listen_fds_come_first(self):
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(100)])
        for names, expected in (("LISTEN_FDNAMES=web", "web:a"), ("", "unknown:a")):
            given = self.after_script('exec 3<"$MINE"; export LISTEN_FDS=1 LISTEN_PID=$$ '
                                      "LISTEN_PIDFDID=1 " + names)
            self.assertEqual(given["environment"]["LISTEN_FDS"], "2")
            self.assertEqual(given["environment"]["LISTEN_FDNAMES"], expected)
            self.assertNotIn("LISTEN_PIDFDID", given["environment"])
            self.assertEqual([given["fds"]["3"][1], given["fds"]["4"][1]], [1000, 100])

    def test_malformed_listen_fds(self):
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(100)])
        p = self.run_it("--unit", "u", "true", before=[
            "sh", "-c", 'export LISTEN_FDS=x LISTEN_PID=$$; exec "$0" "$@"'])
        self.assertEqual((p.returncode, p.stderr), (
            71, "luo-run: $LISTEN_FDS and $LISTEN_FDNAMES, as they were given to luo-run, are "
                "malformed\n"))

    def test_listen_fds_of_somebody_else(self):
        given = self.start("--unit", "u", environment={"LISTEN_FDS": "1", "LISTEN_PID": "1",
                                                       "LISTEN_FDNAMES": "x"})
        self.assertEqual(list(given["environment"]), ["NOTIFY_SOCKET"])

    def test_inherited_fd_gives_way(self):
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a", "b"]), [memfd(100), memfd(200)])
        given = self.after_script('exec 4<"$MINE"')
        self.assertEqual([given["fds"]["3"][1], given["fds"]["4"][1]], [100, 200])
        self.assertEqual(self.stderr, "luo-run: warning: fd 4, which came from the parent, gives "
                                      "way to the fds of the unit\n")

    def test_notify_socket_of_the_parent(self):
        given = self.start("--unit", "u", environment={"NOTIFY_SOCKET": "/elsewhere"})
        self.assertEqual(given["environment"]["NOTIFY_SOCKET"], self.luod.directory + "/notify")

    # ---- luod is not there

    def test_no_luod(self):
        self.luod.stop()
        given = self.start("--unit", "u", environment={"NOTIFY_SOCKET": "/elsewhere"})
        self.assertEqual(given["environment"], {"NOTIFY_SOCKET": "/elsewhere"})
        self.assertEqual(self.stderr,
                         f"luo-run: warning: luod does not answer on {self.luod.path}: No such "
                         "file or directory; starting without a store, what the program keeps is "
                         "lost with it\n")

    def test_no_luod_required(self):
        self.luod.stop()
        self.assert_fails(69, f"luo-run: luod does not answer on {self.luod.path}: No such file "
                              "or directory\n", "--unit", "u", "--required", "true")

    def test_no_luod_restart_safe(self):
        self.luod.stop()
        started = time.monotonic()
        self.assert_fails(69, f"luo-run: luod does not answer on {self.luod.path}: No such file "
                              "or directory\n", "--unit", "u", "--required", "--restart-safe=1",
                          "true")
        self.assertGreater(time.monotonic() - started, 1)

    def test_luod_comes_back(self):
        self.luod.stop()
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(100)])
        timer = threading.Timer(0.5, self.luod.listen)
        timer.start()
        given = self.start("--unit", "u", "--required", "--restart-safe")
        timer.join()
        self.assertEqual(given["environment"]["LISTEN_FDS"], "1")
        self.assertEqual(self.stderr, "")

    def test_luod_restarts_in_the_middle(self):
        fd = memfd(100)
        claims = [Hangup(), [Reply(entries(["a"]), [fd]), Hangup()], Reply(entries(["a"]), [fd])]
        self.luod.answers["io.luo.Claim"] = lambda parameters: claims.pop(0)
        given = self.start("--unit", "u", "--restart-safe")
        self.assertEqual(given["environment"]["LISTEN_FDS"], "1")
        self.assertEqual(claims, [])

    # ---- luod was there, and has gone: it has the state

    def refused_after_hangup(self, doing, reason, code=75, options=(), wait=2):
        started = time.monotonic()
        self.assert_fails(code, f"luo-run: cannot {doing} unit u: luod went away and did not come "
                                f"back: {reason}\n"
                                "luo-run: true is not started, because without its state it would "
                                "make a new one; --ignore-errors starts it all the same\n",
                          "--unit", "u", *options, "true")
        self.assertGreater(time.monotonic() - started, wait)
        self.assertLess(time.monotonic() - started, wait + 5)

    def stop_and_hang_up(self, parameters):
        self.luod.stop()
        return Hangup()

    def test_hangup_at_register(self):
        self.luod.answers["io.luo.Register"] = Hangup()
        self.refused_after_hangup("register as", "Connection reset by peer")

    def test_hangup_at_claim(self):
        self.luod.answers["io.luo.Claim"] = Hangup()
        self.refused_after_hangup("claim the fds of", "Connection reset by peer")

    def test_gone_for_good(self):
        for method, doing in (("Register", "register as"), ("Claim", "claim the fds of")):
            for options, wait in (((), 2), (("--restart-safe=1",), 1), (("--required",), 2)):
                with self.subTest(method=method, options=options):
                    if not self.luod.socket:
                        self.luod.listen()
                    before = self.luod.answers["io.luo." + method]
                    self.luod.answers["io.luo." + method] = self.stop_and_hang_up
                    self.refused_after_hangup(doing, "No such file or directory", 75, options,
                                              wait)
                    self.luod.answers["io.luo." + method] = before

    def test_gone_ignored(self):
        self.luod.answers["io.luo.Register"] = self.stop_and_hang_up
        self.assertEqual(self.start("--unit", "u", "--ignore-errors")["environment"], {})
        self.assertEqual(self.stderr, "luo-run: warning: cannot register as unit u: luod went away "
                                      "and did not come back: No such file or directory\n")

    def test_back_soon(self):
        def gone_for_a_second(parameters):
            self.luod.stop()
            self.luod.answers["io.luo.Register"] = {"unit": "u", "stored": 1, "held": 0}
            timer = threading.Timer(1, self.luod.listen)
            timer.start()
            self.addCleanup(timer.join)
            return Hangup()

        self.luod.answers["io.luo.Register"] = gone_for_a_second
        self.luod.answers["io.luo.Claim"] = Reply(entries(["a"]), [memfd(100)])
        given = self.start("--unit", "u")
        self.assertEqual(given["environment"]["LISTEN_FDS"], "1")
        self.assertEqual(self.stderr, "")

    # ---- luod says no

    def test_no_room(self):
        self.luod.answers["io.luo.Claim"] = Error("io.luo.NoRoom", {
            "text": "8 MiB are needed, and cgroup /a has room for 1 MiB", "needed": 8, "room": 1})
        self.assert_fails(75, "luo-run: cannot claim the fds of unit u: 8 MiB are needed, and "
                              "cgroup /a has room for 1 MiB\n"
                              "luo-run: true is not started, because without its state it would "
                              "make a new one; --ignore-errors starts it all the same\n",
                          "--unit", "u", "true")

    def test_no_room_ignored(self):
        self.luod.answers["io.luo.Claim"] = Error("io.luo.NoRoom", {"text": "no room"})
        given = self.start("--unit", "u", "--ignore-errors")
        self.assertEqual(list(given["environment"]), ["NOTIFY_SOCKET"])
        self.assertEqual(self.stderr,
                         "luo-run: warning: cannot claim the fds of unit u: no room\n")

    def test_not_permitted(self):
        self.luod.answers["io.luo.Register"] = Error("io.luo.NotPermitted",
                                                     {"text": "your cgroup is that of b"})
        self.assert_fails(77, "luo-run: cannot register as unit u: your cgroup is that of b\n"
                              "luo-run: true is not started, because without its state it would "
                              "make a new one; --ignore-errors starts it all the same\n",
                          "--unit", "u", "true")

    def test_timeout(self):
        self.luod.answers["io.luo.Claim"] = lambda parameters: time.sleep(3) or {}
        self.assert_fails(75, "luo-run: cannot claim the fds of unit u: Connection timed out\n"
                              "luo-run: true is not started, because without its state it would "
                              "make a new one; --ignore-errors starts it all the same\n",
                          "--unit", "u", "--timeout", "1", "true")

    # ---- the command line

    def test_usage(self):
        hint = "Try 'luo-run --help'.\n"
        for arguments, text in (
                ([], "--unit is missing"),
                (["true"], "--unit is missing"),
                (["--unit", "u"], "which program?"),
                (["--unit", "u", "--"], "which program?"),
                (["--unit", "a/b", "true"],
                 "a unit's name has 1 to 255 letters, digits and any of :-_.\\@"),
                (["--unit", "", "true"],
                 "a unit's name has 1 to 255 letters, digits and any of :-_.\\@"),
                (["--unit", "u", "--fdstore-max", "0", "true"],
                 "--fdstore-max takes a number from 1 to 2147483647, not '0'"),
                (["--unit", "u", "--fdstore-max", "-1", "true"],
                 "--fdstore-max takes a number from 1 to 2147483647, not '-1'"),
                (["--unit", "u", "--fdstore-max", "7x", "true"],
                 "--fdstore-max takes a number from 1 to 2147483647, not '7x'"),
                (["--unit", "u", "--restart-safe=", "true"],
                 "--restart-safe takes a number from 0 to 2147483647, not ''"),
                (["--unit", "u", "--timeout", "99999999999", "true"],
                 "--timeout takes a number from 1 to 2147483647, not '99999999999'"),
        ):
            with self.subTest(arguments):
                self.assert_fails(2, f"luo-run: {text}\n{hint}", *arguments)
        self.assertEqual(self.luod.calls, [])

    def test_help(self):
        p = self.run_it("--help")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertTrue(p.stdout.startswith("Usage: luo-run --unit NAME"))
        self.assertTrue(all(len(line) <= 80 for line in p.stdout.splitlines()))
        self.assertRegex(self.run_it("--version").stdout, r"^luo-run \d+\.\d+\.\d+\n$")

    def test_options_of_the_program(self):
        p = self.run_it("--unit", "u", "echo", "--help", "-r")
        self.assertEqual((p.returncode, p.stdout), (0, "--help -r\n"))

    def test_exit_status_of_the_program(self):
        self.assertEqual(self.run_it("--unit", "u", "sh", "-c", "exit 42").returncode, 42)

    def test_cannot_execute(self):
        self.assert_fails(127, "luo-run: cannot execute nonesuch: No such file or directory\n",
                          "--unit", "u", "nonesuch")
        self.assert_fails(126, "luo-run: cannot execute /: Permission denied\n",
                          "--unit", "u", "/")


if __name__ == "__main__":
    unittest.main()
