# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import os
import tempfile
import unittest
from unittest import mock

from luovm import plan


class Disks(unittest.TestCase):
    """What a guest with a Debian boots from."""

    def planned(self, ends, guests, overlays=()):
        kernels = []
        for number, name in enumerate(("a", "b", "c")[:len(ends)], 1):
            with mock.patch("luovm.bzimage.release", return_value=name):
                kernels.append(plan.Kernel(name, f"/{name}", number))
        written = []
        with mock.patch("luovm.debian.build", side_effect=lambda cache, name: f"/root-{name}"), \
                mock.patch("luovm.disk.build_overlay", return_value="/overlay"), \
                mock.patch("luovm.disk.make_run_disk", side_effect=lambda *a: written.append(a)):
            planned = plan.make(None, kernels, ends, [""] * len(ends), {}, overlays, guests=guests)
            with tempfile.TemporaryDirectory() as folder:
                media = planned.media(folder, 1)
        (_, _, config, _, roots, carried), = written
        return planned, media, config.decode(), roots, [kernel.name for kernel in carried]

    def test_each_stage_has_its_root(self):
        planned, media, config, roots, _ = self.planned(
            ["kexec", "kexec", "poweroff"], ["debian-13", "debian-sid", "debian-13"], ["somewhere"])
        self.assertEqual([line.split("root=")[1].split()[0] for line in planned.cmdlines],
                         ["/dev/vdb", "/dev/vdc", "/dev/vdb"])
        self.assertEqual([line.split("luovm.guest=")[1].split()[0] for line in planned.cmdlines],
                         ["debian-13", "debian-sid", "debian-13"])
        self.assertEqual(roots, ["debian-13", "debian-sid"])
        files = [part.split("file=")[1].split(",")[0] for part in media if "file=" in part]
        self.assertEqual([os.path.basename(name) for name in files], ["disk", "root-debian-13", "root-debian-sid", "overlay"])
        self.assertIn("LUOVM_OVERLAY=/dev/vdd\n", config)
        self.assertEqual(sum("readonly=on" in part for part in media), 3)

    def test_kernels_for_kexecs_only(self):
        _, media, config, _, carried = self.planned(["reboot", "kexec", "poweroff"], ["debian-13"] * 3)
        self.assertEqual(carried, ["c"])
        self.assertNotIn("LUOVM_KERNEL_2", config)
        self.assertIn("LUOVM_KERNEL_3=/luovm/kernels/3-c\n", config)
        self.assertIn("LUOVM_OVERLAY=''\n", config)
        self.assertNotIn("-initrd", media)


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
