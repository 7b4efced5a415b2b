# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl: every verb's exact words, and how it ends."""

import base64
import json
import os
import time
import unittest

from fakeluod import Error, Hangup, Reply
from luoctltest import STATUS, SRCDIR, LuoctlTest, entry, socket_entry

VERBS = ["status", "list", "show", "dump", "store", "claim", "drop", "mapping", "heap", "check", "harvest",
         "preserve", "commit", "abort", "kexec", "enable", "disable", "monitor", "help"]


def memfd(content):
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


class Usage(LuoctlTest):
    def usage(self, arguments, text, verb=""):
        self.check(arguments, stderr=f"luoctl: {text}\nTry 'luoctl help{verb}'.\n", code=2)

    def test_errors(self):
        self.usage([], "what shall it do?")
        self.usage(["frob"], "there is no verb 'frob'")
        self.usage(["help", "frob"], "there is no verb 'frob'", " help")
        self.usage(["--frob", "list"], "unrecognized option '--frob'")
        self.usage(["--socket"], "option '--socket' requires an argument")
        self.usage(["list", "--frob"], "unrecognized option '--frob'", " list")
        self.usage(["list", "a", "b"], "list: too many arguments", " list")
        self.usage(["list", "a/b"], "that is no name of a unit: 1 to 255 letters, digits and any "
                                    "of :-_.\\@", " list")
        self.usage(["list", "--state", "odd"],
                   "--state takes stored, held or lost, not 'odd'", " list")
        self.usage(["list", "--units", "--state", "held"],
                   "--units and --state exclude each other", " list")
        self.usage(["show"], "show: an argument is missing: luoctl show UNIT", " show")
        self.usage(["dump", "a"], "dump: an argument is missing: luoctl dump UNIT NAME", " dump")
        self.usage(["dump", "a", "b:"], "that is no name of an fd: 1 to 255 printable ASCII "
                                        "characters but ':'", " dump")
        self.usage(["drop", "a"], "drop frees memory for good: say --yes if that is meant",
                   " drop")
        self.usage(["mapping", "f", "--session", "s"],
                   "a file and --session exclude each other", " mapping")
        self.usage(["commit", "--session", "a/b"], "that is no name of a session: 1 to 63 "
                   "printable characters without '/'", " commit")
        self.usage(["kexec", "--initrd", "x"], "--kernel is missing", " kexec")
        self.usage(["kexec", "--load-only"], "--kernel is missing", " kexec")
        self.usage(["kexec", "--kernel", "k", "--cmdline", "x", "--reuse-cmdline"],
                   "--cmdline and --reuse-cmdline exclude each other", " kexec")
        self.usage(["--timeout", "x", "status"],
                   "--timeout takes a number from 0 to 4294967295, not 'x'")
        for verb in ("status", "check", "preserve", "commit", "abort", "kexec", "monitor"):
            self.usage([verb, "x"], f"{verb}: too many arguments", f" {verb}")
        self.assertEqual(self.luod.calls, [])

    def test_help(self):
        p = self.luoctl("help")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertEqual(p.stdout, self.luoctl("--help").stdout)
        lines = p.stdout.splitlines()
        self.assertEqual(lines[0], "Usage: luoctl [OPTION...] VERB [ARGUMENT...]")
        self.assertEqual([line.split()[0] for line in lines[5:lines.index("", 5)]], VERBS)
        self.assertLessEqual(max(map(len, lines)), 80)
        for verb in VERBS:
            p = self.luoctl("help", verb)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            self.assertTrue(p.stdout.startswith(f"Usage: luoctl {verb}"))
            self.assertEqual(p.stdout, self.luoctl(verb, "--help").stdout)
            self.assertLessEqual(max(map(len, p.stdout.splitlines())), 80)
        self.assertRegex(self.luoctl("--version").stdout, r"^luoctl \d+\.\d+\.\d+\n$")

    def test_help_of_a_verb(self):
        self.check(["help", "drop"], """\
Usage: luoctl drop [OPTION...] UNIT [NAME]

Free the fds of a unit.

Options:
  --state STATE     only those that are stored, held or lost
  --yes             do not ask
  --json            print JSON
  --no-legend       no headings and totals
  --socket PATH     where luod listens (default: /run/luo/io.luo)
  --timeout SECS    how long to wait for luod (default: 0, for ever)
  --help, --version
""")

    def test_man_page_knows_all(self):
        with open(os.path.join(SRCDIR, "docs/luoctl.1.scd"), encoding="utf-8") as f:
            page = f.read()
        for verb in VERBS:
            self.assertIn(f"*{verb}*", page)
            for word in self.luoctl("help", verb).stdout.split():
                if word.startswith("--"):
                    self.assertIn(f"*{word.rstrip(',')}*", page)


