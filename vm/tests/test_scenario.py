# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import os
import tempfile
import unittest

from luovm import scenario
from luovm.errors import UserError


class Folder:
    """A scenario folder to be filled."""

    def __init__(self, test, toml=""):
        self._temporary = tempfile.TemporaryDirectory()
        test.addCleanup(self._temporary.cleanup)
        self.path = os.path.join(self._temporary.name, "example")
        os.mkdir(self.path)
        self.write("scenario.toml", toml)

    def write(self, name, text=""):
        place = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def program(self, *names):
        for name in names:
            self.write(name, "#!/bin/sh\n")
            os.chmod(os.path.join(self.path, name), 0o755)
        return self


class Good(unittest.TestCase):
    def test_defaults(self):
        loaded = scenario.load(Folder(self).program("stage1", "stage2").path)
        self.assertEqual((loaded.name, loaded.timeout, loaded.memory, loaded.cgroups), ("example", 120, "1G", True))
        self.assertEqual([stage.end for stage in loaded.stages], ["kexec", "poweroff"])
        self.assertEqual([stage.programs for stage in loaded.stages], [["stage1"], ["stage2"]])
        self.assertEqual([stage.expect for stage in loaded.stages], ["pass", "pass"])

    def test_programs_of_a_folder_in_order(self):
        loaded = scenario.load(Folder(self).program("stage1.d/20-b", "stage1.d/10-a", "stage1.d/.hidden").path)
        self.assertEqual(loaded.stages[0].programs, ["stage1.d/10-a", "stage1.d/20-b"])

    def test_one_program_for_all(self):
        loaded = scenario.load(Folder(self, "stages = 3").program("stage", "stage3").path)
        self.assertEqual([stage.programs for stage in loaded.stages], [["stage"], ["stage"], ["stage3"]])

    def test_stage_table(self):
        toml = '[stage.1]\nend = "reboot"\ncmdline = "liveupdate=off"\nexpect = "exit:3"\n'
        stage = scenario.load(Folder(self, toml).program("stage1", "stage2").path).stages[0]
        self.assertEqual((stage.end, stage.cmdline, stage.expect), ("reboot", "liveupdate=off", "exit:3"))

    def test_guests(self):
        toml = 'guest = "debian-13"\n[stage.2]\nguest = "debian-sid"\n'
        loaded = scenario.load(Folder(self, toml).program("stage1", "stage2").path)
        self.assertEqual([stage.guest for stage in loaded.stages], ["debian-13", "debian-sid"])
        self.assertEqual(loaded.timeout, 300)
        loaded = scenario.load(Folder(self, toml + "\n").program("stage1", "stage2").write(
            "scenario.toml", "timeout = 7\n" + toml).path)
        self.assertEqual(loaded.timeout, 7)


