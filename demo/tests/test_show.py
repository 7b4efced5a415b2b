# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The host side of the demo, with the recorded results of real runs."""

import io
import os
import sys
import tempfile
import unittest

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(_HERE))

from show import collect, follow, judge, phases, render  # noqa: E402


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Recorded(unittest.TestCase):
    recorded, plan = "recorded", phases.LUOD

    def setUp(self):
        self.data = collect.collect(os.path.join(_HERE, self.recorded), self.plan)

    def entry(self, unit, name):
        service = next(s for s in self.data["services"] if s["unit"] == unit)
        return next(e for e in service["entries"] if e["name"] == name)

    def assert_complains(self, pattern):
        self.assertRegex("\n".join(judge.judge(self.data)), pattern)

    def report(self, out):
        self.data["problems"] = judge.judge(self.data)
        render.render(self.data, out)
        return out.getvalue()


class Judge(Recorded):
    def test_one_byte_differs(self):
        self.entry("vmm.service", "ram")["sha256After"] = "0" * 64
        self.assert_complains("ram of vmm.service: its contents differ")

    def test_memory_is_gone(self):
        self.entry("counter.service", "counters")["after"] = None
        self.assert_complains("counters of counter.service is missing")

    def test_no_checksum(self):
        self.entry("vmm.service", "vcpu")["sha256After"] = None
        self.assert_complains("vcpu of vmm.service has no checksum")

    def test_read_only_became_writable(self):
        self.entry("vmm.service", "window")["after"]["access"] = "rw"
        self.assert_complains("window of vmm.service: access was 'ro' and is 'rw'")

    def test_seal_is_lost(self):
        self.entry("vmm.service", "config")["after"]["seals"] = []
        self.assert_complains("config of vmm.service: seals")

    def test_shared_memory_became_a_copy(self):
        self.entry("vmm.service", "visits")["after"]["inode"] += 1000
        self.assert_complains("visits of vmm.service was the same memory as counters of counter.service, and is now a copy")

    def test_a_memfd_that_cannot_be_preserved(self):
        self.entry("vmm.service", "ram")["before"]["preservable"] = False
        self.assert_complains("ram of vmm.service is a memfd, and luod reports that it cannot be preserved")

    def test_the_dry_run_failed_for_one(self):
        self.entry("vmm.service", "ram")["result"]["result"] = "failed"
        self.assert_complains("the result of the dry run is failed")

    def test_counter_restarted(self):
        self.data["answers"]["after"]["visits"] = "0"
        self.assert_complains("visits was 9 before and 0 after")

    def test_counter_does_not_increase(self):
        self.data["answers"]["after"]["visits_then"] = "9"
        self.assert_complains("visits does not increase")

    def test_guest_memory_is_bad(self):
        self.data["answers"]["after"]["check"] = "bad"
        self.assert_complains("mini-vmm checked all of its RAM: the result is 'bad'")

    def test_same_kernel(self):
        self.data["kernel"]["after"] = dict(self.data["kernel"]["before"])
        self.assert_complains("was not replaced")

    def test_good(self):
        self.assertEqual(judge.judge(self.data), [])