class Errors(LuoctlTest):
    def test_no_luod(self):
        self.luod.stop()
        for verb in (["status"], ["list"], ["show", "a"], ["dump", "a", "b"], ["claim", "a"],
                     ["drop", "a", "--yes"], ["mapping"], ["preserve"], ["commit"], ["abort"],
                     ["kexec"], ["monitor"]):
            self.check(verb, code=3, stderr=f"luoctl: cannot reach luod on {self.luod.path}: No "
                       "such file or directory\nStart luod first, or say with --socket where it "
                       "listens.\n")

    def test_socket(self):
        self.luod.answers["io.luo.Abort"] = {"aborted": True}
        self.environment["LUO_RUNTIME_DIR"] = "/nowhere"
        self.check(["abort", "--socket", self.luod.path], "The commit is undone.\n")
        self.check(["--socket", self.luod.path, "abort"], "The commit is undone.\n")

    def test_what_luod_says(self):
        for error, text, code in (
                (Error("io.luo.NoSuchUnit", {"unit": "a"}), "luod does not know the unit \"a\"\n", 4),
                (Error("io.luo.NotPermitted", {"text": "not yours"}),
                 "not yours\nTry it as root.\n", 5),
                (Error("io.luo.UnknownCaller", {"text": "who are you?"}),
                 "who are you?\nSay which unit you mean, as root.\n", 5),
                (Error("io.luo.NoLiveUpdate", {"text": "switched off"}),
                 "switched off\nluoctl check says what the kernel needs.\n", 1),
                (Error("io.luo.NameTaken", {"text": "taken", "sessionName": "luod"}),
                 "taken\nCommit under another name: --session NAME.\n", 1),
                (Error("io.luo.Busy", {"text": "held by pid 3\x1b[2J"}),
                 "held by pid 3\\x1b[2J\n", 1),
                (Error("com.example.Odd"), "com.example.Odd\n", 1),
                (Hangup(), "luod went away in the middle of the call; it may be restarting, try "
                           "again\n", 3)):
            self.luod.answers["io.luo.Abort"] = error
            self.check(["abort"], code=code, stderr=f"luoctl: cannot abort: {text}")

    def test_nonsense(self):
        self.luod.answers["io.luo.ListEntries"] = {"entries": 7}
        self.check(["list"], code=1, stderr="luoctl: cannot list the fds: luod's answer cannot "
                                            "be understood; is it of another version?\n")


