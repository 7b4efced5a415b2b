# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Decides in which order scenarios run, and runs several at the same time.

The scenario that takes longest starts first, so that no long one runs alone at the end. How long each takes
is remembered in the cache. A scenario that waits most of the time (idle = true) needs no processor, so it
runs beside the others and does not count for the number of jobs.
"""

import concurrent.futures
import contextlib
import json
import os

from .scenario import MINIMAL

# Seconds of a boot with its stage on an emulated guest, for a scenario that has never run.
_MINIMAL_BOOT, _DEBIAN_BOOT = 4, 20
# More would need too much memory.
_IDLE_JOBS = 2


def _estimate(scenario):
    return sum(_MINIMAL_BOOT if stage.guest == MINIMAL else _DEBIAN_BOOT for stage in scenario.stages)


class Times:
    """How long scenarios took in earlier runs on this machine, by name."""

    def __init__(self, cache):
        self._cache = cache
        self._path = cache.path("times.json")

    def _load(self):
        try:
            with open(self._path, encoding="utf-8") as file:
                known = json.load(file)
        except (OSError, ValueError):
            return {}
        return {name: took for name, took in known.items() if isinstance(took, (int, float))} \
            if isinstance(known, dict) else {}

    def longest_first(self, scenarios):
        known = self._load()
        return sorted(scenarios, key=lambda one: -known.get(one.name, _estimate(one)))

    def remember(self, seconds):
        """Add {name: seconds} of a run."""
        with self._cache.locked("times"):
            known = dict(self._load(), **{name: round(took, 1) for name, took in seconds.items()})
            fresh = f"{self._path}.{os.getpid()}"
            with open(fresh, "w", encoding="utf-8") as out:
                json.dump(known, out, indent=1, sort_keys=True)
            os.rename(fresh, self._path)


def run(scenarios, jobs, run_one, stop):
    """Call run_one(scenario) for each, at most `jobs` at a time. stop() ends those that run after an error."""
    with contextlib.ExitStack() as stack:
        busy, idle = (stack.enter_context(concurrent.futures.ThreadPoolExecutor(size)) for size in (jobs, _IDLE_JOBS))
        waiting = [(idle if one.idle and jobs > 1 else busy).submit(run_one, one) for one in scenarios]
        try:
            for done in waiting:
                done.result()
        except BaseException:
            for one in waiting:
                one.cancel()
            stop()
            raise
