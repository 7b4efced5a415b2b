# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The order of scenarios, and how many run at the same time."""

import tempfile
import threading
import unittest

from luovm import cache, schedule
from luovm.scenario import MINIMAL, Scenario, Stage


def make(name, guest=MINIMAL, stages=1, idle=False):
    return Scenario("/" + name, name, [Stage(n, guest, [], "kexec", "", "pass") for n in range(stages)], {"idle": idle})


class Order(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = cache.Cache(folder.name)
        self.scenarios = [make("a"), make("b", stages=2), make("c", "debian-13"), make("d")]

    def order(self):
        return [one.name for one in schedule.Times(self.cache).longest_first(self.scenarios)]

    def test_before_the_first_run(self):
        self.assertEqual(self.order(), ["c", "b", "a", "d"])

    def test_times_are_remembered(self):
        schedule.Times(self.cache).remember({"a": 30.04, "d": 2.0})
        self.assertEqual(self.order(), ["a", "c", "b", "d"])
        schedule.Times(self.cache).remember({"a": 1.0, "gone": 5.0})
        self.assertEqual(self.order(), ["c", "b", "d", "a"])

    def test_damaged_times_do_not_matter(self):
        for text in ("", "[1]", '{"a": "long"}', "\xff"):
            with open(self.cache.path("times.json"), "w", encoding="latin-1") as out:
                out.write(text)
            self.assertEqual(self.order(), ["c", "b", "a", "d"])


class Run(unittest.TestCase):
    def run_with(self, scenarios, jobs):
        """The most that ran at the same time: (all, those that are not idle)."""
        lock, now, most, done = threading.Lock(), [], [0, 0], []

        def run_one(one):
            with lock:
                now.append(one)
                most[:] = [max(most[0], len(now)), max(most[1], sum(not other.idle for other in now))]
            threading.Event().wait(0.05)
            with lock:
                now.remove(one)
                done.append(one.name)

        schedule.run(scenarios, jobs, run_one, self.fail)
        self.assertEqual(sorted(done), sorted(one.name for one in scenarios))
        return most

    def test_jobs(self):
        self.assertEqual(self.run_with([make(str(n)) for n in range(6)], 2), [2, 2])

    def test_idle_scenarios_run_beside_the_others(self):
        scenarios = [make(f"idle{n}", idle=True) for n in range(3)] + [make(str(n)) for n in range(6)]
        self.assertEqual(self.run_with(scenarios, 2), [4, 2])

    def test_one_job_is_one_guest(self):
        # Such as a benchmark needs it.
        self.assertEqual(self.run_with([make("idle", idle=True), make("a"), make("b")], 1)[0], 1)

    def test_an_error_stops_the_others(self):
        stopped = threading.Event()

        def run_one(one):
            if one.name == "bad":
                raise OSError("no space")
            self.assertTrue(stopped.wait(10))

        with self.assertRaises(OSError):
            schedule.run([make("bad"), make("b"), make("c")], 2, run_one, stopped.set)


if __name__ == "__main__":
    unittest.main()
