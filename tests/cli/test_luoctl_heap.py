# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl heap: what it says of heaps that are sound, in use, damaged, or none."""

import base64
import fcntl
import json
import os
import re
import struct
import unittest

from fakeluod import Error, Reply
from luoctltest import SRCDIR, LuoctlTest, entry

PAGE = 65536
OWNER = 0x100
INDEX = 0x400
SLOT_0 = 2 * PAGE
ROOT_CONTENT = (struct.pack("<QQQ", 4711, 0x1fd97, 0x1bf96f) +
                b"Greetings from format 1".ljust(32, b"\0"))
DIED = "\nIts last owner died in the middle of a change. This is how the next one will find it.\n"
ROOT = """\
fixture: type 0xf1cedf0123456789, version 3, 56 bytes at 0x30680
  00000000  67 12 00 00 00 00 00 00  97 fd 01 00 00 00 00 00  |g...............|
  00000010  6f f9 1b 00 00 00 00 00  47 72 65 65 74 69 6e 67  |o.......Greeting|
  00000020  73 20 66 72 6f 6d 20 66  6f 72 6d 61 74 20 31 00  |s from format 1.|
  00000030  00 00 00 00 00 00 00 00                           |........|
"""
BLOCKS = [(0x30680, 64), (0x40800, 112), (0x50400, 32), (0x50420, 32), (0x60c00, 128),
          (0x76000, 1024), (0x8f400, 3072), (0xac000, 10240), (0xd9000, 20480),
          (0x1c1000, 131072), (0x1f0000, 262144)]


def fixture(name):
    """The heap of tests/fixtures/heap, as bytes."""
    image = bytearray()
    with open(os.path.join(SRCDIR, "tests/fixtures/heap", name), encoding="ascii") as f:
        for line in f:
            if line.startswith("#"):
                continue
            first, second = line.split()
            if first == "size":
                image = bytearray(int(second, 16))
            else:
                struct.pack_into("<Q", image, int(first, 16), int(second, 16))
    return image


def mix(a, b, c):
    """As docs/heap-format.md has it."""
    mask = 2 ** 64 - 1
    x = (a * 0x9e3779b97f4a7c15 ^ (b + 0xd1b54a32d192ed03 & mask) * 0xff51afd7ed558ccd ^
         (c + 0x2545f4914f6cdd1d & mask) * 0xc4ceb9fe1a85ec53) & mask
    for _ in range(2):
        x ^= x >> 32
        x = x * 0xd6e8feb86659fd93 & mask
    return x ^ x >> 32


class HeapTest(LuoctlTest):
    def setUp(self):
        super().setUp()
        self.path = self.root + "/heap"
        self.image = fixture("format-1.txt")

    def put(self, image=None):
        """Writes it; that it was not changed is looked at in the end."""
        image = bytes(self.image if image is None else image)
        self.file("/heap", image)
        self.addCleanup(self.assert_unchanged, image)

    def assert_unchanged(self, image):
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(len(image)), image)

    def poke(self, offset, value, size=8):
        self.image[offset:offset + size] = (value % 2 ** 64).to_bytes(size, "little")

    def sum_of(self, begin, end):
        return sum(mix(offset, value, 0)
                   for offset, (value,) in zip(range(begin, end, 8),
                                               struct.iter_unpack("<Q", self.image[begin:end]))
                   if value)

    def heap(self, *arguments, **more):
        self.check(["heap", *arguments], **more)


