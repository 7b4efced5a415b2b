# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of a results folder of luo-vm, the data of the report: what `./dev demo --json` prints."""

import json
import os
import re

from . import phases

# What the services are; the rest is found in what luod said about them.
SERVICES = {
    "counter.service": "a server in C, its state in one memfd",
    "notes.service": "a shell script that writes into two memfds",
    "vmm.service": "keeps what a virtual machine monitor keeps",
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
    """{(unit, name): entry}; in the demo no unit uses a name twice."""
    return {(e["unit"], e["name"]): e for e in json.loads(text)["entries"]}


def _results(text):
    return {(r["unit"], r["name"]): r for r in json.loads(text)["results"]}


def _moments(events):
    """When each phase began, and when each service answered, on the host's clock."""
    starts, answers, kernels = [], {}, 0
    for event in events:
        kind, name = event["type"], event.get("name", "")
        if kind == "qemu-start":
            starts.append((phases.find(0, "prepare"), event["time"]))
        elif kind == "kernel-start":
            kernels += 1
            starts.append((phases.find(kernels, "boot"), event["time"]))
        elif kind == "mark" and name.startswith("up:") and kernels == 2:
            answers[name[3:]] = event["time"]
        elif kind == "mark" and phases.find(kernels, name):
            starts.append((phases.find(kernels, name), event["time"]))
        elif kind == "mark" and (kernels, name) == phases.END:
            starts.append((None, event["time"]))
    return starts, answers


def _timeline(events):
    starts, answers = _moments(events)
    steps = [{"boot": phase.boot, "phase": phase.name, "blackout": phase.blackout, "start": start,
              "seconds": round(following - start, 6)}
             for (phase, start), (_, following) in zip(starts, starts[1:])]
    dark = [step for step in steps if step["blackout"]]
    if not dark:
        raise ValueError("the timeline has no blackout")
    begin = dark[0]["start"]
    return {
        "phases": steps,
        "blackoutStart": begin,
        "blackoutSeconds": round(dark[-1]["start"] + dark[-1]["seconds"] - begin, 6),
        "answeredAfter": {unit: round(when - begin, 6) for unit, when in answers.items()},
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


def collect(folder):
    """The data of a finished run, without a judgement. Raises OSError, KeyError or ValueError."""
    with open(os.path.join(folder, "events.json"), encoding="utf-8") as file:
        events = json.load(file)["events"]
    before, after = (_entries(_read(folder, f"{when}/list.json")) for when in ("before", "after"))
    sums = [_sums(_read(folder, f"{when}/sums")) for when in ("before", "after")]
    unknown = set(sums[0]) - set(before)
    if unknown:
        raise ValueError(f"luod does not know of {', '.join(sorted(' '.join(key) for key in unknown))}")
    results = _results(_read(folder, "before/preserve.json"))
    return {
        "accelerator": _accelerator(folder),
        "kernel": {when: _pairs(_read(folder, f"{when}/kernel")) for when in ("before", "after")},
        "services": _services(before, after, sums, results),
        "answers": {when: _pairs(_read(folder, f"{when}/answers")) for when in ("before", "after")},
        "notes": _read(folder, "after/notes").splitlines(),
        "timeline": _timeline(events),
    }