class Status(LuoctlTest):
    def test_status(self):
        self.luod.answers["io.luo.Status"] = STATUS
        self.check(["status"], """\
       luod: 0.1.0, pid 42
    Kept by: supervise
     Kernel: 7.2.13
    Updates: 2 since the last cold boot
Live update: on
     Commit: none
      Units: 2
     Stored: 3 fds of at most 65536
       Held: 1 fds from the previous kernel
       Size: 8.0 KiB
""")

    def test_after_a_kexec_of_systemd(self):
        self.luod.answers["io.luo.Status"] = dict(
            STATUS, managerVersion=257,
            shutdownStart={"realtime": 1700000000000007, "monotonic": 5},
            shutdownLateFinish={"realtime": 1700000001500000, "monotonic": 6},
            lastShutdown={"when": int((time.time() - 3 * 86400 - 60) * 1e6), "entries": 6, "preserved": 5, "lost": 1,
                          "bytes": 1 << 20, "usec": 1500, "problems": ["a.service: \x01"]})
        self.environment["TZ"] = "UTC"
        self.check(["status"], """\
       luod: 0.1.0, pid 42
    Kept by: supervise
     Kernel: 7.2.13
    Updates: 2 since the last cold boot
   Stopping: 2023-11-14 22:13:20.000007
   Late end: 2023-11-14 22:13:21.500000
   Shutdown: 5 of 6 fds of services handed over, 1.0 MiB in 1.5 ms, 1 lost, 3d ago
    systemd: 257, whose fd stores luod hands over
Live update: on
     Commit: none
      Units: 2
     Stored: 3 fds of at most 65536
       Held: 1 fds from the previous kernel
       Size: 8.0 KiB

Of the last shutdown:
  a.service: \\x01
""")

    def test_after_a_shutdown_that_failed(self):
        self.luod.answers["io.luo.Status"] = dict(
            STATUS, managerVersion=254, kexecCount=None,
            lastShutdown={"when": 1, "entries": 0, "preserved": 0, "lost": 0, "bytes": 0, "usec": 0,
                          "failure": "luod did not answer\n", "problems": []})
        self.check(["status"], """\
       luod: 0.1.0, pid 42
    Kept by: supervise
     Kernel: 7.2.13
   Shutdown: luod did not answer\\n
    systemd: 254, whose fd stores luod hands over
Live update: on
     Commit: none
      Units: 2
     Stored: 3 fds of at most 65536
       Held: 1 fds from the previous kernel
       Size: 8.0 KiB
""")

    def test_problems(self):
        self.luod.answers["io.luo.Status"] = dict(
            STATUS, commit="committed", stale=True, lost=2, liveUpdate="off", kexecCount=None,
            sessions=[
                {"name": "luod", "direction": "incoming", "state": "ok", "reason": None,
                 "generation": "v262", "entries": 5, "unclaimed": 2,
                 "issues": [{"where": "units.a", "what": f"bad\n{i}"} for i in range(12)]},
                {"name": "odd", "direction": "incoming", "state": "unreadable",
                 "reason": "version 99", "generation": None, "entries": 0, "unclaimed": 0,
                 "issues": []}],
            problems=["the device is busy\x07"])
        self.check(["status"], """\
       luod: 0.1.0, pid 42
    Kept by: supervise
     Kernel: 7.2.13
Live update: off; it is switched on with kho=on liveupdate=on on the kernel's command line
     Commit: committed, and the store has changed since: commit again
      Units: 2
     Stored: 3 fds of at most 65536
       Held: 1 fds from the previous kernel
       Lost: 2 fds that the kernel could not restore
       Size: 8.0 KiB

Sessions:
  luod: incoming, 5 fds, 2 not claimed
""" + "".join(f"    skipped: units.a: bad\\n{i}\n" for i in range(10)) + """\
    and 2 more
  odd: incoming, unreadable: version 99; it is held and never freed

Problems:
  the device is busy\\x07
""")

    def test_json(self):
        self.luod.answers["io.luo.Status"] = STATUS
        p = self.luoctl("status", "--json")
        self.assertEqual(json.loads(p.stdout), STATUS)
        self.assertIn('"kernel": "7.2.13"', p.stdout)