class Usage(HeapTest):
    def usage(self, arguments, text):
        self.heap(*arguments, stderr=f"luoctl: {text}\nTry 'luoctl help heap'.\n", code=2)

    def test_errors(self):
        missing = "heap: an argument is missing: luoctl heap HOW FILE|UNIT [NAME]"
        self.usage([], missing)
        self.usage(["check"], missing)
        self.usage(["check", "a", "b", "c"], "heap: too many arguments")
        self.usage(["frob", "./x"], "heap: check, stat or dump, not 'frob'")
        self.usage(["check", "x"],
                   "heap: which entry of unit x? If it is a file, say ./x")
        self.usage(["check", "./x", "y"], "heap: ./x is a file, and has no entries")
        self.usage(["stat", "./x", "--blocks"], "heap: --blocks, --root and --raw are for dump")
        self.usage(["check", "./x", "--root", "r"],
                   "heap: --blocks, --root and --raw are for dump")
        self.usage(["dump", "./x", "--raw"], "heap: --raw needs --root NAME")
        self.usage(["dump", "./x", "--raw", "--root", "r", "--json"],
                   "heap: --raw and --json exclude each other")
        self.usage(["dump", "./x", "--blocks", "--root", "r"],
                   "heap: --root and --blocks exclude each other")
        self.usage(["dump", "a b", "c"],
                   "that is no name of a unit: 1 to 255 letters, digits and any of :-_.\\@")
        self.assertEqual(self.luod.calls, [])

    def test_help(self):
        self.check(["help", "heap"], """\
Usage: luoctl heap [OPTION...] HOW FILE|UNIT [NAME]

Look into a persistent heap.

How:
  check             does everything in it fit together?
  stat              what it is, how much is in it, and its roots
  dump              the objects of its roots

Options:
  --nth N           which of several fds of that name, from 0
  --root NAME       dump: only this root
  --raw             dump: the bytes of the root's object as they are
  --blocks          dump: every block in use instead of the roots
  --json            print JSON
  --no-legend       no headings and totals
  --socket PATH     where luod listens (default: /run/luo/io.luo)
  --timeout SECS    how long to wait for luod (default: 0, for ever)
  --help, --version
""")


class Check(HeapTest):
    def test_sound(self):
        self.put()
        self.heap("check", self.path, stdout="No problems: 11 objects in 2.6 MiB.\n")
        self.heap("check", self.path, "--no-legend")

    def test_interrupted(self):
        self.put(fixture("format-1-interrupted.txt"))
        self.heap("check", self.path, stdout="No problems: 11 objects in 2.6 MiB.\n" + DIED)

    def test_problems(self):
        self.poke(0x40018, 1)
        self.poke(SLOT_0 + 8, 7)
        self.poke(0x3fff0, 5)  # nothing that is looked at: content
        self.put()
        problems = [
            "slot 0: the list of blocks that others freed names 0x7, where no block begins",
            "the slab at page 4: at offset 0x40018 is not zero"]
        self.heap("check", self.path, code=1, stdout="\n".join(problems) +
                  "\n\n2 problems. Nothing was changed.\n")
        self.heap("check", self.path, "--no-legend", code=1, stdout="\n".join(problems) + "\n")
        p = self.luoctl("heap", "check", self.path, "--json")
        self.assertEqual((p.returncode, p.stderr), (1, ""))
        report = json.loads(p.stdout)
        self.assertEqual(report["problems"], problems)
        self.assertIs(report["consistent"], False)
        self.assertEqual(report["problemCount"], 2)

    def test_many_problems(self):
        """A heap that was made to be annoying: each page says that it is a table."""
        for i in range(41, 4096):
            self.poke(PAGE + 16 * i, 1 << 32 | 7)
        self.poke(INDEX + 8, 4096, size=4)
        self.poke(0x6008, self.sum_of(PAGE, 2 * PAGE))
        self.poke(INDEX, self.sum_of(INDEX + 8, 0x1000) + self.sum_of(0x2000, 0xe000))
        self.put()
        os.truncate(self.path, 4096 * PAGE)
        p = self.luoctl("heap", "check", self.path)
        self.assertEqual((p.returncode, p.stderr), (1, ""))
        lines = p.stdout.splitlines()
        self.assertEqual(lines[0], "page 41 (offset 0x290000, 1 page) is neither super page nor "
                                   "leaf nor slots")
        self.assertEqual(lines[1000:], ["and 3055 more", "",
                                        "4055 problems. Nothing was changed."])

    def test_json(self):
        self.put()
        p = self.luoctl("heap", "check", self.path, "--json")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        report = json.loads(p.stdout)
        self.assertIs(report["consistent"], True)
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["usage"], {
            "objects": 11, "objectSize": sum(size for _, size in BLOCKS),
            "freeSize": len(self.image) - 428400 - 285552, "overheadSize": 285552, "slabs": 9,
            "runs": 1})
        self.assertEqual(report["heap"]["name"], "fixture")
        self.assertIs(report["heap"]["interrupted"], False)