class Refused(unittest.TestCase):
    def refused(self, folder, text):
        with self.assertRaises(UserError) as caught:
            scenario.load(folder.path)
        self.assertIn(text, str(caught.exception))

    def test_keys(self):
        for toml, text in (
            ("timout = 3", "unknown key timout"),
            ("timeout = '3'", "must be of type int"),
            ("timeout = true", "must be of type int"),
            ("timeout = 0", "greater than zero"),
            ("kernels = [7.2]", "list of strings"),
            ("kernels = []", "kernels is empty"),
            ("memory = '1 gig'", "512M"),
            ("cmdline = \"a='b'\"", "single quote"),
            ("[env]\n1A = 'x'", "env.1A"),
            ("[stage.2]", "does not name a stage"),
            ("[stage.one]", "does not name a stage"),
            ("[stage.1]\nends = 'kexec'", "unknown key stage.1.ends"),
            ("[stage.1]\nend = 'kexec'", "there is no stage 2"),
            ("[stage.1]\nend = 'sleep'", "must be one of"),
            ("[stage.1]\nexpect = 'trouble'", "must be exit:STATUS or one of"),
            ("guest = 'debian-3.1'", "must be one of minimal, debian-13"),
            ("[stage.1]\nguest = 'debian'", "stage.1.guest is 'debian'"),
            ("guest = 'debian-13'\ncgroups = false", "cgroups = false"),
            ("this is not toml", "cannot read"),
        ):
            with self.subTest(toml):
                self.refused(Folder(self, toml).program("stage1"), text)

    def test_power_off_before_the_last(self):
        self.refused(Folder(self, "[stage.1]\nend = 'poweroff'").program("stage1", "stage2"), "stage 2 would never run")

    def test_guests_of_different_kinds(self):
        self.refused(Folder(self, "[stage.2]\nguest = 'debian-13'").program("stage1", "stage2"), "cannot have both")

    def test_soft_reboot(self):
        soft = "[stage.1]\nend = 'soft-reboot'\n[stage.2]\n"
        for toml, text in (
            (soft, "needs a guest with systemd"),
            ("guest = 'debian-13'\n" + soft + "cmdline = 'quiet'", "stage.2.cmdline has no effect"),
            ("guest = 'debian-13'\n" + soft + "guest = 'debian-sid'", "stage.2.guest is 'debian-sid'"),
            ("guest = 'debian-13'\n" + soft + "end = 'self-soft-reboot'", "no stage 3"),
        ):
            with self.subTest(toml):
                self.refused(Folder(self, toml).program("stage1", "stage2"), text)

    def test_no_programs(self):
        self.refused(Folder(self), "no stage program")

    def test_gap(self):
        self.refused(Folder(self).program("stage1", "stage3"), "stage3 would never run")

    def test_not_executable(self):
        self.refused(Folder(self).write("stage1"), "chmod +x")

    def test_program_and_folder(self):
        self.refused(Folder(self).program("stage1", "stage1.d/a"), "both stage1 and stage1.d/")

    def test_empty_folder(self):
        folder = Folder(self)
        os.mkdir(os.path.join(folder.path, "stage1.d"))
        self.refused(folder, "is empty")

    def test_not_a_scenario(self):
        folder = Folder(self)
        os.unlink(os.path.join(folder.path, "scenario.toml"))
        self.refused(folder, "has no scenario.toml")


class Chain(unittest.TestCase):
    def chain(self, toml, **overrides):
        loaded = scenario.load(Folder(self, "stages = 4\n" + toml).program("stage").path)
        return scenario.kernel_chain(loaded, **overrides)

    def test_repeats(self):
        self.assertEqual(self.chain('kernels = ["7.2", "7.3"]'), ["7.2", "7.3", "7.2", "7.3"])

    def test_default(self):
        self.assertEqual(self.chain(""), ["7.2"] * 4)

    def test_a_soft_reboot_stays_on_its_kernel(self):
        toml = 'guest = "debian-13"\nkernels = ["7.2", "7.3"]\n[stage.%d]\nend = "soft-reboot"\n'
        self.assertEqual(self.chain(toml % 1), ["7.2", "7.2", "7.3", "7.2"])
        self.assertEqual(self.chain(toml % 3), ["7.2", "7.3", "7.2", "7.2"])

    def test_overrides(self):
        self.assertEqual(self.chain("", first="a"), ["a"] * 4)
        self.assertEqual(self.chain("", following="b"), ["7.2", "b", "7.2", "b"])
        self.assertEqual(self.chain('kernels = ["7.2", "7.3"]', first="a"), ["a", "7.3", "a", "7.3"])
        self.assertEqual(self.chain("", first="a", following="b"), ["a", "b", "a", "b"])


class Find(unittest.TestCase):
    def test_folder_of_scenarios(self):
        inner = Folder(self).path
        self.assertEqual(scenario.find([os.path.dirname(inner)]), [inner])
        self.assertEqual(scenario.find([inner]), [inner])

    def test_nothing_there(self):
        with tempfile.TemporaryDirectory() as empty, self.assertRaises(UserError):
            scenario.find([empty])