class List(LuoctlTest):
    def entries(self, *entries):
        self.luod.answers["io.luo.ListEntries"] = {"entries": list(entries)}

    def test_list(self):
        self.entries(entry("a.service", "ram", size=1 << 30, seals=["shrink", "grow"]),
                     entry("a.service", "same", size=1 << 30, alias=True, storedAt=None),
                     socket_entry("a.service", "listen"),
                     entry("b.service", "old", state="held", where="kernel", kind=None, size=10),
                     entry("b.service", "gone", state="lost", size=None,
                           reason="Cannot allocate memory"))
        self.check(["list"], """\
UNIT       NAME    STATE   KIND       SIZE  SEALS          AGE  NOTE
a.service  ram     stored  memfd   1.0 GiB  shrink, grow  3min  -
a.service  same    stored  memfd   1.0 GiB  -                -  -
a.service  listen  stored  socket        -  -             3min  a socket cannot be preserved
b.service  old     held    fd         10 B  -             3min  -
b.service  gone    lost    memfd         -  -             3min  Cannot allocate memory

5 fds of 2 units, 1.0 GiB
""")
        self.assertEqual(self.luod.calls, [("io.luo.ListEntries", {})])

    def test_arguments(self):
        self.entries(entry("a", "x"))
        self.check(["list", "a", "--state", "held", "--no-legend"],
                   "a  x  stored  memfd  4.0 KiB  -  3min  -\n")
        self.assertEqual(self.luod.calls, [("io.luo.ListEntries",
                                            {"unit": "a", "state": "held"})])

    def test_nothing(self):
        self.entries()
        self.check(["list"], "No fds.\n")
        self.check(["list", "--no-legend"], "")

    def test_hostile_names(self):
        self.entries(entry("a\x1b]0;x\x07", "\u202etxt", kind="\t"))
        self.check(["list", "--no-legend"],
                   "a\\x1b]0;x\\x07  \\xe2\\x80\\xaetxt  stored  \\t  4.0 KiB  -  3min  -\n")

    def test_odd_types(self):
        self.entries({}, {"unit": 1, "size": "x", "seals": [{}]}, 7, None)
        self.assertEqual(self.luoctl("list").returncode, 0)
        self.assertEqual(self.luoctl("show", "a").returncode, 1)

    def test_json(self):
        self.entries(entry("a", "x"), entry("a", "y", storedAt=None))
        reply = json.loads(self.luoctl("list", "--json").stdout)
        self.assertEqual(reply["entries"][0]["ageSeconds"], 185)
        self.assertNotIn("ageSeconds", reply["entries"][1])
        self.assertEqual(reply["entries"][1]["size"], 4096)

    def test_units(self):
        unit = {"name": "a.service", "cgroup": "/a", "fdstoreMax": 512, "stored": 3, "held": 0,
                "bytes": 1536, "ready": True, "stopping": False, "status": "fine\x1b", "pids": [7]}
        self.luod.answers["io.luo.ListUnits"] = {"units": [
            unit, dict(unit, name="b", ready=False, status=None),
            dict(unit, name="c", stopping=True, status=None)]}
        self.check(["list", "--units"], """\
UNIT       STORED  HELD  MAX     SIZE  READY     STATUS
a.service       3     0  512  1.5 KiB  yes       fine\\x1b
b               3     0  512  1.5 KiB  no        -
c               3     0  512  1.5 KiB  stopping  -
""")
        self.luod.answers["io.luo.ListUnits"] = {"units": []}
        self.check(["list", "--units"], "No units.\n")


class Show(LuoctlTest):
    def test_show(self):
        self.luod.answers["io.luo.ListUnits"] = {"units": [
            {"name": "a.service", "cgroup": "/system.slice/a.service", "fdstoreMax": 512,
             "stored": 2, "held": 0, "bytes": 4096, "ready": True, "stopping": False,
             "status": "busy", "pids": [7, 8]}]}
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a.service", "ram", seals=["shrink"], size=10 << 20, append=True, alias=True),
            socket_entry("a.service", "listen", inode=None, access=None, uid=None)]}
        self.check(["show", "a.service"], """\
     Unit: a.service
   Cgroup: /system.slice/a.service
Processes: 7, 8
    State: ready
   Status: busy
   Stored: 2 of at most 512
     Held: 0
     Size: 4.0 KiB

  Entry: ram
           State: stored, in luod
            Kind: memfd
       File name: file
            Size: 10 MiB (10485760 bytes), 4.0 KiB in memory
           Seals: shrink
          Access: rw, append
            Mode: 0600
           Owner: 0:0
           Inode: 17, the same file as another entry
          Stored: 3min ago
     Live update: keeps it

  Entry: listen
           State: stored, in luod
            Kind: socket
          Stored: 3min ago
     Live update: a socket cannot be preserved
""")
        reply = json.loads(self.luoctl("show", "a.service", "--json").stdout)
        self.assertEqual(reply["name"], "a.service")
        self.assertEqual(len(reply["entries"]), 2)

    def test_no_such_unit(self):
        self.luod.answers["io.luo.ListUnits"] = {"units": []}
        self.check(["show", "a"], code=4,
                   stderr="luoctl: cannot show the unit: luod does not know the unit \"a\"\n")


