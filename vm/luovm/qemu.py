# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""One QEMU process: its command line, its two serial ports and its control socket."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from .errors import UserError

PROGRAM = "qemu-system-x86_64"

# A boot sector that ends QEMU: mov $0x10,%al; mov $0xf4,%dx; out %al,(%dx); hlt
_PROBE = bytes.fromhex("b010baf400eef4ebfd")
_PROBE_STATUS = 0x10 << 1 | 1


def program():
    path = shutil.which(PROGRAM)
    if path is None:
        raise UserError(f"{PROGRAM} is not installed.\n"
                        "Install it (on Debian: the package qemu-system-x86) and try again.")
    return path


def _kvm_runs():
    """Whether a guest runs under KVM. In some nested setups /dev/kvm can be opened, and the guest hangs."""
    sector = _PROBE.ljust(510, b"\0") + b"\x55\xaa"
    with tempfile.NamedTemporaryFile(prefix="luo-vm-probe") as disk:
        disk.write(sector)
        disk.flush()
        try:
            done = subprocess.run(
                [program(), "-accel", "kvm", "-nodefaults", "-display", "none", "-no-reboot",
                 "-device", "isa-debug-exit", "-drive", f"file={disk.name},format=raw,if=ide,snapshot=on"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=4, check=False)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == _PROBE_STATUS


def accelerator(wanted, cache):
    """The accelerator, "kvm" or "tcg"; `wanted` may also be "auto"."""
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # Probed once per boot of the host: if KVM hangs, the probe takes seconds.
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    place = cache.file("kvm", "probe", {"boot": boot}, lambda out: out.write(b"kvm" if _kvm_runs() else b"tcg"))
    with open(place, encoding="ascii") as file:
        return file.read()


# MiB. QEMU keeps translated code in a buffer. The code of one kernel slows the next kernel down, because a write
# to a page that had translated code takes a slow path. A small buffer fills up, and QEMU then empties it. Two
# boots of a Debian took 48 s of processor time with the default of 1 GiB, 35 s with 128 MiB, and 49 s with 32 MiB,
# because QEMU translated too much again. Two boots of the minimal guest took 7.9 s, and 6.6 s with 64 MiB.
SMALL_BUFFER, LARGE_BUFFER = 64, 128


class Options:
    """The options that all QEMU processes of a scenario share."""

    def __init__(self, accel="tcg", memory="1G", cpus=1, extra=(), buffer=SMALL_BUFFER):
        self.accel = accel
        self.buffer = buffer
        self.memory = memory
        self.cpus = cpus
        self.extra = list(extra)


def command(options, kernel, media, cmdline, console, control):
    """The command line. `media` are the arguments for the initramfs or the disks; `console` and `control` are
    chardev definitions without an id."""
    accel = f"tcg,tb-size={options.buffer}" if options.accel == "tcg" else options.accel
    return [
        program(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc", "-accel", accel, "-cpu", "max", "-m", options.memory, "-smp", str(options.cpus),
        "-chardev", f"{console},id=console", "-serial", "chardev:console",
        "-chardev", f"{control},id=control", "-serial", "chardev:control",
        "-kernel", kernel, *media, "-append", cmdline, *options.extra,
    ]


class Machine:
    """A running guest. Its output arrives at the sockets `console`, `control` and `monitor`.

    After wait() `processor_seconds` is the processor time that the process used.
    """

    def __init__(self, options, kernel, media, cmdline):
        self.console, console = socket.socketpair()
        self.control, control = socket.socketpair()
        self.monitor, monitor = socket.socketpair()
        theirs = (console, control, monitor)
        fds = [s.fileno() for s in theirs]
        arguments = command(options, kernel, media, cmdline,
                            f"socket,fd={fds[0]}", f"socket,fd={fds[1]}")
        arguments += ["-chardev", f"socket,fd={fds[2]},id=monitor", "-mon", "chardev=monitor,mode=control"]
        self.processor_seconds = 0.0
        self._reaping = threading.Lock()
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self._errors,
                                             stderr=self._errors, pass_fds=fds, start_new_session=True)
        finally:
            for end in theirs:
                end.close()
        # Without this QEMU does not report why the guest stopped.
        try:
            self.monitor.sendall(b'{"execute":"qmp_capabilities"}\n')
        except BrokenPipeError:
            pass  # QEMU has ended already, and wait() returns its message

    def wait(self):
        """Wait for the process. Returns its error message if it failed, otherwise an empty string."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = status = os.waitstatus_to_exitcode(status)
        self.processor_seconds = usage.ru_utime + usage.ru_stime
        self._errors.seek(0)
        message = self._errors.read().decode("utf-8", "replace").strip()
        if status > 0:
            return message or f"{PROGRAM} ended with status {status}"
        if status < 0 and status != -signal.SIGKILL:
            return f"{PROGRAM} was killed by signal {-status}"
        return ""

    def kill(self):
        # Not Popen.kill(): it reaps a process that has just ended, and wait() then has none to wait for.
        with self._reaping:
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGKILL)

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for end in (self.console, self.control, self.monitor):
            end.close()
        self._errors.close()


def shutdown_reason(line):
    """The reason in a SHUTDOWN event of the monitor of QEMU, or None for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") != "SHUTDOWN":
        return None
    return event.get("data", {}).get("reason")