class Refused(HeapTest):
    """What cannot even be opened."""

    def refused(self, text, code=1):
        for how in ("check", "stat", "dump"):
            self.heap(how, self.path, code=code,
                      stderr=f"luoctl: cannot look into {self.path}: {text}\n")

    def damaged(self, text):
        self.put()
        self.refused(text)
        # That it is damaged is what a check was asked for.
        p = self.luoctl("heap", "check", self.path, "--json")
        self.assertEqual((p.returncode, p.stderr), (1, ""))
        self.assertEqual(json.loads(p.stdout), {"consistent": False, "problems": [text]})

    def test_cut_off(self):
        del self.image[-1:]
        self.damaged("it is cut off: it has 2686976 bytes, and the file only 2686975")

    def test_header_only(self):
        del self.image[PAGE:]
        self.damaged("it is cut off: the file has only 65536 bytes")

    def test_piece(self):
        del self.image[100:]
        self.damaged("it has 100 bytes, and is not a heap")

    def test_empty(self):
        self.put(b"")
        self.refused("there is no heap in it yet")

    def test_foreign(self):
        self.image = bytearray(b"It was a dark and stormy night.\n" * 10000)
        self.damaged("it is not a heap; nothing was changed")

    def test_zeros(self):
        self.image = bytearray(len(self.image))
        self.damaged("it is not a heap; nothing was changed")

    def test_newer(self):
        self.poke(8, 2, size=4)
        self.put()
        for how in ("check", "stat", "dump"):
            p = self.luoctl("heap", how, self.path, "--json")
            self.assertEqual((p.returncode, p.stdout), (1, ""))
            self.assertRegex(p.stderr, f"^luoctl: cannot look into {self.path}: it has format 2, "
                             r"and this libluo \([0-9.]+\) knows formats up to 1; use the newer "
                             "libluo that made it\n$")

    def test_header(self):
        self.poke(0x28, 0x78, size=1)
        self.damaged("its header is damaged (the checksum is wrong)")

    def test_index(self):
        self.poke(INDEX + 12, 5, size=4)
        self.damaged("its page index is damaged (the checksum is wrong)")

    def test_root(self):
        self.poke(0x2000, 0x30690)
        self.damaged("its page index is damaged (the checksum is wrong)")

    def test_slot(self):
        self.poke(SLOT_0, 5)
        self.damaged("its slot 0 is damaged (its check word)")

    def test_log(self):
        self.poke(0x1000, 3)
        self.damaged("its log is damaged")


class Files(HeapTest):
    def test_no_file(self):
        self.heap("check", "/nowhere/x", code=1,
                  stderr="luoctl: cannot open /nowhere/x: No such file or directory\n")
        self.heap("check", self.root, code=1, stderr=f"luoctl: cannot look into {self.root}: it is "
                  "not a regular file or memfd\n")
        os.mkfifo(self.path)
        self.heap("check", self.path, code=1, stderr=f"luoctl: cannot look into {self.path}: it is "
                  "not a regular file or memfd\n")

    def test_not_permitted(self):
        self.put()
        os.chmod(self.path, 0)
        if os.geteuid() != 0:
            self.heap("check", self.path, code=5,
                      stderr=f"luoctl: cannot open {self.path}: Permission denied\n")
            os.chmod(self.path, 0o600)
            return
        os.chmod(self.root, 0o755)
        try:
            p = self.luoctl_as(65534, "heap", "check", self.path)
        except PermissionError:
            self.skipTest("others may not run what was built here")
        self.assertEqual((p.returncode, p.stdout, p.stderr), (
            5, "", f"luoctl: cannot open {self.path}: Permission denied\n"))

    def test_read_only_file(self):
        self.put()
        os.chmod(self.path, 0o444)
        self.heap("check", self.path, stdout="No problems: 11 objects in 2.6 MiB.\n")

    def test_hostile_name(self):
        self.heap("check", "/nowhere/\x1b[2J", code=1, stderr="luoctl: cannot open "
                  "/nowhere/\\x1b[2J: No such file or directory\n")


