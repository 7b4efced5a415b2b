# SPDX-License-Identifier: GPL-2.0-or-later
"""Is everything as it should be? Each complaint is a sentence; none means that it is."""

import re

# What a service would notice if it came back different.
_ATTRIBUTES = ("size", "seals", "access", "append", "mode", "uid", "gid")
# notes.service writes down each of its starts.
_GROWN = {("notes.service", "starts")}


def _entry(unit, entry, complain):
    name, before, after = f"{entry['name']} of {unit}", entry["before"], entry["after"]
    result = (entry["result"] or {}).get("result")
    if not before["preservable"]:
        if before["kind"] == "memfd":
            complain(f"{name} is a memfd, and luod says that it cannot be preserved.")
        return
    if result not in ("preserved", "copied", "alias"):
        complain(f"{name}: the dry run says {result}.")
    if after is None:
        complain(f"{name} is gone.")
        return
    # No memfd comes out of the kernel with its name. luod has written it down; systemd has no place for it.
    for key in _ATTRIBUTES + (("fileName",) if after["where"] == "luod" else ()):
        if key == "size" and (unit, entry["name"]) in _GROWN:
            continue
        if before.get(key) != after.get(key):
            complain(f"{name}: {key} was {before.get(key)!r} and is {after.get(key)!r}.")
    if entry["sameAs"]:
        return
    if not entry["sha256Before"] or not entry["sha256After"]:
        complain(f"{name} has no checksum.")
    elif entry["sha256Before"] != entry["sha256After"]:
        complain(f"{name}: its bytes differ. sha256 was {entry['sha256Before']} and is {entry['sha256After']}.")


def _shared(services, complain):
    inodes = {(s["unit"], e["name"]): e["after"] and e["after"]["inode"] for s in services for e in s["entries"]}
    for service in services:
        for entry in service["entries"]:
            if entry["sameAs"] and entry["after"] and entry["after"]["inode"] != inodes[tuple(entry["sameAs"])]:
                complain(f"{entry['name']} of {service['unit']} was the same memory as "
                         f"{' '.join(reversed(entry['sameAs']))}, and is a copy now.")


def _answers(before, after, complain):
    for key in ("visits", "ada", "steps", "notes"):
        if not before.get(key, "").isdigit() or before[key] != after.get(key):
            complain(f"{key} was {before.get(key)} before and {after.get(key)} after.")
        elif int(after.get(f"{key}_then") or 0) <= int(before[key]):
            complain(f"{key} does not go on: it is still {after.get(f'{key}_then')}.")
    for key in ("check", "check_then"):
        if after.get(key) != "good":
            complain(f"mini-vmm's own look at all of its RAM says {after.get(key)!r}.")
    if after.get("shared_then") != after.get("visits_then"):
        complain("vmm.service does not see what counter.service writes into the memory that they share.")


def _systemd(data, complain):
    """What is to be said by those who did it."""
    systemd = data["systemd"]
    survivors = sum(e["before"]["preservable"] for s in data["services"] for e in s["entries"])
    said = re.match(r"(\d+) fds? of (\d+) units?", systemd["console"] or "")
    if not said or int(said[1]) != survivors:
        complain(f"luo-shutdown should have said on the console that it preserved {survivors} fds. It said: "
                 f"{systemd['console'] or 'nothing'}.")
    last = systemd["lastShutdown"] or {}
    if last.get("preserved") != survivors or last.get("failure"):
        complain(f"luoctl status says that the last shutdown has preserved {last.get('preserved')} fds, not {survivors}"
                 + (f", and that it failed: {last['failure']}." if last.get("failure") else "."))
    for service in data["services"]:
        for entry in service["entries"]:
            if entry["after"] and entry["after"]["where"] != "systemd":
                complain(f"{entry['name']} of {service['unit']} is not in systemd's fd store, but with "
                         f"{entry['after']['where']}.")
        if service["unit"] not in data["timeline"]["answeredAfter"]:
            complain(f"Nobody knows when {service['unit']} answered.")
    for unit in systemd["failed"]:
        complain(f"A unit has failed in the new kernel: {unit}.")
    version = data["kernel"]["after"].get("systemd", "")
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) >= 261:
        complain(f"This is systemd {version or '(unknown)'}, and the demo wants one that knows nothing of live updates.")


def judge(data):
    """A list of complaints about what collect() found."""
    complaints = []
    complain = complaints.append
    kernel = data["kernel"]
    if kernel["before"]["boot_id"] == kernel["after"]["boot_id"]:
        complain("The boot id is the same: this kernel was not replaced.")
    for service in data["services"]:
        if not service["entries"]:
            complain(f"{service['unit']} has nothing in its store.")
        for entry in service["entries"]:
            _entry(service["unit"], entry, complain)
    _shared(data["services"], complain)
    _answers(data["answers"]["before"], data["answers"]["after"], complain)
    if "systemd" in data:
        _systemd(data, complain)
    return complaints
