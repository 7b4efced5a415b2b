# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The parts of the boots of a scenario: kernels, command lines, and an initramfs or disks.

The initramfs of the minimal guest has, in this order: base, overlays, scenario, configuration, and the next
kernels. The guest gives its own initramfs to the next kernel, so a kexec carries over nothing else. The
kernels are at the end, and the one that is used last comes first. So the guest can cut off the kernels that
no later boot needs, and kexec_file_load neither hashes nor copies them.

A Debian guest has disks instead (disk.py), which a kexec does not change.
"""

import contextlib
import io
import os
import shlex

from . import bzimage, cpio, debian, disk, files, image
from .scenario import MINIMAL

_KEXECS = ("kexec", "self-kexec")
BASE_CMDLINE = (
    "console=ttyS0,115200 earlycon=uart8250,io,0x3f8,115200n8 printk.time=1 panic=-1 no_timer_check watchdog_thresh=20 "
    "kho=on liveupdate=on"
)
# The log is for the host, not for a terminal, and there is no mouse.
_DISK_CMDLINE = "printk.devkmsg=on i8042.noaux TERM=dumb SYSTEMD_COLORS=0"


class Kernel:
    def __init__(self, name, path, number):
        self.name = name
        self.path = path
        self.release = bzimage.release(path)
        # Two builds may have the same release.
        self.guest_path = f"/luovm/kernels/{number}-{self.release}"


class InitramfsPlan:
    """The kernel and the command line of each stage, and the pieces of the initramfs in their order."""

    def __init__(self, kernels, cmdlines):
        self.kernels = kernels
        self.cmdlines = cmdlines
        self.pieces = []
        self.cuts = []

    def media(self, folder, stage):
        """Write the initramfs of a machine that starts with `stage`, and return the arguments for QEMU."""
        path = os.path.join(folder, "initrd")
        with open(path, "wb") as out:
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    out.write(piece)
                else:
                    with open(piece, "rb") as file:
                        while block := file.read(1 << 20):
                            out.write(block)
            out.truncate(out.tell() - self.cuts[stage - 1])
        return ["-initrd", path]

    @staticmethod
    def remove_media(folder):
        _remove(os.path.join(folder, "initrd"))


class DiskPlan:
    """The same for guests that have their root on a disk."""

    def __init__(self, kernels, cmdlines, write_run_disk, shared):
        self.kernels = kernels
        self.cmdlines = cmdlines
        self._write_run_disk = write_run_disk
        self._shared = shared

    def media(self, folder, stage):
        """Make the disk of the run for the first machine. Later machines use it again."""
        path = os.path.join(folder, "disk")
        if not os.path.exists(path):
            self._write_run_disk(path)
        return disk.drives(path, *self._shared)

    @staticmethod
    def remove_media(folder):
        _remove(os.path.join(folder, "disk"))


def _remove(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _kernel_archive(kernel):
    out = io.BytesIO()
    archive = cpio.Writer(out)
    with open(kernel.path, "rb") as file:
        archive.file(kernel.guest_path, file.read())
    archive.close()
    return out.getvalue()


def _config(variables):
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items()).encode()


def _config_archive(variables):
    out = io.BytesIO()
    archive = cpio.Writer(out)
    archive.file("luovm/config", _config(variables))
    archive.close()
    return out.getvalue()


def _last_use(kernels, ends):
    """{kernel: the last stage that a kexec enters with it}, the latest stage first."""
    last = {}
    for stage, kernel in enumerate(kernels, 1):
        if stage > 1 and ends[stage - 2] in _KEXECS:
            last[kernel] = stage
    return dict(sorted(last.items(), key=lambda item: -item[1]))


def _next_kernels(kernels, ends, lines):
    """The variables that tell the guest which kernel to load for which stage."""
    variables = {"LUOVM_STAGES": len(kernels)}
    for stage in range(2, len(kernels) + 1):
        if ends[stage - 2] in _KEXECS:
            variables[f"LUOVM_KERNEL_{stage}"] = kernels[stage - 1].guest_path
            variables[f"LUOVM_CMDLINE_{stage}"] = lines[stage - 1]
    return variables


def _make_initramfs(cache, kernels, ends, cmdlines, variables, overlays, scenario, keep_kernels, first):
    lines = [f"{first} {BASE_CMDLINE} retain_initrd luovm.stage={n} {extra}".strip()
             for n, extra in enumerate(cmdlines, 1)]
    plan = InitramfsPlan(kernels, lines)
    last = _last_use(kernels, ends)
    archives = {kernel: _kernel_archive(kernel) for kernel in last}

    # How much smaller than the complete initramfs that of each stage is.
    plan.cuts = [0 if keep_kernels else sum(len(archives[k]) for k, used in last.items() if used <= stage)
                 for stage in range(1, len(kernels) + 1)]

    variables = dict(variables, **_next_kernels(kernels, ends, lines))
    for stage in range(2, len(kernels) + 1):
        variables[f"LUOVM_CUT_{stage}"] = plan.cuts[stage - 1] - plan.cuts[stage - 2]

    plan.pieces.append(image.build_minimal(cache))
    plan.pieces += [image.build_overlay(cache, folder) for folder in overlays]
    if scenario:
        plan.pieces.append(image.tree(scenario, "luovm/scenario"))
    plan.pieces.append(_config_archive(variables))
    plan.pieces += archives.values()
    return plan


def _device(number):
    """The device of a disk in the guest; the first disk has number 0."""
    return "/dev/vd" + chr(ord("a") + number)


def _make_disks(cache, kernels, ends, cmdlines, variables, overlays, scenario, guests, first):
    roots = list(dict.fromkeys(guests))
    shared = [debian.build(cache, name) for name in roots]
    if overlays:
        shared.append(disk.build_overlay(cache, overlays))
    lines = []
    for number, (guest, extra) in enumerate(zip(guests, cmdlines), 1):
        root = f"root={_device(1 + roots.index(guest))} rootfstype=ext4 ro init=/usr/lib/luo-vm/init"
        lines.append(f"{first} {BASE_CMDLINE} {_DISK_CMDLINE} {root} luovm.guest={guest} luovm.stage={number} "
                     f"{extra}".strip())
    variables = dict(variables, **_next_kernels(kernels, ends, lines))
    if scenario:
        # The disk is written when a guest starts; an error in the scenario's folder must come before that.
        files.scenario(scenario)
    variables["LUOVM_OVERLAY"] = _device(1 + len(roots)) if overlays else ""
    config, used = _config(variables), list(_last_use(kernels, ends))
    return DiskPlan(kernels, lines, lambda path: disk.make_run_disk(cache, path, config, scenario, roots, used), shared)


def make(cache, kernels, ends, cmdlines, variables, overlays=(), scenario=None, keep_kernels=False, first="",
         guests=None):
    """Plan boots: each stage has a kernel, an end, an extra command line and a guest.

    `first` is at the start of each command line, for options that change how the kernel reads the rest.
    """
    if guests and guests[0] != MINIMAL:
        return _make_disks(cache, kernels, ends, cmdlines, variables, overlays, scenario, guests, first)
    return _make_initramfs(cache, kernels, ends, cmdlines, variables, overlays, scenario, keep_kernels, first)


def for_scenario(cache, scenario, kernels, overlays):
    """The plan of a scenario, with one Kernel per stage."""
    environment = "; ".join(f"export {name}={shlex.quote(value)}" for name, value in scenario.env.items())
    variables = {
        "LUOVM_CGROUPS": int(scenario.cgroups),
        "LUOVM_PRELOAD": "1" if scenario.preload else "",
        "LUOVM_HEARTBEAT": max(1, scenario.hang // 6),
        "LUOVM_SHELL": "",
        "LUOVM_ENVIRONMENT": environment,
        "LUOVM_REQUIRES": " ".join(scenario.requires),
    }
    for stage in scenario.stages:
        variables[f"LUOVM_END_{stage.number}"] = stage.end
        variables[f"LUOVM_PROGRAMS_{stage.number}"] = " ".join(stage.programs)
    folders = [os.path.join(scenario.folder, name) for name in scenario.overlay] + list(overlays)
    cmdlines = [f"{scenario.cmdline} {stage.cmdline}".strip() for stage in scenario.stages]
    return make(cache, kernels, [stage.end for stage in scenario.stages], cmdlines, variables,
                folders, scenario.folder, guests=[stage.guest for stage in scenario.stages])