class Stat(HeapTest):
    EXPECTED = """\
     Heap: fixture
       Id: b7b882404820548e
   Format: 1
    Owner: nobody
   Opened: 1 time for writing
  Created: 2026-11-21 15:56:57 UTC, AGE ago
     Size: 2.6 MiB (2686976 bytes)
  Objects: 11, 418 KiB; 10 in 9 slabs, 1 with pages of their own
     Free: 1.9 MiB
 Overhead: 279 KiB

ROOT                   TYPE  VERSION  SIZE   OFFSET
fixture  0xf1cedf0123456789        3  56 B  0x30680
"""

    def stat(self, *more):
        p = self.luoctl("heap", "stat", self.path, *more)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        return re.sub(r"UTC, \w+ ago", "UTC, AGE ago", p.stdout)

    def test_stat(self):
        self.put()
        self.assertEqual(self.stat(), self.EXPECTED)

    def test_last_owner(self):
        self.image[OWNER:OWNER + 24] = struct.pack("<Q16s", 4711, b"a\x1bd")
        self.put()
        self.assertIn("\n    Owner: nobody; the last was a\\x1bd\n", self.stat())

    def test_no_legend(self):
        self.put()
        lines = self.EXPECTED.splitlines(keepends=True)
        expected = "".join(lines[:-2]) + "fixture  0xf1cedf0123456789  3  56 B  0x30680\n"
        self.assertEqual(self.stat("--no-legend"), expected)

    def test_problems(self):
        self.poke(0x40018, 1)
        self.put()
        self.assertIn("\n Problems: 1; heap check lists them\n", self.stat())

    def test_interrupted(self):
        self.put(fixture("format-1-interrupted.txt"))
        self.assertTrue(self.stat().endswith(DIED))

    def test_json(self):
        self.put()
        report = json.loads(self.stat("--json"))
        self.assertEqual(report["id"], "0xb7b882404820548e")
        self.assertEqual(report["roots"], [{"name": "fixture", "typeId": "0xf1cedf0123456789",
                                            "version": 3, "size": 56, "offset": 0x30680}])
        self.assertEqual((report["size"], report["problemCount"], report["ownerPid"]),
                         (len(self.image), 0, None))


class Dump(HeapTest):
    def test_roots(self):
        self.put()
        self.heap("dump", self.path, stdout=ROOT)
        self.heap("dump", self.path, "--root", "fixture", stdout=ROOT)
        self.heap("dump", self.path, "--root", "other", code=4,
                  stderr="luoctl: the heap has no root \"other\"\n")

    def test_raw(self):
        self.put()
        p = self.luoctl("heap", "dump", self.path, "--root", "fixture", "--raw", text=False)
        self.assertEqual((p.returncode, p.stderr, p.stdout), (0, b"", ROOT_CONTENT))
        self.assertEqual(self.on_terminal("heap", "dump", self.path, "--root", "fixture", "--raw"), (
            1, "luoctl: the object is binary, and a terminal would obey it; leave --raw out, or "
               "write it to a file\n"))

    def test_interrupted(self):
        """The interrupted one: the transaction's change of the root is not to be seen."""
        self.put(fixture("format-1-interrupted.txt"))
        p = self.luoctl("heap", "dump", self.path)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("  00000000  67 12 00 00 00 00 00 00", p.stdout)
        self.assertTrue(p.stdout.endswith(DIED))

    def test_lines_that_repeat(self):
        self.image[0x30680:0x30680 + 56] = bytes(56)
        self.put()
        self.heap("dump", self.path, stdout=ROOT.splitlines(keepends=True)[0] + """\
  00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
  *
  00000030  00 00 00 00 00 00 00 00                           |........|
""")

    def test_blocks(self):
        self.put()
        rows = "".join(f"0x{offset:010x}  {size:10}\n" for offset, size in BLOCKS)
        self.heap("dump", self.path, "--blocks", stdout="OFFSET              SIZE\n" + rows)
        self.heap("dump", self.path, "--blocks", "--no-legend", stdout=rows)

    def test_blocks_of_a_damaged_heap(self):
        self.poke(SLOT_0 + 8, 7)
        self.put()
        p = self.luoctl("heap", "dump", self.path, "--blocks")
        self.assertEqual((p.returncode, p.stderr), (
            1, "luoctl: walking through the heap 'fixture': some blocks may be missing: slot 0: "
               "the list of blocks that others freed names 0x7, where no block begins\n"))
        self.assertIn("0x0000030680          64\n", p.stdout)

    def test_json(self):
        self.put()
        p = self.luoctl("heap", "dump", self.path, "--blocks", "--json")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        report = json.loads(p.stdout)
        self.assertEqual([(b["offset"], b["size"]) for b in report["blocks"]], BLOCKS)
        self.assertEqual([base64.b64decode(r["base64"]) for r in report["roots"]], [ROOT_CONTENT])
        p = self.luoctl("heap", "dump", self.path, "--root", "fixture", "--json")
        self.assertEqual(base64.b64decode(json.loads(p.stdout)["base64"]), ROOT_CONTENT)