class Dump(LuoctlTest):
    def content(self, content):
        self.luod.answers["io.luo.OpenEntry"] = Reply(
            {"entry": entry("a", "x", fileDescriptor=0)}, [memfd(content)])

    def test_dump(self):
        content = bytes(range(256)) * 1000
        self.content(content)
        p = self.luoctl("dump", "a", "x", "--nth", "2", text=False)
        self.assertEqual((p.returncode, p.stderr, p.stdout), (0, b"", content))
        self.assertEqual(self.luod.calls, [("io.luo.OpenEntry",
                                            {"unit": "a", "name": "x", "nth": 2})])

    def test_to_file(self):
        path = os.path.join(self.root, "out")
        fd = memfd(b"start")
        os.ftruncate(fd, 64 << 20)
        self.luod.answers["io.luo.OpenEntry"] = Reply({"entry": entry("a", "x", fileDescriptor=0)},
                                                      [fd])
        self.check(["dump", "a", "x", "--to", path])
        self.assertEqual(os.stat(path).st_size, 64 << 20)
        self.assertLess(os.stat(path).st_blocks * 512, 1 << 20)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        p = self.luoctl("dump", "a", "x", "--to", path, "--json")
        self.assertEqual(json.loads(p.stdout), {"file": path, "bytes": 64 << 20})
        self.check(["dump", "a", "x", "--to", "/nowhere/x"], code=1,
                   stderr="luoctl: cannot write /nowhere/x: No such file or directory\n")

    def test_json(self):
        for content in (b"", b"a", b"ab", b"abc", bytes(range(256)) * 300):
            self.content(content)
            reply = json.loads(self.luoctl("dump", "a", "x", "--json").stdout)
            self.assertEqual(base64.b64decode(reply["base64"]), content)
            self.assertEqual(reply["bytes"], len(content))

    def test_terminal(self):
        self.content("text\twith \u00e4\n".encode())
        self.assertEqual(self.on_terminal("dump", "a", "x"), (0, "text\twith \u00e4\n"))
        for content in (b"\x1b[2J", b"a" * 100000 + b"\x07", b"\x9b2J", b"\xc2\x9b2J", b"\x7f",
                        b"\r"):
            self.content(content)
            self.assertEqual(self.on_terminal("dump", "a", "x"), (
                1, "luoctl: the content is binary, and a terminal would obey it; write it to a "
                   "file with --to FILE\n"))

    def test_not_memory(self):
        r, w = os.pipe()
        os.close(w)
        self.luod.answers["io.luo.OpenEntry"] = Reply({"entry": entry("a", "x", fileDescriptor=0)},
                                                      [r])
        self.check(["dump", "a", "x"], code=1, stderr="luoctl: \"x\" of unit a is not memory, it "
                                                      "has no content to dump\n")

    def test_no_such_entry(self):
        self.luod.answers["io.luo.OpenEntry"] = Error("io.luo.NoSuchEntry",
                                                      {"unit": "a", "name": "x"})
        self.check(["dump", "a", "x"], code=4,
                   stderr="luoctl: cannot open the fd: unit \"a\" has no entry \"x\"\n")


