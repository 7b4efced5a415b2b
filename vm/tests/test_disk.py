# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The disks of Debian guests, and what they are made with."""

import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from unittest import mock

from luovm import cache, debian, disk
from luovm.errors import UserError

_SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_DEBUGFS = shutil.which("debugfs", path=_SBIN)
# In a fake mmdebstrap: to the file descriptor that is the last argument of the hook.
_TO_IMAGE = '>/proc/self/fd/$(echo "$*" | sed "s/.*init \\([0-9]*\\) .*/\\1/")\n'
_MKFS = shutil.which("mkfs.ext4", path=_SBIN)


class Kernel:
    def __init__(self, path):
        self.path = path
        self.guest_path = "/luovm/kernels/1-test"


@unittest.skipUnless(_DEBUGFS and _MKFS, "e2fsprogs is not installed")
class Images(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.cache = cache.Cache(os.path.join(folder.name, "cache"))

    def write(self, name, data=b"x", mode=0o644):
        place = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as out:
            out.write(data)
        os.chmod(place, mode)
        return place

    def debugfs(self, image, request):
        return subprocess.run([_DEBUGFS, "-R", request, image], capture_output=True, check=True).stdout

    def entry(self, image, path):
        """(mode, uid) of a file in an image."""
        text = self.debugfs(image, f"stat {path}").decode()
        self.assertIn("Mode:", text, path)
        return text.split("Mode:")[1].split()[0], int(text.split("User:")[1].split()[0])

    def test_overlays(self):
        self.write("one/usr/bin/program", b"first", 0o755)
        self.write("one/lib/systemd/system/a.service")
        self.write("two/usr/bin/program", b"second", 0o700)
        os.symlink("program", os.path.join(self.folder, "two/usr/bin/link"))
        folders = [os.path.join(self.folder, name) for name in ("one", "two")]
        made = disk.build_overlay(self.cache, folders)
        self.assertEqual(self.debugfs(made, "cat /usr/bin/program"), b"second")
        self.assertEqual(self.entry(made, "/usr/bin/program"), ("0700", 0))
        # The guest's /usr is merged: a folder /lib on top would hide the link that is there.
        self.entry(made, "/usr/lib/systemd/system/a.service")
        self.assertIn(b"File not found", subprocess.run([_DEBUGFS, "-R", "stat /lib", made], capture_output=True,
                                                        check=True).stderr)
        self.assertIn("Fast link dest", self.debugfs(made, "stat /usr/bin/link").decode())
        self.assertEqual(disk.build_overlay(self.cache, folders), made)
        self.write("two/usr/bin/program", b"third")
        self.assertNotEqual(disk.build_overlay(self.cache, folders), made)

    def test_an_overlay_that_is_not_there(self):
        with self.assertRaises(UserError):
            disk.build_overlay(self.cache, [os.path.join(self.folder, "nothing")])

    def test_the_disk_of_a_run(self):
        self.write("scenario/stage1", b"#!/bin/sh", 0o755)
        self.write("scenario/bin/helper", b"#!/bin/sh", 0o755)
        kernel = Kernel(self.write("bzImage", b"kernel"))
        made = os.path.join(self.folder, "disk")
        disk.make_run_disk(self.cache, made, b"A=1\n", os.path.join(self.folder, "scenario"), ["debian-13"], [kernel])
        self.assertEqual(self.debugfs(made, "cat /config"), b"A=1\n")
        self.assertEqual(self.debugfs(made, "cat /kernels/1-test"), b"kernel")
        self.assertEqual(self.entry(made, "/scenario/stage1"), ("0755", 0))
        # A scenario's own bin/ is no part of the system.
        self.assertEqual(self.entry(made, "/scenario/bin/helper"), ("0755", 0))
        for path in ("/roots/debian-13/upper", "/layer/etc/systemd/system/luo-vm.service", "/enter", "/machine.sh"):
            self.entry(made, path)
        self.assertIn("/dev/null", self.debugfs(made, "stat /layer/etc/systemd/system/apt-daily.timer").decode())
        # Sparse: what the guest does not write takes no room.
        self.assertLess(os.stat(made).st_blocks * 512, 64 << 20)
        self.assertEqual(stat.S_IFMT(os.stat(made).st_mode), stat.S_IFREG)

    def test_no_room(self):
        with mock.patch("luovm.disk._RUN_SIZE", 1 << 20), self.assertRaises(UserError) as caught:
            disk.make_run_disk(self.cache, os.path.join(self.folder, "disk"), b"x" * (4 << 20), None, [], [])
        self.assertIn("mkfs.ext4 ended with status", str(caught.exception))


class Drives(unittest.TestCase):
    def test_only_the_first_is_written_to(self):
        arguments = disk.drives("/a,b", "/c", "/d")
        self.assertIn("file=/a,,b,", arguments[1])
        self.assertEqual(["readonly=on" in part for part in arguments[1::4]], [False, True, True])
        self.assertEqual([part.split("addr=")[1].split(",")[0] for part in arguments[3::4]], ["0x2.0", "0x2.1", "0x2.2"])


class Roots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = cache.Cache(folder.name)

    def test_without_mmdebstrap(self):
        with mock.patch("luovm.debian.shutil.which", return_value=None), self.assertRaises(UserError) as caught:
            debian.build(self.cache, "debian-13")
        self.assertIn("the package mmdebstrap", str(caught.exception))
        self.assertEqual([name for name, _, made in debian.listing(self.cache) if made], [])

    def build(self, program, refresh=False):
        with tempfile.TemporaryDirectory() as folder:
            fake = os.path.join(folder, "mmdebstrap")
            with open(fake, "w", encoding="ascii") as out:
                out.write("#!/bin/sh\n" + program)
            os.chmod(fake, 0o755)
            with mock.patch.dict(os.environ, PATH=f"{folder}:{_SBIN}"), \
                    mock.patch("luovm.apt.mirror", return_value="http://mirror.example/archive"), \
                    mock.patch("sys.stderr"):
                return debian.build(self.cache, "debian-12-backports", refresh)

    @unittest.skipUnless(_MKFS, "e2fsprogs is not installed")
    def test_the_image_is_what_the_hook_writes(self):
        place = self.build('printf "%s " "$@" ' + _TO_IMAGE)
        with open(place, encoding="utf-8") as file:
            said = file.read()
        self.assertIn("bookworm - deb http://mirror.example/archive bookworm main deb", said)
        self.assertIn('APT::Default-Release "bookworm-backports"', said)
        self.assertEqual(self.build("exit 1"), place)
        self.assertEqual([name for name, _, made in debian.listing(self.cache) if made], ["debian-12-backports"])
        with self.assertRaises(UserError):
            self.build("exit 1", refresh=True)
        self.assertTrue(os.path.exists(place))
        self.assertEqual(self.build("echo again " + _TO_IMAGE, refresh=True), place)
        with open(place, encoding="utf-8") as file:
            self.assertEqual(file.read(), "again\n")

    @unittest.skipUnless(_MKFS, "e2fsprogs is not installed")
    def test_nothing_stays_of_a_failure(self):
        for program, text in (("echo no such suite; exit 3", "no such suite"), ("exit 0", "made no image")):
            with self.subTest(program):
                with self.assertRaises(UserError) as caught:
                    self.build(program)
                self.assertIn(text, str(caught.exception))
                self.assertEqual(os.listdir(self.cache.path("images")), [])


if __name__ == "__main__":
    unittest.main()
