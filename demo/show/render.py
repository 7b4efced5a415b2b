# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The report."""

import textwrap
import time

from . import phases, style

_WIDTH = 92
_BAR = 36
_KNOWLEDGE = (
    ("visits", "counter.service", "visits counted"),
    ("ada", "counter.service", "of these by ada"),
    ("notes", "notes.service", "notes taken"),
    ("steps", "vmm.service", "steps of its guest"),
)


class _Page:
    def __init__(self, look):
        self.look = look
        self.lines = []

    def line(self, text=""):
        self.lines.append(text.rstrip())

    def heading(self, text, aside=""):
        self.line()
        self.line(self.look.paint(text, "bold") + ("  " + aside if aside else ""))
        self.line(self.look.paint(self.look.mark("rule") * _WIDTH, "dim"))


# ---- kernel ------------------------------------------------------------------------------------

def _clock(btime):
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(btime)))


def _kernel(page, kernel):
    before, after = kernel["before"], kernel["after"]
    page.heading("Kernel")
    page.line(f"  {'':12}{'before':40}after")
    for label, key, form in (("release", "release", str), ("boot id", "boot_id", str), ("booted at", "btime", _clock),
                             ("systemd", "systemd", str)):
        if key not in before:
            continue
        old, new = form(before[key]), form(after[key])
        page.line(f"  {label:12}{old:40}{page.look.paint(new, 'bold') if key == 'release' else new}")


# ---- services ----------------------------------------------------------------------------------

def _nature(entry):
    before = entry["before"]
    words = [(before["kind"] or "fd").replace("unlinked ", "")]
    if "write" in (before.get("seals") or []):
        words.append("sealed")
    if before.get("access") in ("ro", "r"):
        words.append("read-only")
    if before.get("append"):
        words.append("append")
    return ", ".join(words)


def _fate(page, unit, entry):
    """The right part of the line of an entry: its result, with its color."""
    look = page.look
    if not entry["before"]["preservable"]:
        return look.paint(f"{look.mark('lost')} cannot be preserved", "yellow")
    if entry["after"] is None:
        return look.paint(f"{look.mark('bad')} is missing", "red")
    if entry["sameAs"]:
        other, name = entry["sameAs"]
        return (look.paint(look.mark("good"), "green") + f" same memory as {name}"
                + ("" if other == unit else f" of {other}"))
    if entry["sha256Before"] != entry["sha256After"]:
        return look.paint(f"{look.mark('bad')} CONTENTS DIFFER", "red")
    return (look.paint(look.mark("good"), "green") + f" {entry['before']['size']:>10,} bytes unchanged  "
            + look.paint(f"sha256 {entry['sha256After'][:12]}", "dim"))


def _entry(page, unit, entry):
    size = entry["before"].get("size")
    size = style.size(size) if entry["before"]["preservable"] and size is not None else ""
    page.line(f"    {entry['name']:10}{size:>8}  {_nature(entry):20}  {_fate(page, unit, entry)}")


def _service(page, service):
    page.line(f"  {page.look.paint(service['unit'], 'bold', 'cyan')}  {service['what']}")
    for entry in service["entries"]:
        _entry(page, service["unit"], entry)


def _services(page, services):
    page.heading("Memory", "checksums of the memory of the services, before the stop and after the start")
    for service in services:
        _service(page, service)


def _lost(page, services):
    lost = [(s["unit"], e) for s in services for e in s["entries"] if not e["before"]["preservable"]]
    if not lost:
        return
    page.heading("Not carried over", "as the dry run reported before the services stopped")
    for unit, entry in lost:
        reason = (entry["result"] or {}).get("reason") or entry["before"].get("reason") or "no reason given"
        again = f" {unit} created a new one." if entry["after"] else ""
        head = f"  {entry['name']:10}"
        for line in textwrap.wrap(f"{reason[0].upper()}{reason[1:].rstrip('.')}.{again}", _WIDTH - len(head)):
            page.line(head + line)
            head = " " * len(head)


# ---- state of the services ---------------------------------------------------------------------

def _number(text):
    return f"{int(text):,}" if (text or "").isdigit() else str(text)


def _knowledge(page, answers, notes):
    before, after = answers["before"], answers["after"]
    page.heading("State of the services")
    page.line(f"  {'':18}{'':28}{'before':>12}{'after':>12}{'later':>12}")
    for key, unit, text in _KNOWLEDGE:
        values = (before.get(key), after.get(key), after.get(f"{key}_then"))
        page.line(f"  {unit:18}{text:28}" + "".join(f"{_number(v):>12}" for v in values))
    page.line(f"  vmm.service       sees {_number(after.get('shared_then'))} visits in the memory that it shares "
              "with counter.service")
    for note in notes:
        page.line(page.look.paint(f"  notes.service     {note}", "dim"))