class Store(LuoctlTest):
    def test_store(self):
        self.luod.answers["io.luo.Store"] = {"stored": 1}
        self.check(["store", "a", "x"], stdin="content")
        path = self.file("/content", "more\n" * 30000)
        self.check(["store", "a", "y", path])
        with open(self.root + "/sparse", "wb") as f:
            f.truncate(1 << 30)
        self.check(["store", "a", "z", self.root + "/sparse"])
        self.assertEqual(self.luod.calls, [
            ("io.luo.Store", {"unit": "a", "names": [name]}) for name in "xyz"])
        contents = [self.luod.received[i] for i in range(3)]
        self.assertEqual([os.pread(fd, 5, 0) for fd in contents],
                         [b"conte", b"more\n", bytes(5)])
        self.assertEqual([os.fstat(fd).st_size for fd in contents], [7, 150000, 1 << 30])
        self.assertEqual([os.lseek(fd, 0, os.SEEK_CUR) for fd in contents], [0, 0, 0])
        self.assertLess(os.fstat(contents[2]).st_blocks, 100)

    def test_errors(self):
        self.check(["store", "a", "x", "/nowhere/f"], code=1,
                   stderr="luoctl: cannot open /nowhere/f: No such file or directory\n")
        self.check(["store", "a", "x", "/"], code=1,
                   stderr="luoctl: cannot copy / into memory: Is a directory\n")
        self.luod.answers["io.luo.Store"] = Error("io.luo.NotPermitted", {"text": "not yours"})
        self.check(["store", "a", "x"], code=5, stdin="",
                   stderr="luoctl: cannot store: not yours\nTry it as root.\n")


class ClaimAndDrop(LuoctlTest):
    def test_claim(self):
        fd = memfd(b"")
        self.luod.answers["io.luo.Claim"] = [
            Reply({"entries": [entry("b", "x", fileDescriptor=0)]}, [fd]),
            Reply({"entries": [entry("b", "y", fileDescriptor=0)]}, [fd])]
        self.check(["claim", "a", "--unit", "b", "--name", "x"], """\
UNIT  NAME  STATE   KIND      SIZE  SEALS   AGE  NOTE
b     x     stored  memfd  4.0 KiB  -      3min  -
b     y     stored  memfd  4.0 KiB  -      3min  -

2 fds of 1 unit, 8.0 KiB
""")
        self.assertEqual(self.luod.calls, [("io.luo.Claim",
                                            {"unit": "a", "name": "x", "to": "b"})])
        reply = json.loads(self.luoctl("claim", "a", "--json").stdout)
        self.assertEqual([e["name"] for e in reply["entries"]], ["x", "y"])

    def test_claim_refused(self):
        self.luod.answers["io.luo.Claim"] = Error("io.luo.NoRoom", {"text": "no room in /x"})
        self.check(["claim", "a"], code=1, stderr="luoctl: cannot claim: no room in /x\n")

    def test_drop(self):
        self.luod.answers["io.luo.Drop"] = {"dropped": 2, "bytes": 3 << 20}
        self.check(["drop", "a", "--yes"], "Dropped 2 fds of unit a, 3.0 MiB.\n")
        self.check(["drop", "a", "x", "--state", "held", "--yes", "--no-legend"])
        self.assertEqual(self.luod.calls, [
            ("io.luo.Drop", {"unit": "a"}),
            ("io.luo.Drop", {"unit": "a", "name": "x", "state": "held"})])
        self.assertEqual(json.loads(self.luoctl("drop", "a", "--yes", "--json").stdout),
                         {"dropped": 2, "bytes": 3 << 20})

    def test_drop_asks(self):
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "x"), entry("a", "x"), entry("a", "y")]}
        self.luod.answers["io.luo.Drop"] = {"dropped": 2, "bytes": 8192}
        code, seen = self.on_terminal("drop", "a", "x", answer="n\n")
        self.assertEqual(code, 1)
        self.assertIn("Free 2 fds (8.0 KiB) of unit a for good? [y/N] ", seen)
        self.assertIn("luoctl: nothing was dropped\n", seen)
        self.assertNotIn("io.luo.Drop", [call[0] for call in self.luod.calls])
        code, seen = self.on_terminal("drop", "a", "x", answer="y\n")
        self.assertEqual(code, 0)
        self.assertIn("Dropped 2 fds of unit a, 8.0 KiB.\n", seen)


