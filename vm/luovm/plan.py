# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a scenario's boots are made of: kernels, command lines, and one initramfs for all of them.

The initramfs is base + overlays + scenario + configuration + kernels to come. The guest hands its own
initramfs to the next kernel, so nothing has to be carried over a kexec in any other way. The kernels
stand at the end, the one needed last first: what a later boot no longer needs can be cut off there,
and is neither hashed by kexec_file_load nor copied.
"""

import io
import os
import shlex

from . import bzimage, cpio, image

_KEXECS = ("kexec", "self-kexec")
BASE_CMDLINE = (
    "console=ttyS0,115200 earlycon=uart8250,io,0x3f8,115200n8 printk.time=1 panic=-1 no_timer_check watchdog_thresh=20 "
    "retain_initrd kho=on liveupdate=on"
)


class Kernel:
    def __init__(self, name, path, number):
        self.name = name
        self.path = path
        self.release = bzimage.release(path)
        # Two builds may call themselves the same.
        self.guest_path = f"/luovm/kernels/{number}-{self.release}"


class Plan:
    """For each stage its kernel and command line; and the pieces of the initramfs, in order."""

    def __init__(self, kernels, cmdlines):
        self.kernels = kernels
        self.cmdlines = cmdlines
        self.pieces = []
        self.cuts = []

    def write_initrd(self, path, stage):
        """The initramfs of a guest that starts with `stage`."""
        with open(path, "wb") as out:
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    out.write(piece)
                else:
                    with open(piece, "rb") as file:
                        while block := file.read(1 << 20):
                            out.write(block)
            out.truncate(out.tell() - self.cuts[stage - 1])


def _kernel_archive(kernel):
    out = io.BytesIO()
    archive = cpio.Writer(out)
    with open(kernel.path, "rb") as file:
        archive.file(kernel.guest_path, file.read())
    archive.close()
    return out.getvalue()


def _config_archive(variables):
    out = io.BytesIO()
    archive = cpio.Writer(out)
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    archive.file("luovm/config", text.encode())
    archive.close()
    return out.getvalue()


def _last_use(kernels, ends):
    """{kernel: the last stage that is entered with it by kexec}, the latest first."""
    last = {}
    for stage, kernel in enumerate(kernels, 1):
        if stage > 1 and ends[stage - 2] in _KEXECS:
            last[kernel] = stage
    return dict(sorted(last.items(), key=lambda item: -item[1]))


def make(cache, kernels, ends, cmdlines, variables, overlays=(), scenario=None, keep_kernels=False, first=""):
    """Plan boots: one kernel, one end and one extra command line per stage.

    `first` goes to the front of each line, for options that decide what is done with the rest.
    """
    lines = [f"{first} {BASE_CMDLINE} luovm.stage={n} {extra}".strip() for n, extra in enumerate(cmdlines, 1)]
    plan = Plan(kernels, lines)
    last = _last_use(kernels, ends)
    archives = {kernel: _kernel_archive(kernel) for kernel in last}

    # How much less the initramfs of each stage has than the whole one.
    plan.cuts = [0 if keep_kernels else sum(len(archives[k]) for k, used in last.items() if used <= stage)
                 for stage in range(1, len(kernels) + 1)]

    variables = dict(variables, LUOVM_STAGES=len(kernels))
    for stage in range(2, len(kernels) + 1):
        if ends[stage - 2] not in _KEXECS:
            continue
        variables[f"LUOVM_KERNEL_{stage}"] = kernels[stage - 1].guest_path
        variables[f"LUOVM_CUT_{stage}"] = plan.cuts[stage - 1] - plan.cuts[stage - 2]
        variables[f"LUOVM_CMDLINE_{stage}"] = lines[stage - 1]

    plan.pieces.append(image.build_minimal(cache))
    plan.pieces += [image.build_overlay(cache, folder) for folder in overlays]
    if scenario:
        plan.pieces.append(image.tree(scenario, "luovm/scenario"))
    plan.pieces.append(_config_archive(variables))
    plan.pieces += archives.values()
    return plan


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
                folders, scenario.folder)
