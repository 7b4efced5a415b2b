# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import tempfile
import unittest
from unittest import mock

from luovm import plan


class Cuts(unittest.TestCase):
    """What each boot still carries of the kernels."""

    def made(self, kernels, ends):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        base = os.path.join(folder.name, "base")
        with open(base, "wb") as file:
            file.write(b"base" * 128)
        made = {}
        for name in kernels:
            path = os.path.join(folder.name, name)
            with open(path, "wb") as file:
                file.write(name.encode() * 1000)
            with mock.patch("luovm.bzimage.release", return_value=name):
                made.setdefault(name, plan.Kernel(name, path, len(made) + 1))
        with mock.patch("luovm.image.build_minimal", return_value=base):
            planned = plan.make(None, [made[name] for name in kernels], ends, [""] * len(kernels), {})
        contents = []
        for stage in range(1, len(kernels) + 1):
            planned.media(folder.name, stage)
            with open(os.path.join(folder.name, "initrd"), "rb") as file:
                data = file.read()
            contents.append({name for name in made if name.encode() * 1000 in data})
        return planned, contents

    def test_there_and_back(self):
        planned, contents = self.made(["a", "b", "a", "b"], ["kexec"] * 3 + ["poweroff"])
        self.assertEqual(contents, [{"a", "b"}, {"a", "b"}, {"b"}, set()])
        # A guest cuts what it has itself: the steps add up to the whole.
        config = planned.pieces[1].decode("latin-1")
        steps = [int(line.split("=")[1]) for line in config.splitlines() if line.startswith("LUOVM_CUT_")]
        self.assertEqual(sum(steps), planned.cuts[-1])

    def test_only_what_a_kexec_needs(self):
        _, contents = self.made(["a", "b", "c"], ["reboot", "kexec", "poweroff"])
        self.assertEqual(contents, [{"c"}, {"c"}, set()])

    def test_command_lines(self):
        planned, _ = self.made(["a", "a"], ["kexec", "poweroff"])
        self.assertTrue(planned.cmdlines[1].endswith("luovm.stage=2"))