class InUse(HeapTest):
    def setUp(self):
        super().setUp()
        self.image[OWNER:OWNER + 24] = struct.pack("<Q16s", 4711, b"kvd")

    def own(self, interrupted=None):
        """This process is the owner, by its lock."""
        if interrupted:
            self.image = interrupted
            self.image[OWNER:OWNER + 24] = struct.pack("<Q16s", 4711, b"kvd")
        self.put()
        owner = open(self.path, "rb+")
        self.addCleanup(owner.close)
        fcntl.fcntl(owner, fcntl.F_OFD_SETLK,
                    struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))

    NOTE = "\nIt is in use by kvd (pid 4711), and may have changed meanwhile.\n"

    def test_check(self):
        self.own()
        self.heap("check", self.path, stdout="No problems: 11 objects in 2.6 MiB.\n" + self.NOTE)
        self.heap("check", self.path, "--no-legend")

    def test_stat(self):
        self.own()
        p = self.luoctl("heap", "stat", self.path)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("\n    Owner: kvd, pid 4711\n", p.stdout)
        self.assertTrue(p.stdout.endswith(self.NOTE))
        report = json.loads(self.luoctl("heap", "stat", self.path, "--json").stdout)
        self.assertEqual((report["ownerPid"], report["ownerName"]), (4711, "kvd"))

    def test_dump(self):
        self.own()
        self.heap("dump", self.path, stdout=ROOT + self.NOTE)

    def test_in_the_middle_of_a_change(self):
        """Nothing is mended under an owner who goes on."""
        self.own(fixture("format-1-interrupted.txt"))
        p = self.luoctl("heap", "check", self.path)
        self.assertEqual((p.returncode, p.stderr), (1, ""))
        self.assertIn("the heap's log (offset 0x1000) is not empty", p.stdout)
        self.assertTrue(p.stdout.endswith(self.NOTE))


class Unit(HeapTest):
    def stored(self, fd):
        self.luod.answers["io.luo.OpenEntry"] = Reply(
            {"entry": entry("a.service", "state", fileDescriptor=0)}, [fd])

    def memfd(self, content):
        fd = os.memfd_create("test")
        self.addCleanup(os.close, fd)
        os.write(fd, content)
        return fd

    def test_memfd(self):
        fd = self.memfd(self.image)
        self.stored(fd)
        self.heap("check", "a.service", "state", stdout="No problems: 11 objects in 2.6 MiB.\n")
        self.heap("dump", "a.service", "state", "--nth", "2", stdout=ROOT)
        self.assertEqual(self.luod.calls, [
            ("io.luo.OpenEntry", {"unit": "a.service", "name": "state", "nth": n})
            for n in (0, 2)])
        self.assertEqual(os.pread(fd, len(self.image) + 1, 0), self.image)

    def test_not_a_heap(self):
        self.stored(self.memfd(b"something"))
        self.heap("check", "a.service", "state", code=1, stderr="luoctl: cannot look into \"state\" "
                  "of unit a.service: it has 9 bytes, and is not a heap\n")

    def test_not_memory(self):
        r, w = os.pipe()
        os.close(w)
        self.stored(r)
        self.heap("stat", "a.service", "state", code=1, stderr="luoctl: cannot look into \"state\" "
                  "of unit a.service: it is not a regular file or memfd\n")
        os.close(r)

    def test_no_such_entry(self):
        self.luod.answers["io.luo.OpenEntry"] = Error("io.luo.NoSuchEntry",
                                                      {"unit": "a.service", "name": "x"})
        self.heap("check", "a.service", "x", code=4, stderr="luoctl: cannot open the fd: unit "
                  "\"a.service\" has no entry \"x\"\n")

    def test_no_luod(self):
        self.luod.stop()
        self.heap("check", "a.service", "x", code=3, stderr="luoctl: cannot reach luod on "
                  f"{self.luod.path}: No such file or directory\nStart luod first, or say with "
                  "--socket where it listens.\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
