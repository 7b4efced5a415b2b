# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""A scenario: a folder with scenario.toml and a program for each stage.

Stage 1 runs in the first boot, stage 2 in the next, and so on. `stage1` is a program, and `stage1.d/` is a
folder of programs that run in the order of their names. The program `stage` runs in each stage that has no
program of its own.
"""

import os
import re
import tomllib

from . import debian
from .errors import UserError

MINIMAL = "minimal"
GUESTS = (MINIMAL, *debian.NAMES)
ENDS = ("kexec", "self-kexec", "reboot", "self-reboot", "soft-reboot", "self-soft-reboot", "poweroff", "self-poweroff")
_SOFT = ("soft-reboot", "self-soft-reboot")
# An emulated Debian is slow.
_TIMEOUT, _DISK_TIMEOUT = 120, 300
# What a stage may expect. It passes if this, and no other problem, is found.
EXPECTATIONS = (
    "pass", "fail", "skip", "panic", "oops", "warning", "soft-lockup", "stall", "hung-task", "hang", "timeout",
    "sanitizer", "unexpected-reboot", "unexpected-poweroff", "unexpected-kexec",
    "unexpected-soft-reboot", "wrong-kernel", "lost",
    "error",
)

# Key: (type, default). Any other key is an error.
_KEYS = {
    "description": (str, ""),
    "guest": (str, MINIMAL),
    "timeout": (int, None),
    "hang": (int, 60),
    "memory": (str, "1G"),
    "cpus": (int, None),
    "kernels": (list, None),
    "stages": (int, None),
    "cmdline": (str, ""),
    "cgroups": (bool, True),
    "preload": (bool, False),
    "slow": (bool, False),
    "idle": (bool, False),
    "overlay": (list, []),
    "requires": (list, []),
    "qemu": (list, []),
    "env": (dict, {}),
    "stage": (dict, {}),
}
_STAGE_KEYS = {
    "guest": (str, None),
    "end": (str, None),
    "cmdline": (str, ""),
    "expect": (str, "pass"),
}


class Stage:
    """One boot: its programs, how it ends, and what it expects."""

    def __init__(self, number, guest, programs, end, cmdline, expect):
        self.number = number
        self.guest = guest
        self.programs = programs
        self.end = end
        self.cmdline = cmdline
        self.expect = expect


class Scenario:
    def __init__(self, folder, name, stages, values):
        self.folder = folder
        self.name = name
        self.stages = stages
        for key, value in values.items():
            setattr(self, key, value)


def _fail(path, text):
    raise UserError(f"{path}: {text}")


def _check(path, table, keys, where):
    """The values of one table with defaults. An error names the key."""
    values = {}
    for key, value in table.items():
        if key not in keys:
            _fail(path, f"unknown key {where}{key}\nKnown keys: {', '.join(where + k for k in keys)}.")
        kind = keys[key][0]
        # In Python a bool is an int, too.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            _fail(path, f"{where}{key} is {value!r}, and must be of type {kind.__name__}")
        if kind is int and value <= 0:
            _fail(path, f"{where}{key} is {value}, and must be greater than zero")
        if kind is list and not all(isinstance(item, str) for item in value):
            _fail(path, f"{where}{key} must be a list of strings")
        values[key] = value
    for key, (_, default) in keys.items():
        values.setdefault(key, default)
    return values


def _check_cmdline(path, key, text):
    # The shell of the guest has it in single quotes.
    if "'" in text or "\n" in text:
        _fail(path, f"{key} must not contain a single quote or a line break")


def _executables(path, folder, names):
    for name in names:
        place = os.path.join(folder, name)
        if os.path.islink(place) and not os.path.exists(place):
            _fail(path, f"{place} is a link to a file that does not exist: {os.readlink(place)}")
        if not os.path.isfile(place) or not os.access(place, os.X_OK):
            _fail(path, f"{place} is not an executable file\nMake it one: chmod +x {place}")
    return names


def _list(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from None


def _programs(path, folder, number):
    """The programs of a stage, relative to the scenario's folder."""
    single, many = f"stage{number}", f"stage{number}.d"
    has_single = os.path.lexists(os.path.join(folder, single))
    has_many = os.path.isdir(os.path.join(folder, many))
    if has_single and has_many:
        _fail(path, f"both {single} and {many}/ exist; remove one of them")
    if has_single:
        return _executables(path, folder, [single])
    if has_many:
        names = [n for n in _list(os.path.join(folder, many)) if not n.startswith(".")]
        if not names:
            _fail(path, f"{many}/ is empty: add at least one program")
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
                _fail(path, f"{many}/{name} is not a valid name of a program: use letters, digits and . _ + -")
        return _executables(path, folder, [f"{many}/{name}" for name in names])
    if os.path.lexists(os.path.join(folder, "stage")):
        return _executables(path, folder, ["stage"])
    return None


def _count(path, folder, wanted):
    found = 0
    while any(os.path.lexists(os.path.join(folder, f"stage{found + 1}{suffix}")) for suffix in ("", ".d")):
        found += 1
    count = wanted or found
    if count == 0:
        _fail(path, f"{folder} has no stage program\n"
                    "Add an executable with the name stage1, or one with the name stage and `stages = N`.")
    stray = [n for n in _list(folder)
             if (m := re.fullmatch(r"stage(\d+)(\.d)?", n)) and not 1 <= int(m[1]) <= count]
    if stray:
        _fail(path, f"{', '.join(stray)} would never run: the stages are 1 to {count}, without gaps")
    return count