class Collect(Recorded):
    def test_blackout_is_the_sum_of_its_phases(self):
        timeline = self.data["timeline"]
        dark = [p for p in timeline["phases"] if p["blackout"]]
        self.assertEqual([p["phase"] for p in dark], ["stop", "commit", "kexec", "boot", "restore", "start"])
        self.assertAlmostEqual(sum(p["seconds"] for p in dark), timeline["blackoutSeconds"], places=4)
        self.assertEqual(len(timeline["answeredAfter"]), 3)

    def test_incomplete_results(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(OSError):
            collect.collect(folder, phases.LUOD)


class Render(Recorded):
    def test_plain(self):
        text = self.report(io.StringIO())
        self.assertTrue(text.isascii())
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        self.assertIn("survived unchanged", text)

    def test_terminal(self):
        text = self.report(Terminal())
        self.assertIn("\033[", text)
        self.assertIn("█", text)

    def test_a_problem(self):
        self.entry("vmm.service", "ram")["sha256After"] = "0" * 64
        text = self.report(io.StringIO())
        self.assertIn("CONTENTS DIFFER", text)
        self.assertIn("Not everything survived", text)
        self.assertNotIn("survived unchanged", text)


class Systemd(Recorded):
    """The same for a run with systemd."""

    recorded, plan = "recorded-systemd", phases.SYSTEMD

    def test_good(self):
        self.assertEqual(judge.judge(self.data), [])

    def test_one_byte_differs(self):
        self.entry("notes.service", "notes")["sha256After"] = "0" * 64
        self.assert_complains("notes of notes.service: its contents differ")

    def test_no_message_on_the_console(self):
        self.data["systemd"]["console"] = None
        self.assert_complains("It reported: nothing")

    def test_fewer_fds_on_the_console(self):
        self.data["systemd"]["console"] = "7 fds of 3 units, 64 MiB, preserved in 72 ms; 3 lost"
        self.assert_complains("preserved 8 fds. It reported: 7 fds")

    def test_status_reports_a_failure(self):
        self.data["systemd"]["lastShutdown"]["failure"] = "the commit failed"
        self.assert_complains("that it failed: the commit failed")

    def test_status_without_a_shutdown(self):
        self.data["systemd"]["lastShutdown"] = None
        self.assert_complains("preserved None fds, not 8")

    def test_memory_in_luod(self):
        self.entry("vmm.service", "ram")["after"]["where"] = "luod"
        self.assert_complains("ram of vmm.service is in the fd store of luod, not of systemd")

    def test_a_unit_has_failed(self):
        self.data["systemd"]["failed"] = ["luod.service loaded failed failed"]
        self.assert_complains("A unit failed in the new kernel: luod.service")

    def test_systemd_with_live_update(self):
        self.data["kernel"]["after"]["systemd"] = "262~rc1-1"
        self.assert_complains("This is systemd 262")

    def test_phases_of_the_log(self):
        dark = [p["phase"] for p in self.data["timeline"]["phases"] if p["blackout"]]
        self.assertEqual(dark, ["stop", "harvest", "kill", "commit", "kexec", "boot", "systemd", "start"])
        for step in self.data["timeline"]["phases"]:
            self.assertGreaterEqual(step["seconds"], 0)

    def test_each_service_stopped_and_answered(self):
        timeline = self.data["timeline"]
        self.assertEqual(set(timeline["stoppedAfter"]), set(collect.SERVICES))
        for unit, stopped in timeline["stoppedAfter"].items():
            self.assertLess(stopped, timeline["answeredAfter"][unit])

    def test_report(self):
        text = self.report(io.StringIO())
        self.assertTrue(text.isascii())
        self.assertIn("survived unchanged", text)
        self.assertIn("silent for", text)
        self.assertIn("8 fds of 3 units", text)
        self.assertIn("systemd     257", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 120)


class Follow(unittest.TestCase):
    def follow(self, logs, plan=phases.LUOD):
        out = io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            follower = follow.Follower(folder, plan, out)
            for boot, text in logs:
                with open(os.path.join(folder, f"boot{boot}.log"), "a", encoding="utf-8") as log:
                    log.write(text)
                follower.poll()
            follower.close()
        return out.getvalue(), follower.failure

    def test_phases(self):
        text, failure = self.follow([
            (1, "[    0.000000] Linux version 7.2.12 (x@y)\ndemo-pha"), (1, "se stop\n"),
            (2, "[    0.000000] Linux version 7.3.4 (x@y)\ndemo-phase up\n"), (2, "demo-phase done\n")])
        self.assertIsNone(failure)
        order = ["Linux 7.2.12 boots", "the blackout begins", "are stopped", "Linux 7.3.4 boots", "the blackout is over"]
        self.assertEqual(sorted(order, key=text.index), order)

    def test_phases_of_the_log(self):
        text, failure = self.follow([
            (1, "[    0.000000] Linux version 7.2.12 (x@y)\ndemo-phase stop\n"),
            (1, "[   65.671955] systemd[1]: Starting luo-harvest.service - Keep the ...\n"),
            (2, "[    0.000000] Linux version 7.3.4 (x@y)\n[   29.1] watch[99]: demo-phase up\n"),
            (2, "demo-phase done\n")], phases.SYSTEMD)
        self.assertIsNone(failure)
        order = ["Linux 7.2.12", "the blackout begins", "takes the fd stores from PID 1", "Linux 7.3.4", "the blackout is over"]
        self.assertEqual(sorted(order, key=text.index), order)

    def test_failure_of_a_service(self):
        self.assertEqual(self.follow([(2, "[   29.1] watch[99]: demo-failure no answer\n")])[1], "no answer")

    def test_failure(self):
        self.assertEqual(self.follow([(1, "demo-failure no kernel\n")])[1], "no kernel")


if __name__ == "__main__":
    unittest.main()
