# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Collects the data of the report from a results folder of luo-vm. `./dev demo --json` prints it."""

import json
import os
import re

# The services. The output of luoctl has the rest.
SERVICES = {
    "counter.service": "a server in C, its state in one memfd",
    "notes.service": "a shell script that writes into two memfds",
    "vmm.service": "keeps the state of a virtual machine monitor",
}


def _read(folder, name):
    with open(os.path.join(folder, "files", name), encoding="utf-8") as file:
        return file.read()


def _pairs(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _sums(text):
    """{(unit, name): digest}"""
    return {tuple(line.split()[:2]): line.split()[2] for line in text.splitlines()}


def _entries(text):
    """{(unit, name): entry}. In the demo no unit uses a name twice."""
    return {(e["unit"], e["name"]): e for e in json.loads(text)["entries"]}


def _results(text):
    return {(r["unit"], r["name"]): r for r in json.loads(text)["results"]}


def _harvest(text):
    """The same from `luoctl harvest --dry-run`."""
    return {(e["unit"], e["name"]): dict(e, result="preserved" if e["survives"] else "lost")
            for e in json.loads(text)["entries"] if e["unit"] in SERVICES}


class _Clock:
    """Converts times of the clock of a guest to the clock of the host. A mark has the time of the guest."""

    def __init__(self, events):
        self._offsets = {}
        kernels = 0
        for event in events:
            kernels += event["type"] == "kernel-start"
            if event["type"] == "mark" and event["name"].startswith("clock:"):
                self._offsets[kernels] = event["time"] - float(event["name"][6:])

    def host(self, boot, uptime):
        return self._offsets[boot] + uptime


def _stamped(folder, boot):
    """(time, line) of each line of a log that has a time."""
    with open(os.path.join(folder, f"boot{boot}.log"), encoding="utf-8", errors="replace") as log:
        for line in log:
            stamp = re.match(r"\[ *(\d+\.\d+)\] ", line)
            if stamp:
                yield float(stamp[1]), line.rstrip()


def _marked(events, plan):
    """The starts of the phases that have a mark, and the times of the first answers, on the clock of the host."""
    starts, answers, kernels = [], {}, 0
    for event in events:
        kind, name = event["type"], event.get("name", "")
        if kind == "qemu-start":
            starts.append((event["time"], plan.find(0, "prepare")))
        elif kind == "kernel-start":
            kernels += 1
            starts.append((event["time"], plan.find(kernels, "boot")))
        elif kind == "mark" and name.startswith("up:") and kernels == 2:
            answers[name[3:]] = event["time"]
        elif kind == "mark" and plan.find(kernels, name):
            starts.append((event["time"], plan.find(kernels, name)))
        elif kind == "mark" and (kernels, name) == plan.end:
            starts.append((event["time"], None))
    return starts, answers


def _in_log(folder, clock, plan):
    """The starts of the phases that only the log shows, and the times at which services ended."""
    starts, stopped = {}, {}
    for boot in {phase.boot for phase in plan.phases if phase.line}:
        current = None
        for when, line in _stamped(folder, boot):
            phase = plan.of_line(boot, line, current)
            if phase:
                starts[phase] = clock.host(boot, when)
                current = phase
            ended = re.search(r"systemd\[1\]: (\S+): Deactivated successfully", line)
            if boot == 1 and ended and ended[1] in SERVICES:
                stopped[ended[1]] = clock.host(boot, when)
    return [(when, phase) for phase, when in starts.items()], stopped


def _timeline(folder, events, plan):
    starts, answers = _marked(events, plan)
    more, stopped = _in_log(folder, _Clock(events), plan)
    order = {phase: number for number, phase in enumerate(plan.phases + [None])}
    starts = sorted(starts + more, key=lambda start: order[start[1]])
    # Two clocks may differ a little; a later phase must not start earlier.
    moments = [max(when for when, _ in starts[:number + 1]) for number in range(len(starts))]
    steps = [{"boot": phase.boot, "phase": phase.name, "blackout": phase.blackout, "start": start,
              "seconds": round(following - start, 6)}
             for (_, phase), start, following in zip(starts, moments, moments[1:])]
    dark = [step for step in steps if step["blackout"]]
    if not dark:
        raise ValueError("the timeline has no blackout")
    blackout = dark[0]["start"]
    return {
        "phases": steps,
        "blackoutStart": blackout,
        "blackoutSeconds": round(dark[-1]["start"] + dark[-1]["seconds"] - blackout, 6),
        "stoppedAfter": {unit: round(when - blackout, 6) for unit, when in stopped.items()},
        "answeredAfter": {unit: round(when - blackout, 6) for unit, when in answers.items()},
    }


def _accelerator(folder):
    with open(os.path.join(folder, "qemu-command"), encoding="utf-8") as file:
        return re.search(r"-accel (\w+)", file.read())[1]


def _services(before, after, sums, results):
    files = {}
    for key, entry in before.items():
        files.setdefault(entry["inode"], key)
    services = []
    for unit, what in SERVICES.items():
        entries = []
        for key, entry in before.items():
            if key[0] != unit:
                continue
            first = files[entry["inode"]]
            entries.append({
                "name": key[1], "before": entry, "after": after.get(key), "result": results.get(key),
                "sameAs": None if first == key or not entry["preservable"] else list(first),
                "sha256Before": sums[0].get(key), "sha256After": sums[1].get(key),
            })
        services.append({"unit": unit, "what": what, "entries": entries})
    return services


def _console(folder):
    """The last message of luo-shutdown on the console."""
    messages = [line.split("] luo: ", 1)[1] for _, line in _stamped(folder, 1) if "] luo: " in line]
    return messages[-1] if messages else None


def _systemd(folder):
    status = json.loads(_read(folder, "after/status.json"))
    return {
        "dryRun": _read(folder, "before/harvest"),
        "console": _console(folder),
        "status": _read(folder, "after/status"),
        "lastShutdown": status.get("lastShutdown"),
        "failed": _read(folder, "after/failed").split("\n")[:-1],
    }


def collect(folder, plan):
    """The data of a finished run, not yet checked. Raises OSError, KeyError or ValueError."""
    with open(os.path.join(folder, "events.json"), encoding="utf-8") as file:
        events = json.load(file)["events"]
    before, after = (_entries(_read(folder, f"{when}/list.json")) for when in ("before", "after"))
    sums = [_sums(_read(folder, f"{when}/sums")) for when in ("before", "after")]
    unknown = set(sums[0]) - set(before)
    if unknown:
        raise ValueError(f"luoctl list does not show {', '.join(sorted(' '.join(key) for key in unknown))}")
    results = _harvest(_read(folder, "before/harvest.json")) if plan.systemd else _results(
        _read(folder, "before/preserve.json"))
    data = {
        "accelerator": _accelerator(folder),
        "kernel": {when: _pairs(_read(folder, f"{when}/kernel")) for when in ("before", "after")},
        "services": _services(before, after, sums, results),
        "answers": {when: _pairs(_read(folder, f"{when}/answers")) for when in ("before", "after")},
        "notes": _read(folder, "after/notes").splitlines(),
        "timeline": _timeline(folder, events, plan),
    }
    if plan.systemd:
        data["systemd"] = _systemd(folder)
    return data
