#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Runs the demo; see ./dev demo --help. It needs only the standard library of Python."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from show import collect, follow, judge, phases, render

_HERE = os.path.dirname(os.path.abspath(__file__))
_TOP = os.path.dirname(_HERE)
_LOG = "luo-vm.log"


def _arguments():
    parser = argparse.ArgumentParser(prog="./dev demo", description="Three services keep their memory while the "
                                     "kernel below them is replaced, in QEMU.")
    parser.add_argument("--systemd", action="store_true", help="in Debian 13, as services of its systemd")
    parser.add_argument("--json", action="store_true", help="print the data of the report instead of the report")
    parser.add_argument("--keep", action="store_true", help="keep logs and timeline, and print their folder")
    parser.add_argument("--results", metavar="DIR", help="keep logs and timeline in this folder")
    parser.add_argument("--kernel", metavar="K", help="the first kernel (7.2), as for luo-vm run")
    parser.add_argument("--next-kernel", metavar="K", help="the kernel to kexec into (7.3)")
    parser.add_argument("--overlay", metavar="DIR", default=os.path.join(_TOP, "build", "vm-overlay"),
                        help="the files that ./dev installs for guests")
    arguments = parser.parse_args()
    arguments.plan = phases.SYSTEMD if arguments.systemd else phases.LUOD
    return arguments


def _command(arguments, folder):
    command = [sys.executable, os.path.join(_TOP, "vm", "luo-vm"), "run", os.path.join(_HERE, arguments.plan.scenario),
               "--overlay", arguments.overlay, "--results", folder]
    for option in ("kernel", "next_kernel"):
        if getattr(arguments, option):
            command += ["--" + option.replace("_", "-"), getattr(arguments, option)]
    return command


def _run(arguments, folder):
    """Run the scenario and show each phase on standard error. Returns (exit status, failure in the guest)."""
    follower = follow.Follower(os.path.join(folder, arguments.plan.scenario), arguments.plan, sys.stderr)
    with open(os.path.join(folder, _LOG), "wb") as log:
        runner = subprocess.Popen(_command(arguments, folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while runner.poll() is None:
                follower.poll()
                time.sleep(0.1)
        except BaseException:
            # luo-vm ends its guest.
            runner.send_signal(signal.SIGTERM)
            runner.wait()
            raise
        finally:
            follower.close()
    return runner.returncode, follower.failure


def _explain_failure(arguments, folder, failure):
    say = lambda text: print(text, file=sys.stderr)
    say("")
    say(f"The demo failed: {failure}" if failure else "The demo failed. Output of luo-vm:")
    with open(os.path.join(folder, _LOG), encoding="utf-8", errors="replace") as log:
        for line in log.read().splitlines()[-25:]:
            say("  " + line)
    say(f"Output of the guest: {os.path.join(folder, arguments.plan.scenario)}/boot*.log")


def _report(arguments, folder):
    try:
        data = collect.collect(os.path.join(folder, arguments.plan.scenario), arguments.plan)
    except (OSError, KeyError, TypeError, ValueError) as error:
        print(f"The results of the guest are incomplete or invalid: {error!r}", file=sys.stderr)
        return False
    data["problems"] = judge.judge(data)
    data["ok"] = not data["problems"]
    if arguments.json:
        json.dump(data, sys.stdout, indent=1)
        print()
    else:
        render.render(data, sys.stdout)
    return data["ok"]


def _demo(arguments, folder):
    status, failure = _run(arguments, folder)
    if status != 0:
        _explain_failure(arguments, folder, failure)
        return False
    return _report(arguments, folder)


def main():
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = os.path.abspath(arguments.results or tempfile.mkdtemp(prefix="luo-demo-"))
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder) and not os.path.exists(os.path.join(folder, _LOG)):
        sys.exit(f"./dev demo: {folder} is not empty, and has no results of an earlier demo; name another folder")
    # Otherwise the follower would read the logs of an earlier run.
    shutil.rmtree(os.path.join(folder, arguments.plan.scenario), ignore_errors=True)
    keep = arguments.keep or arguments.results
    try:
        good = _demo(arguments, folder)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        good, status = True, 130
    else:
        status = 0 if good else 1
    if keep or not good:
        print(f"Logs and timeline: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