# ---- the blackout ------------------------------------------------------------------------------

def _bar(page, start, length, total):
    """The position of a phase in the blackout, and its length."""
    first = round(start / total * _BAR)
    cells = round((start + length) / total * _BAR) - first
    bar = page.look.mark("bar") * cells or page.look.mark("half")
    return " " * min(first, _BAR - 1) + page.look.paint(bar, "cyan") + " " * (_BAR - first - len(bar))


def _answered(timeline):
    return ", ".join(f"{unit} {style.seconds(when)}" for unit, when in timeline["answeredAfter"].items())


def _silence(page, timeline):
    """For each service the time from its end to its first answer."""
    page.line()
    for unit, stopped in timeline["stoppedAfter"].items():
        answered = timeline["answeredAfter"].get(unit)
        page.line(f"  {unit:18}" + ("did not answer" if answered is None else
                  f"silent for {style.seconds(answered - stopped):>6}: stopped after {style.seconds(stopped)}, "
                  f"answered again after {style.seconds(answered)}"))


def _blackout(page, plan, timeline, accelerator):
    total = timeline["blackoutSeconds"]
    page.heading(f"Blackout: {style.seconds(total)}", "on the clock of the host, which a kexec does not stop")
    for step in timeline["phases"]:
        if not step["blackout"]:
            continue
        bar = _bar(page, step["start"] - timeline["blackoutStart"], step["seconds"], total)
        page.line(f"  {step['phase']:9}{style.seconds(step['seconds']):>7}  {bar}  "
                  f"{plan.find(step['boot'], step['phase']).short}")
    if timeline["stoppedAfter"]:
        _silence(page, timeline)
    page.line()
    if accelerator == "kvm":
        note = "The guest ran under KVM."
    else:
        note = ("The guest was emulated (QEMU TCG): every phase takes much longer than on a real machine, and not "
                "by the same factor.")
    if not timeline["stoppedAfter"]:
        note = f"First answer after: {_answered(timeline)}. {note}"
    for line in textwrap.wrap(note, _WIDTH - 2):
        page.line("  " + page.look.paint(line, "dim"))


# ---- reports of the toolkit --------------------------------------------------------------------

def _verbatim(page, text):
    for line in text.strip("\n").splitlines():
        page.line("  " + line)


def _toolkit(page, systemd):
    page.heading("luoctl harvest --dry-run", "before, in the old kernel")
    _verbatim(page, systemd["dryRun"])
    page.heading("Console", "at the end of the old kernel")
    for line in textwrap.wrap(f"luo: {systemd['console']}", _WIDTH - 2):
        page.line("  " + line)
    page.heading("luoctl status", "after, in the new kernel")
    _verbatim(page, systemd["status"])


# ---- all of it ---------------------------------------------------------------------------------

def _totals(services):
    entries = [e for s in services for e in s["entries"]]
    verified = [e for e in entries if e["sha256Before"] and e["sha256Before"] == e["sha256After"]]
    return (len(verified), sum(e["before"]["size"] for e in verified),
            sum(1 for e in entries if e["sameAs"]), sum(1 for e in entries if not e["before"]["preservable"]))


def _verdict(page, data):
    look, kernel = page.look, data["kernel"]
    memfds, count, shared, lost = _totals(data["services"])
    page.line()
    if data["problems"]:
        page.line(look.paint(f"{look.mark('bad')} Not everything survived:", "bold", "red"))
        for problem in data["problems"]:
            for line in textwrap.wrap(problem, _WIDTH - 4, initial_indent="  - ", subsequent_indent="    "):
                page.line(line)
        return
    page.line(look.paint(f"{look.mark('good')} Linux {kernel['before']['release']} {look.mark('arrow')} Linux "
                         f"{kernel['after']['release']}: {count:,} bytes in {memfds} memfds survived unchanged.",
                         "bold", "green"))
    more = "1 more fd shares" if shared == 1 else f"{shared} more fds share"
    page.line(f"  {more} memory with one of these. {lost} could not be preserved, as the dry run reported.")


def render(data, out):
    """Write the report on the data from collect() with the problems from judge()."""
    page = _Page(style.Style(out))
    _kernel(page, data["kernel"])
    _services(page, data["services"])
    _lost(page, data["services"])
    _knowledge(page, data["answers"], data["notes"])
    plan = phases.SYSTEMD if "systemd" in data else phases.LUOD
    _blackout(page, plan, data["timeline"], data["accelerator"])
    if "systemd" in data:
        _toolkit(page, data["systemd"])
    _verdict(page, data)
    out.write("\n".join(page.lines) + "\n")
