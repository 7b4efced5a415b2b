# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luo-vm --version, from a checkout and installed."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

from luovm import version
from luovm.errors import UserError

_VM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MESON = shutil.which("meson")


def said(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


class Version(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def write(self, name, text):
        place = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as out:
            out.write(text)

    def test_the_checkout_has_the_version_of_the_project(self):
        with open(os.path.join(os.path.dirname(_VM), "meson.build"), encoding="utf-8") as file:
            wanted = re.search(r"version: '([0-9.]+)'", file.read())[1]
        self.assertEqual(said(os.path.join(_VM, "luo-vm")), f"luo-vm {wanted}\n")

    def test_meson_build_of_another_layout(self):
        self.write("meson.build", "# project('x', version: '9')\nproject('libluo', 'c',\n  license: ['A'],\n"
                                  "  meson_version: '>=1.0.0',\n  version : '1.2.3')\n")
        with self.assertRaises(UserError):
            version.read(os.path.join(self.folder, "vm"))
        self.write("meson.build", "project('libluo', 'c',\n  meson_version: '>=1.0.0',\n  version: '1.2.3')\n")
        self.assertEqual(version.read(os.path.join(self.folder, "vm")), "1.2.3")

    def test_no_version(self):
        self.write("meson.build", "project('libluo', 'c')\n")
        with self.assertRaises(UserError) as caught:
            version.read(os.path.join(self.folder, "vm"))
        self.assertIn("names no version", str(caught.exception))

    def test_an_installed_file_comes_first(self):
        self.write("share/meson.build", "project('other', version: '9.9')\n")
        self.write("share/luo-vm/version", "1.2.3\n")
        self.assertEqual(version.read(os.path.join(self.folder, "share/luo-vm")), "1.2.3")

    @unittest.skipUnless(_MESON, "meson is not installed")
    def test_an_installation(self):
        """What vm/meson.build installs: the program finds its parts, and the version is the project's."""
        source = os.path.join(self.folder, "source")
        shutil.copytree(_VM, os.path.join(source, "vm"), ignore=shutil.ignore_patterns("__pycache__", "tests"))
        self.write("source/meson.build", "project('luo-vm', version: '7.8.9')\n"
                                         "scdoc = find_program('no-such-program', required: false)\n"
                                         "subdir('vm')\n")
        build, root = (os.path.join(self.folder, name) for name in ("build", "root"))
        for command in (["setup", "--prefix=/usr", build, source], ["install", "-C", build, "--destdir", root]):
            subprocess.run([_MESON, *command], check=True, capture_output=True)
        self.assertEqual(said(os.path.join(root, "usr/bin/luo-vm")), "luo-vm 7.8.9\n")
        self.assertEqual(sorted(os.listdir(os.path.join(root, "usr"))), ["bin", "share"])
        for name in ("kernel.config", "guest/init", "guest/debian/customize", "guest/systemd/enter"):
            self.assertTrue(os.path.exists(os.path.join(root, "usr/share/luo-vm", name)), name)
        done = subprocess.run([os.path.join(root, "usr/bin/luo-vm"), "kernel", "list"], capture_output=True, text=True,
                              env=dict(os.environ, XDG_CACHE_HOME=self.folder), check=True)
        self.assertIn("no kernels yet", done.stderr)


if __name__ == "__main__":
    unittest.main()
