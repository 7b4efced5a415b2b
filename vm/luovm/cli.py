# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The command line of luo-vm."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

from . import debian, disk, image, kernel, qemu, runner, scenario as scenarios, schedule, shell, version
from .cache import Cache
from .errors import UserError
from .report import Report

_KEPT_RESULTS = 20


def _kernel_build(arguments, cache):
    fragments = [os.path.abspath(path) for path in arguments.config]
    for path in fragments:
        if not os.path.isfile(path):
            raise UserError(f"the configuration fragment {path} does not exist.")
    if arguments.bzimage:
        if fragments:
            raise UserError("--config has no effect on a kernel that is built already (--bzimage).")
        entry = kernel.add_bzimage(cache, arguments.bzimage)
    elif arguments.source:
        entry = kernel.build_source(cache, arguments.source, fragments)
    else:
        entry = None
        for version in arguments.version or [kernel.VERSIONS[0]]:
            if entry:
                print(os.path.join(entry, "bzImage"))
            entry = kernel.build_version(cache, version, fragments, arguments.refresh)
    print(os.path.join(entry, "bzImage"))
    return 0


def _kernel_list(_, cache):
    rows = kernel.listing(cache)
    if not rows:
        print("no kernels yet; build one with: luo-vm kernel build --version 7.2", file=sys.stderr)
        return 0
    width = max(len(row[0]) for row in rows)
    for name, release, origin, when in rows:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
        print(f"{name:{width}}  {release:16}  {day}  {origin}")
    return 0


def _image_build(arguments, cache):
    overlays = [os.path.abspath(folder) for folder in arguments.overlay]
    if arguments.name == scenarios.MINIMAL:
        print(image.build_minimal(cache))
        for folder in overlays:
            print(image.build_overlay(cache, folder))
        return 0
    print(debian.build(cache, arguments.name, arguments.refresh))
    if overlays:
        print(disk.build_overlay(cache, overlays))
    return 0


def _image_list(_, cache):
    print(f"{scenarios.MINIMAL:20}  {'built when needed':17}  an initramfs made of this machine's busybox")
    for name, what, made in debian.listing(cache):
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(made)) if made else "not built"
        print(f"{name:20}  {day:17}  {what}")
    return 0


def _list(arguments, _):
    for folder in scenarios.find(arguments.scenario or ["."]):
        loaded = scenarios.load(folder)
        kernels = " -> ".join(scenarios.kernel_chain(loaded))
        slow = " (slow)" if loaded.slow else ""
        guests = " -> ".join(dict.fromkeys(stage.guest for stage in loaded.stages))
        stages = f"{len(loaded.stages)} stage{'s' if len(loaded.stages) > 1 else ''}"
        print(f"{loaded.name:32} {stages:9} {kernels:24} {guests:12} {loaded.description}{slow}")
    return 0


def _results_folder(arguments, cache):
    if arguments.results:
        folder = os.path.abspath(arguments.results)
    else:
        base = cache.path("results")
        os.makedirs(base, exist_ok=True)
        for old in sorted(os.listdir(base))[:-_KEPT_RESULTS]:
            shutil.rmtree(os.path.join(base, old), ignore_errors=True)
        folder = tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=base)
    os.makedirs(folder, exist_ok=True)
    return folder


def _is_minimal(loaded):
    return loaded.stages[0].guest == scenarios.MINIMAL


def _with_overrides(loaded, arguments):
    loaded.memory = arguments.memory or loaded.memory
    loaded.cpus = arguments.cpus or loaded.cpus or (1 if _is_minimal(loaded) else 2)
    loaded.timeout = arguments.timeout or loaded.timeout
    return loaded


def _progress(live):
    def show(scenario, text):
        if live:
            sys.stderr.write(f"\r\033[K{scenario.name}: {text}")
            sys.stderr.flush()
    return show


def _run(arguments, cache):
    loaded = [_with_overrides(scenarios.load(folder), arguments) for folder in scenarios.find(arguments.scenario)]
    if arguments.quick:
        loaded = [one for one in loaded if not one.slow]
    names = [one.name for one in loaded]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two scenarios have the name {name!r}, so their results would overwrite each other; rename one.")
    qemu.program()
    accel = qemu.accelerator(arguments.accel, cache)
    overlays = [os.path.abspath(folder) for folder in arguments.overlay]
    folder = _results_folder(arguments, cache)

    # Whatever takes long or can fail on the host comes before the first guest.
    plans, kernels = {}, {}
    for one in loaded:
        chain = scenarios.kernel_chain(one, arguments.kernel, arguments.next_kernel)
        for name in chain:
            if name not in kernels:
                kernels[name] = kernel.resolve(cache, name)
        plans[one.name] = runner.prepare(cache, one, [(name, kernels[name]) for name in chain], overlays)

    report = Report(folder, len(loaded))
    live = sys.stderr.isatty() and not sys.stdout.isatty()
    show = _progress(live)

    def run_one(one):
        options = qemu.Options(accel, one.memory, one.cpus, one.qemu,
                               qemu.SMALL_BUFFER if _is_minimal(one) else qemu.LARGE_BUFFER)
        place = os.path.join(folder, one.name)
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        try:
            report.add(runner.Run(one, plans[one.name], options, place, show).run())
        finally:
            if not arguments.keep:
                plans[one.name].remove_media(place)

    times = schedule.Times(cache)
    schedule.run(times.longest_first(loaded), arguments.jobs, run_one, runner.kill_all)
    times.remember(report.seconds())
    counts = report.finish()
    return 1 if counts[1] else 0


