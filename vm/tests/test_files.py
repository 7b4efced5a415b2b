# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Folders that become part of a guest, with everything that a file system can have in them."""

import os
import socket
import stat
import subprocess
import tempfile
import unittest
from unittest import mock

from luovm import cache, disk, files, image, scenario
from luovm.errors import UserError

from .test_cpio import entries
from .test_disk import _DEBUGFS, _MKFS


class Tree(unittest.TestCase):
    """A scenario's folder, beside a folder of files that it links to."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = temporary.name
        self.folder = os.path.join(self.top, "example")
        self.write("example/scenario.toml", "")
        self.write("example/stage1", "#!/bin/sh\n", 0o755)
        self.write("shared/lib.sh", "shared\n")

    def write(self, name, text, mode=0o644):
        place = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(place, mode)

    def link(self, name, target):
        os.symlink(target, os.path.join(self.folder, name))

    def initramfs(self):
        """{name: (mode, contents)} of the scenario in the minimal guest."""
        return {os.path.relpath(name, "luovm/scenario"): (mode, contents)
                for name, mode, contents, _ in entries(image.tree(self.folder, "luovm/scenario"))}


class Links(Tree):
    def test_a_dangling_link_stays_a_link(self):
        self.link(".#stage1", "user@host.1234")
        self.link("at-boot", "/run/made-by-the-guest")
        self.assertEqual(len(scenario.load(self.folder).stages), 1)
        found = self.initramfs()
        for name, target in ((".#stage1", b"user@host.1234"), ("at-boot", b"/run/made-by-the-guest")):
            self.assertTrue(stat.S_ISLNK(found[name][0]))
            self.assertEqual(found[name][1], target)

    def test_a_loop_stays_a_link(self):
        self.link("a", "b")
        self.link("b", "a")
        self.link("under", "stage1/nothing")
        found = self.initramfs()
        self.assertEqual([found[name][1] for name in ("a", "b", "under")], [b"b", b"a", b"stage1/nothing"])

    def test_a_link_to_a_file_arrives_as_that_file(self):
        self.link("lib.sh", "../shared/lib.sh")
        mode, contents = self.initramfs()["lib.sh"]
        self.assertTrue(stat.S_ISREG(mode))
        self.assertEqual(contents, b"shared\n")

    def test_a_link_to_a_device_or_a_folder_stays_a_link(self):
        self.write("example/data/one", "1")
        self.link("masked.service", "/dev/null")
        self.link("again", "data")
        self.link("sys", "/sys")
        found = self.initramfs()
        self.assertEqual([found[name][1] for name in ("masked.service", "again", "sys")],
                         [b"/dev/null", b"data", b"/sys"])
        self.assertEqual(found["data/one"][1], b"1")

    def test_a_link_to_a_folder_outside_is_refused(self):
        self.link("shared", "../shared")
        with self.assertRaises(UserError) as caught:
            self.initramfs()
        self.assertIn(f"cannot copy {self.folder}/shared into the guest: it is a link to a folder outside",
                      str(caught.exception))

    def test_a_stage_program_that_is_a_dangling_link(self):
        os.unlink(os.path.join(self.folder, "stage1"))
        self.link("stage1", "../shared/no-such-program")
        with self.assertRaises(UserError) as caught:
            scenario.load(self.folder)
        self.assertIn("stage1 is a link to a file that does not exist: ../shared/no-such-program",
                      str(caught.exception))

    @unittest.skipUnless(_DEBUGFS and _MKFS, "e2fsprogs is not installed")
    def test_the_disk_of_a_run_has_the_same(self):
        self.link("dangling", "no-such-file")
        self.link("lib.sh", "../shared/lib.sh")
        place = os.path.join(self.top, "disk")
        disk.make_run_disk(cache.Cache(os.path.join(self.top, "cache")), place, b"", self.folder, [], [])

        def debugfs(request):
            return subprocess.run([_DEBUGFS, "-R", request, place], capture_output=True, text=True, check=True).stdout

        self.assertIn('Fast link dest: "no-such-file"', debugfs("stat /scenario/dangling"))
        self.assertEqual(debugfs("cat /scenario/lib.sh"), "shared\n")


class Refused(Tree):
    def refused(self, text):
        """In a scenario of each kind of guest, and in an overlay."""
        stored = cache.Cache(os.path.join(self.top, "cache"))
        for what, make in (("minimal", self.initramfs),
                           ("disk", lambda: disk.make_run_disk(stored, os.path.join(self.top, "disk"), b"", self.folder,
                                                               [], [])),
                           ("overlay", lambda: image.build_overlay(stored, self.folder)),
                           ("overlay disk", lambda: disk.build_overlay(stored, [self.folder]))):
            with self.subTest(what), self.assertRaises(UserError) as caught:
                make()
            self.assertIn(text, str(caught.exception))

    def test_socket(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(self.folder, "control"))
        self.refused(f"cannot copy {self.folder}/control into the guest: a socket is not supported")

    def test_named_pipe(self):
        os.mkfifo(os.path.join(self.folder, "pipe"))
        self.refused(f"cannot copy {self.folder}/pipe into the guest: a named pipe is not supported")

    def test_unreadable_file(self):
        # Permissions do not stop root, so the refusal is made up.
        secret = os.path.join(self.folder, "secret")
        self.write("example/secret", "x")
        really = open

        def refuse(path, *arguments, **options):
            if path == secret:
                raise PermissionError(13, "Permission denied", path)
            return really(path, *arguments, **options)

        with mock.patch("builtins.open", refuse):
            self.refused(f"cannot read {secret}: Permission denied")

    def test_unreadable_folder(self):
        closed = os.path.join(self.folder, "closed")
        self.write("example/closed/one", "x")
        really = os.scandir

        def refuse(path):
            if path == closed:
                raise PermissionError(13, "Permission denied", path)
            return really(path)

        with mock.patch("os.scandir", refuse):
            self.refused(f"cannot read the folder {closed}: Permission denied")


class Names(Tree):
    def test_a_name_that_is_not_valid_text(self):
        with open(os.fsencode(self.folder) + b"/caf\xe9", "wb") as out:
            out.write(b"x")
        self.assertIn(b"luovm/scenario/caf\xe9\0", image.tree(self.folder, "luovm/scenario"))
        before = files.digest(self.folder)
        os.unlink(os.fsencode(self.folder) + b"/caf\xe9")
        self.assertNotEqual(files.digest(self.folder), before)

    def test_a_scenario_file_that_is_not_valid_text(self):
        with open(os.path.join(self.folder, "scenario.toml"), "wb") as out:
            out.write(b'description = "caf\xe9"\n')
        with self.assertRaises(UserError) as caught:
            scenario.load(self.folder)
        self.assertIn("cannot read", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
