# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Cache, mirrors, progress, kernel images and ELF files: what luo-vm does on the host."""

import io
import os
import struct
import sys
import tempfile
import unittest

from luovm import apt, bzimage, cache, elf, image, progress, qemu
from luovm.errors import UserError

from .test_cpio import entries


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = cache.Cache(folder.name)

    def test_key(self):
        self.assertEqual(cache.key({"a": 1, "b": 2}), cache.key({"b": 2, "a": 1}))
        self.assertNotEqual(cache.key({"a": 1}), cache.key({"a": 2}))

    def test_made_once(self):
        made = []
        for _ in range(2):
            place = self.cache.file("kind", "name", {"a": 1}, lambda out: (made.append(1), out.write(b"x")))
        self.assertEqual(made, [1])
        with open(place, "rb") as file:
            self.assertEqual(file.read(), b"x")

    def test_nothing_stays_of_a_failure(self):
        def fails(_):
            raise OSError("full")
        for make in (self.cache.file, self.cache.folder):
            with self.assertRaises(OSError):
                make("kind", "name", {}, fails)
        self.assertEqual(os.listdir(self.cache.path("kind")), [])
        self.assertEqual(os.listdir(self.cache.path("work")), [])

    def test_what_a_killed_build_left_is_removed(self):
        with self.cache.work_folder("busy") as busy:
            left = self.cache.path("work", "left")
            os.makedirs(os.path.join(left, "source"))
            for path in (busy, left):
                os.utime(path, (0, 0))
            with self.cache.work_folder("next"):
                self.assertTrue(os.path.exists(busy))
                self.assertFalse(os.path.exists(left))

    def test_folder_knows_its_inputs(self):
        place = self.cache.folder("kind", "name", {"a": 1}, lambda folder: None)
        self.assertEqual(os.listdir(place), ["inputs.json"])


class Mirror(unittest.TestCase):
    def test_the_debian_archive_is_chosen(self):
        listing = ("http://a.example/other\tOther\tOther\n"
                   "http://a.example/mirror/debian-security/\tDebian\tDebian-Security\n"
                   "http://a.example/mirror/debian/\tDebian\tDebian\n")
        self.assertEqual(apt.choose_mirror(listing), "http://a.example/mirror/debian/")

    def test_before_the_first_update(self):
        listing = "http://a.example/mirror/debian-security/\t\t\nhttp://a.example/mirror/debian/\t\t\n"
        self.assertEqual(apt.choose_mirror(listing), "http://a.example/mirror/debian/")

    def test_none(self):
        self.assertIsNone(apt.choose_mirror("http://a.example/ubuntu\tUbuntu\tUbuntu\n\n"))


class Progress(unittest.TestCase):
    def test_a_log_gets_few_lines(self):
        now, out = [0.0], io.StringIO()
        with progress.Progress("step", 100, out, lambda: now[0]) as step:
            for done in range(100):
                now[0] = float(done)
                step.update(done)
        lines = out.getvalue().splitlines()
        self.assertEqual(lines[0], "step ...")
        self.assertEqual(lines[1], "step:  30%, about 1 min 10 s left")
        self.assertEqual(lines[-1], "step: done in 1 min 39 s")
        self.assertLess(len(lines), 8)


class BzImage(unittest.TestCase):
    def release(self, data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return bzimage.release(file.name)

    def test_release(self):
        data = bytearray(0x1000)
        data[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", data, 0x20E, 0x100)
        data[0x300:0x320] = b"7.2.12-luo (a@b) #1 SMP\0".ljust(0x20, b"\0")
        self.assertEqual(self.release(bytes(data)), "7.2.12-luo")

    def test_something_else(self):
        for data in (b"", b"\x7fELF" + bytes(5000)):
            with self.assertRaises(UserError):
                self.release(data)


class Elf(unittest.TestCase):
    def test_this_interpreter(self):
        with open(os.path.realpath(sys.executable), "rb") as file:
            data = file.read()
        self.assertTrue(elf.is_elf(data))
        dynamic = elf.read(data)
        self.assertTrue(any(name.startswith("libc.so") for name in dynamic.needed))
        libraries, missing = elf.closure([(sys.executable, data)], set())
        self.assertEqual({name for name in missing if "libc.so" in name}, set())
        self.assertTrue(any("libc.so" in path for path in libraries))
        self.assertIn(dynamic.interpreter, libraries)


class Image(unittest.TestCase):
    def test_guest_path(self):
        self.assertEqual(image.guest_path("/lib/x/libc.so"), "usr/lib/x/libc.so")
        self.assertEqual(image.guest_path("/usr/lib/x"), "usr/lib/x")
        self.assertEqual(image.guest_path("etc/passwd"), "etc/passwd")

    def test_overlay(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("bin/tool", "#!/bin/sh"), ("usr/lib64/libx.so.1", "x"), ("etc/conf", "c")):
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                    file.write(text)
            os.symlink("libx.so.1", os.path.join(folder, "usr/lib64/libx.so"))
            with tempfile.TemporaryDirectory() as root:
                with open(image.build_overlay(cache.Cache(root), folder), "rb") as file:
                    found = {name: contents for name, _, contents, _ in entries(file.read())}
        self.assertEqual(found["usr/bin/tool"], b"#!/bin/sh")
        self.assertEqual(found["usr/lib64/libx.so"], b"libx.so.1")
        self.assertEqual(found["usr/lib/x86_64-linux-gnu/libx.so.1"], b"/usr/lib64/libx.so.1")
        self.assertNotIn("bin/tool", found)


class Monitor(unittest.TestCase):
    def test_shutdown_reason(self):
        self.assertEqual(qemu.shutdown_reason('{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}'),
                         "guest-reset")
        for line in ("", "{", "[]", '{"event":"RESET"}', '{"return":{}}'):
            self.assertIsNone(qemu.shutdown_reason(line))