class Mapping(LuoctlTest):
    def fixture(self, name):
        return os.path.join(SRCDIR, "tests/fixtures/mapping", name)

    def test_v262(self):
        self.check(["mapping", self.fixture("v262.json")], """\
Generation: v262, version 1
   Updates: 1 before this one
  Shutdown: 2026-11-18 11:06:40 UTC
     Units: 2
   Entries: 3

UNIT       NAME    TYPE     TOKEN  SESSION  SIZE  FILE NAME
a.service  memory  fd           1  -           -  -
a.service  guest   session      -  vmm-7       -  -
b.service  cache   fd           2  -           -  -
""")

    def test_no_legend(self):
        self.check(["mapping", "--no-legend", self.fixture("v261.json")], """\
a.service  memory  fd       1  -      -  -
a.service  guest   session  -  vmm-7  -  -
b.service  cache   fd       2  -      -  -
b.service  cache   fd       3  -      -  -
""")

    def test_every_fixture(self):
        for name in sorted(os.listdir(self.fixture(""))):
            if not name.endswith(".json"):
                continue
            with self.subTest(name):
                p = self.luoctl("mapping", self.fixture(name))
                if name.startswith("bad-"):
                    self.assertEqual((p.returncode, p.stdout), (1, ""))
                    self.assertRegex(p.stderr, r"^luoctl: \S* is no mapping that can be restored: "
                                               r"[ -~]+\n$")
                else:
                    self.assertEqual(p.stderr, "")
                    self.assertEqual(p.returncode, "skipped:\n" in p.stdout)
                j = self.luoctl("mapping", "--json", self.fixture(name))
                self.assertEqual(j.returncode, p.returncode)
                json.loads(j.stdout)

    def test_issues(self):
        text = json.dumps({"version": 1, "units": {"a.service": {"fdstore": [
            {"type": "fd", "name": "x\x1b", "token": 1}, {"type": "fd", "name": "y", "token": 2},
            {"type": "fd", "name": "z", "token": 0}]}}})
        p = self.luoctl("mapping", "-", stdin=text)
        self.assertEqual(p.returncode, 1)
        self.assertIn("\n2 problems; what they are about is skipped:\n"
                      "  units.a.service.fdstore[0]: ", p.stdout)

    def test_refused(self):
        self.check(["mapping", "-"], stdin="{\"version\":99}", code=1,
                   stderr="luoctl: - is no mapping that can be restored: version 99 is not "
                          "supported; the newest supported version is 1\n")
        self.check(["mapping", "/nowhere/m"], code=1,
                   stderr="luoctl: cannot open /nowhere/m: No such file or directory\n")
        self.check(["mapping", "/"], code=1, stderr="luoctl: cannot read /: Is a directory\n")

    def test_live(self):
        with open(self.fixture("v262.json"), encoding="utf-8") as f:
            text = f.read()
        self.luod.answers["io.luo.GetMapping"] = {"mapping": text}
        self.check(["mapping", "--raw"], text if text.endswith("\n") else text + "\n")
        self.assertIn("Generation: v262", self.luoctl("mapping", "--session", "luod").stdout)
        self.assertEqual(self.luod.calls, [("io.luo.GetMapping", {}),
                                           ("io.luo.GetMapping", {"session": "luod"})])

    def test_raw_on_a_terminal(self):
        self.luod.answers["io.luo.GetMapping"] = {"mapping": "\x1b[2J"}
        self.assertEqual(self.on_terminal("mapping", "--raw"), (
            1, "luoctl: there are control characters in it, which a terminal would obey; write "
               "it to a file\n"))