def _stage(path, folder, number, count, table, guest):
    values = _check(path, table, _STAGE_KEYS, f"stage.{number}.")
    guest = _guest(path, f"stage.{number}.guest", values["guest"] or guest)
    last = number == count
    end = values["end"] or ("poweroff" if last else "kexec")
    if end not in ENDS:
        _fail(path, f"stage.{number}.end is {end!r}, and must be one of {', '.join(ENDS)}")
    if last and not end.endswith("poweroff"):
        _fail(path, f"stage.{number}.end is {end!r}, but there is no stage {number + 1}")
    if not last and end.endswith("poweroff"):
        _fail(path, f"stage.{number}.end is {end!r}, so stage {number + 1} would never run")
    expect = values["expect"]
    if expect not in EXPECTATIONS and not re.fullmatch(r"exit:\d+", expect):
        _fail(path, f"stage.{number}.expect is {expect!r}, and must be exit:STATUS or one of {', '.join(EXPECTATIONS)}")
    _check_cmdline(path, f"stage.{number}.cmdline", values["cmdline"])
    programs = _programs(path, folder, number)
    if programs is None:
        _fail(path, f"stage {number} has no program: add stage{number}, stage{number}.d/ or stage")
    if end in _SOFT and guest == MINIMAL:
        _fail(path, f"stage.{number}.end is {end!r}, which needs a guest with systemd: one of {', '.join(debian.NAMES)}")
    return Stage(number, guest, programs, end, values["cmdline"], expect)


def _check_soft_reboots(path, stages):
    """A soft-reboot keeps the kernel, its command line and the root."""
    for before, after in zip(stages, stages[1:]):
        if before.end in _SOFT and after.cmdline:
            _fail(path, f"stage.{after.number}.cmdline has no effect: the stage before it ends in a {before.end}")
        if before.end in _SOFT and after.guest != before.guest:
            _fail(path, f"stage.{after.number}.guest is {after.guest!r}, but the stage before it, with "
                  f"{before.guest!r}, ends in a {before.end}")


def _guest(path, key, name):
    if name not in GUESTS:
        _fail(path, f"{key} is {name!r}, and must be one of {', '.join(GUESTS)}")
    return name


def load(folder):
    """Read and check the scenario in `folder`."""
    folder = os.path.abspath(folder)
    path = os.path.join(folder, "scenario.toml")
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"{folder} is not a scenario: it has no scenario.toml.\n"
                        "A scenario is a folder with scenario.toml and stage programs; see luo-vm(1).") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None

    values = _check(path, document, _KEYS, "")
    if not re.fullmatch(r"\d+[MG]", values["memory"]):
        _fail(path, f"memory is {values['memory']!r}, and must be a number and M or G, such as 512M")
    if values["kernels"] is not None and not values["kernels"]:
        _fail(path, "kernels is empty: name at least one kernel, or remove the key")
    for name, value in values["env"].items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not isinstance(value, str):
            _fail(path, f"env.{name} must be the name of a variable with a string as its value")
    _check_cmdline(path, "cmdline", values["cmdline"])
    for name in values["requires"]:
        if not re.fullmatch(r"/[A-Za-z0-9._+@/-]+", name):
            _fail(path, f"requires has {name!r}, and must have absolute paths of the guest, such as /usr/bin/luod")

    tables = values.pop("stage")
    count = _count(path, folder, values.pop("stages"))
    for key, table in tables.items():
        if not key.isdigit() or not 1 <= int(key) <= count:
            _fail(path, f"[stage.{key}] does not name a stage; the stages are 1 to {count}")
        if not isinstance(table, dict):
            _fail(path, f"stage.{key} must be a table: [stage.{key}]")
    _guest(path, "guest", values["guest"])
    stages = [_stage(path, folder, n, count, tables.get(str(n), {}), values["guest"]) for n in range(1, count + 1)]
    if len({stage.guest == MINIMAL for stage in stages}) > 1:
        _fail(path, f"a scenario cannot have both {MINIMAL!r} and a Debian guest; use one or the other in all stages")
    if stages[0].guest != MINIMAL and not values["cgroups"]:
        _fail(path, "cgroups = false is only for the minimal guest: systemd needs cgroups")
    _check_soft_reboots(path, stages)
    if values["timeout"] is None:
        values["timeout"] = _TIMEOUT if stages[0].guest == MINIMAL else _DISK_TIMEOUT
    return Scenario(folder, os.path.basename(folder), stages, values)


def kernel_chain(scenario, first=None, following=None):
    """The name of the kernel of each stage, from the scenario or from the command line.

    A chain that is shorter than the stages repeats, so ["7.2", "7.3"] alternates between two kernels.
    """
    chain = list(scenario.kernels or ["7.2"])
    if first or following:
        # If only the first kernel is named, a scenario with a single kernel uses it for all stages.
        rest = chain[1:] or [first or chain[0]]
        chain = [first or chain[0], *([following] if following else rest)]
    names, boot = [], 0
    for before, _ in zip([None, *scenario.stages], scenario.stages):
        boot += before is not None and before.end not in _SOFT
        names.append(chain[boot % len(chain)])
    return names


def find(paths):
    """The folders of the scenarios that the arguments name: scenarios, or folders of scenarios."""
    found = []
    for path in paths:
        if os.path.isfile(os.path.join(path, "scenario.toml")) or not os.path.isdir(path):
            found.append(path)
            continue
        inside = [os.path.join(path, name) for name in _list(path)]
        inside = [folder for folder in inside if os.path.isfile(os.path.join(folder, "scenario.toml"))]
        if not inside:
            raise UserError(f"{path} has no scenario: neither it nor a folder in it has a scenario.toml.")
        found.extend(inside)
    return found
