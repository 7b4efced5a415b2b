# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of the demo, over what a real run has recorded."""

import io
import os
import sys
import tempfile
import unittest

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(_HERE))

from show import collect, follow, judge, render  # noqa: E402


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Recorded(unittest.TestCase):
    def setUp(self):
        self.data = collect.collect(os.path.join(_HERE, "recorded"))

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
        self.assert_complains("ram of vmm.service: its bytes differ")

    def test_memory_is_gone(self):
        self.entry("counter.service", "counters")["after"] = None
        self.assert_complains("counters of counter.service is gone")

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
        self.assert_complains("visits of vmm.service was the same memory as counters counter.service, and is a copy")

    def test_a_memfd_that_cannot_be_preserved(self):
        self.entry("vmm.service", "ram")["before"]["preservable"] = False
        self.assert_complains("ram of vmm.service is a memfd, and luod says that it cannot be preserved")

    def test_the_dry_run_failed_for_one(self):
        self.entry("vmm.service", "ram")["result"]["result"] = "failed"
        self.assert_complains("the dry run says failed")

    def test_counter_began_anew(self):
        self.data["answers"]["after"]["visits"] = "0"
        self.assert_complains("visits was 9 before and 0 after")

    def test_counter_stands_still(self):
        self.data["answers"]["after"]["visits_then"] = "9"
        self.assert_complains("visits does not go on")

    def test_guest_memory_does_not_add_up(self):
        self.data["answers"]["after"]["check"] = "bad"
        self.assert_complains("own look at all of its RAM says 'bad'")

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
            collect.collect(folder)


class Render(Recorded):
    def test_plain(self):
        text = self.report(io.StringIO())
        self.assertTrue(text.isascii())
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        self.assertIn("arrived unchanged", text)

    def test_terminal(self):
        text = self.report(Terminal())
        self.assertIn("\033[", text)
        self.assertIn("█", text)

    def test_bad_news(self):
        self.entry("vmm.service", "ram")["sha256After"] = "0" * 64
        text = self.report(io.StringIO())
        self.assertIn("ITS BYTES DIFFER", text)
        self.assertIn("Something is not as it was", text)
        self.assertNotIn("arrived unchanged", text)


class Follow(unittest.TestCase):
    def follow(self, logs):
        out = io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            follower = follow.Follower(folder, out)
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

    def test_failure(self):
        self.assertEqual(self.follow([(1, "demo-failure no kernel\n")])[1], "no kernel")


if __name__ == "__main__":
    unittest.main()
