# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""What every installed program has in common: --help, --version, and exit code 2 for misuse."""

import os
import subprocess
import unittest

BUILD = os.environ["BUILDDIR"]
PROGRAMS = {
    "luod": "tools/luod/luod",
    "luoctl": "tools/luoctl/luoctl",
    "luo-run": "tools/luo-run/luo-run",
    "luo-harvest": "shutdown-hook/luo-harvest",
    "luo-shutdown": "shutdown-hook/luo-shutdown",
    "luo-generator": "shutdown-hook/luo-generator",
    "luo-user-generator": "shutdown-hook/luo-user-generator",
    "luo-restore": "shutdown-hook/luo-restore",
}
# systemd-shutdown calls every program in its folder with verbs of its own, which must not fail.
IGNORES_UNKNOWN_ARGUMENTS = {"luo-shutdown"}


class Programs(unittest.TestCase):
    def run_program(self, name, *arguments):
        return subprocess.run([os.path.join(BUILD, PROGRAMS[name]), *arguments], text=True, timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def test_help(self):
        for name in PROGRAMS:
            for option in ("--help", "-h"):
                with self.subTest(name=name, option=option):
                    done = self.run_program(name, option)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertRegex(done.stdout.lower(), r"usage: ?\S*" + name if name != "luoctl" else "luoctl")
                    self.assertTrue(done.stdout.endswith("\n"))

    def test_version(self):
        for name in PROGRAMS:
            for option in ("--version", "-V"):
                with self.subTest(name=name, option=option):
                    done = self.run_program(name, option)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertRegex(done.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_misuse(self):
        for name in PROGRAMS:
            with self.subTest(name=name):
                done = self.run_program(name, "--no-such-option", "x")
                if name in IGNORES_UNKNOWN_ARGUMENTS:
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                    continue
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("help", done.stderr)


if __name__ == "__main__":
    unittest.main()