def _shell(arguments, cache):
    return shell.run(cache, arguments)


def _positive(text):
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


_positive.__name__ = "number greater than zero"


def _guest_options(parser):
    parser.add_argument("--kernel", metavar="K",
                        help="kernel of the first boot: a version, a bzImage or a name from kernel list")
    parser.add_argument("--next-kernel", metavar="K", help="kernel to kexec into")
    parser.add_argument("--overlay", action="append", default=[], metavar="DIR",
                        help="copy a directory tree into the guest, with the libraries its programs need")
    parser.add_argument("--memory", metavar="SIZE", help="memory of the guest, such as 512M or 2G")
    parser.add_argument("--cpus", type=_positive, metavar="N", help="processors of the guest")
    parser.add_argument("--accel", choices=("auto", "tcg", "kvm"), default="auto",
                        help="auto: KVM if a probe guest runs under it, otherwise emulation")


def parser():
    top = argparse.ArgumentParser(prog="luo-vm",
                                  description="Boot kernels in QEMU, kexec between them, and test what survives.")
    top.add_argument("--version", action=version.Action)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    kernels = commands.add_parser("kernel", help="build and list kernels").add_subparsers(required=True)
    build = kernels.add_parser("build", help="build or import a kernel, and print its path")
    which = build.add_mutually_exclusive_group()
    which.add_argument("--version", action="append", metavar="V",
                       help="build the source package of the distribution, such as 7.2")
    which.add_argument("--source", metavar="DIR", help="build a kernel tree, or a tarball of one")
    which.add_argument("--bzimage", metavar="FILE", help="import a kernel that was built elsewhere")
    build.add_argument("--config", action="append", default=[], metavar="FRAGMENT",
                       help="add configuration after that of luo-vm")
    build.add_argument("--refresh", action="store_true",
                       help="look for a newer source package, even if a kernel of this version is in the cache")
    build.set_defaults(run=_kernel_build)
    kernels.add_parser("list", help="list name, release, date and origin of each kernel").set_defaults(run=_kernel_list)

    images = commands.add_parser("image", help="build and list guest images").add_subparsers(required=True)
    build = images.add_parser("build", help="build an image, and print its path")
    build.add_argument("name", choices=scenarios.GUESTS)
    build.add_argument("--overlay", action="append", default=[], metavar="DIR")
    build.add_argument("--refresh", action="store_true",
                       help="rebuild it with the current packages of the archive")
    build.set_defaults(run=_image_build)
    images.add_parser("list", help="list the guests, and when each was built").set_defaults(run=_image_list)

    run = commands.add_parser("run", help="run scenarios, and print KTAP")
    run.add_argument("scenario", nargs="+", help="the folder of a scenario, or a folder of scenarios")
    _guest_options(run)
    run.add_argument("--timeout", type=_positive, metavar="SECONDS",
                     help="time limit of each scenario, instead of its own")
    run.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N",
                     help="scenarios that run at the same time (default: the number of processors)")
    run.add_argument("--quick", action="store_true", help="skip scenarios that are marked slow")
    run.add_argument("--keep", action="store_true",
                     help="keep the initramfs or disk of each guest, to start it by hand (see qemu-command)")
    run.add_argument("--results", metavar="DIR",
                     help="where to put logs, timelines, files and JUnit XML (default: in the cache)")
    run.set_defaults(run=_run)

    play = commands.add_parser("shell",
                               help="start an interactive guest on this terminal; luo-vm-kexec in it starts the next kernel")
    _guest_options(play)
    play.add_argument("--guest", choices=scenarios.GUESTS, default=scenarios.MINIMAL)
    play.set_defaults(run=_shell)

    show = commands.add_parser("list", help="list scenarios")
    show.add_argument("scenario", nargs="*", help="folders to search (default: the current one)")
    show.set_defaults(run=_list)
    return top


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        arguments = parser().parse_args()
        return arguments.run(arguments, Cache())
    except UserError as error:
        print(f"luo-vm: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"luo-vm: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("luo-vm: interrupted", file=sys.stderr)
        return 130