REPORT = {
    "sessionName": "luod", "sessions": 1, "preserved": 3, "lost": 2, "bytes": 12582912,
    "usec": 1500, "results": [
        {"unit": "a", "name": "ram", "result": "preserved", "reason": None, "aliasOf": None,
         "bytes": 8388608, "usec": 1200},
        {"unit": "b", "name": "same", "result": "alias", "reason": None, "aliasOf": "a/ram",
         "bytes": 0, "usec": 0},
        {"unit": "b", "name": "sparse", "result": "copied", "reason": "it has holes",
         "aliasOf": None, "bytes": 4194304, "usec": 12345},
        {"unit": "b", "name": "s\x1b", "result": "not-preservable", "reason": "a socket",
         "aliasOf": None, "bytes": 0, "usec": 3},
        {"unit": "b", "name": "big", "result": "failed", "reason": "no memory", "aliasOf": None,
         "bytes": 0, "usec": 7}]}

TABLE = """\
UNIT  NAME    RESULT              SIZE    TIME  NOTE
a     ram     preserved        8.0 MiB  1.2 ms  -
b     same    alias                0 B    0 us  same file as a/ram
b     sparse  copied           4.0 MiB   12 ms  it has holes
b     s\\x1b   not-preservable      0 B    3 us  a socket
b     big     failed               0 B    7 us  no memory

3 preserved, 2 lost, 12 MiB in 1 session, 1.5 ms
"""


class Commit(LuoctlTest):
    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.Commit"] = REPORT
        self.luod.answers["io.luo.Abort"] = {"aborted": True}

    def test_preserve(self):
        self.check(["preserve"], TABLE + "Undone again.\n")
        self.check(["preserve", "--keep"],
                   TABLE + "Committed, until the kexec or luoctl abort.\n")
        self.assertEqual(self.luod.calls, [("io.luo.Commit", {"dryRun": True}),
                                           ("io.luo.Commit", {})])

    def test_commit(self):
        self.check(["commit", "--session", "s", "--max-files-per-session", "128"],
                   TABLE + "Committed, until the kexec or luoctl abort.\n")
        self.assertEqual(self.luod.calls, [("io.luo.Commit", {"sessionName": "s",
                                                              "maxFilesPerSession": 128})])
        self.assertEqual(json.loads(self.luoctl("preserve", "--json").stdout),
                         dict(REPORT, dryRun=True))

    def test_nothing_to_commit(self):
        self.luod.answers["io.luo.Commit"] = dict(REPORT, results=[], preserved=0, lost=0, bytes=0)
        self.check(["preserve"], "0 preserved, 0 lost, 0 B in 1 session, 1.5 ms\nUndone again.\n")

    def test_abort(self):
        self.check(["abort"], "The commit is undone.\n")
        self.luod.answers["io.luo.Abort"] = {"aborted": False}
        self.check(["abort"], "There was no commit.\n")
        self.check(["abort", "--json"], '{\n  "aborted": false\n}\n')


class Monitor(LuoctlTest):
    def test_monitor(self):
        self.luod.answers["io.luo.Monitor"] = [
            {"event": "hello", "unit": None, "name": None, "text": None, "at": 0},
            {"event": "stored", "unit": "a", "name": "x\n", "text": None,
             "at": 1795000000000000 + 7000},
            {"event": "status", "unit": "a", "name": None, "text": "\x1b[1mhi", "at": 1}]
        self.check(["monitor"], """\
-             hello
11:06:40.007  stored a "x\\n"
00:00:00.000  status a: \\x1b[1mhi
""")
        lines = self.luoctl("monitor", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["event"] for line in lines],
                         ["hello", "stored", "status"])

    def test_luod_goes(self):
        self.luod.answers["io.luo.Monitor"] = [{"event": "hello", "at": 0}, Hangup()]
        self.check(["monitor"], "-             hello\n", code=3,
                   stderr="luoctl: cannot monitor: luod went away in the middle of the call; it "
                          "may be restarting, try again\n")


if __name__ == "__main__":
    unittest.main()
