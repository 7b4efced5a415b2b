# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Checks the results. Each problem is a sentence; no problem means that all memory survived."""

import re

# Attributes of an fd that a service relies on.
_ATTRIBUTES = ("size", "seals", "access", "append", "mode", "uid", "gid")
# notes.service records each of its starts.
_GROWN = {("notes.service", "starts")}


def _entry(unit, entry, complain):
    name, before, after = f"{entry['name']} of {unit}", entry["before"], entry["after"]
    result = (entry["result"] or {}).get("result")
    if not before["preservable"]:
        if before["kind"] == "memfd":
            complain(f"{name} is a memfd, and luod reports that it cannot be preserved.")
        return
    if result not in ("preserved", "copied", "alias"):
        complain(f"{name}: the result of the dry run is {result}.")
    if after is None:
        complain(f"{name} is missing in the new kernel.")
        return
    # The kernel does not preserve the name of a memfd. luod stores it, and systemd does not.
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
        complain(f"{name}: its contents differ. sha256 was {entry['sha256Before']} and is {entry['sha256After']}.")


def _shared(services, complain):
    inodes = {(s["unit"], e["name"]): e["after"] and e["after"]["inode"] for s in services for e in s["entries"]}
    for service in services:
        for entry in service["entries"]:
            if entry["sameAs"] and entry["after"] and entry["after"]["inode"] != inodes[tuple(entry["sameAs"])]:
                complain(f"{entry['name']} of {service['unit']} was the same memory as "
                         f"{' of '.join(reversed(entry['sameAs']))}, and is now a copy.")


def _answers(before, after, complain):
    for key in ("visits", "ada", "steps", "notes"):
        if not before.get(key, "").isdigit() or before[key] != after.get(key):
            complain(f"{key} was {before.get(key)} before and {after.get(key)} after.")
        elif int(after.get(f"{key}_then") or 0) <= int(before[key]):
            complain(f"{key} does not increase: it is still {after.get(f'{key}_then')}.")
    for key in ("check", "check_then"):
        if after.get(key) != "good":
            complain(f"mini-vmm checked all of its RAM: the result is {after.get(key)!r}.")
    if after.get("shared_then") != after.get("visits_then"):
        complain("vmm.service does not see what counter.service writes into the memory that they share.")


def _systemd(data, complain):
    """Check the reports of luo-shutdown, luoctl and systemd."""
    systemd = data["systemd"]
    survivors = sum(e["before"]["preservable"] for s in data["services"] for e in s["entries"])
    found = re.match(r"(\d+) fds? of (\d+) units?", systemd["console"] or "")
    if not found or int(found[1]) != survivors:
        complain(f"luo-shutdown did not report on the console that it preserved {survivors} fds. It reported: "
                 f"{systemd['console'] or 'nothing'}.")
    last = systemd["lastShutdown"] or {}
    if last.get("preserved") != survivors or last.get("failure"):
        complain(f"luoctl status reports that the last shutdown preserved {last.get('preserved')} fds, not {survivors}"
                 + (f", and that it failed: {last['failure']}." if last.get("failure") else "."))
    for service in data["services"]:
        for entry in service["entries"]:
            if entry["after"] and entry["after"]["where"] != "systemd":
                complain(f"{entry['name']} of {service['unit']} is in the fd store of {entry['after']['where']}, not of systemd.")
        if service["unit"] not in data["timeline"]["answeredAfter"]:
            complain(f"There is no record of the first answer of {service['unit']}.")
    for unit in systemd["failed"]:
        complain(f"A unit failed in the new kernel: {unit}.")
    version = data["kernel"]["after"].get("systemd", "")
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) >= 261:
        complain(f"This is systemd {version or '(unknown)'}, but the demo needs a version without live update support.")


def judge(data):
    """A list of the problems in the data from collect()."""
    problems = []
    complain = problems.append
    kernel = data["kernel"]
    if kernel["before"]["boot_id"] == kernel["after"]["boot_id"]:
        complain("The boot id is the same: the kernel was not replaced.")
    for service in data["services"]:
        if not service["entries"]:
            complain(f"The fd store of {service['unit']} is empty.")
        for entry in service["entries"]:
            _entry(service["unit"], entry, complain)
    _shared(data["services"], complain)
    _answers(data["answers"]["before"], data["answers"]["after"], complain)
    if "systemd" in data:
        _systemd(data, complain)
    return problems
