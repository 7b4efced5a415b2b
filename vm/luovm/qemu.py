# SPDX-License-Identifier: LGPL-2.1-or-later
"""One QEMU process: its command line, its two serial ports and its control socket."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from .errors import UserError

PROGRAM = "qemu-system-x86_64"

# A boot sector that does nothing but leave QEMU: mov $0x10,%al; mov $0xf4,%dx; out %al,(%dx); hlt
_PROBE = bytes.fromhex("b010baf400eef4ebfd")
_PROBE_STATUS = 0x10 << 1 | 1


def program():
    path = shutil.which(PROGRAM)
    if path is None:
        raise UserError(f"{PROGRAM} is not installed on this machine.\n"
                        "Install it (on Debian: the package qemu-system-x86) and try again.")
    return path


def _kvm_runs():
    """Does a guest really run? Nested or crippled setups have /dev/kvm, open it, and then hang."""
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
    """"kvm" or "tcg" for what the user asked: one of those, or "auto"."""
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # Asked once per boot of the host: where KVM hangs, finding out takes seconds.
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    place = cache.file("kvm", "probe", {"boot": boot}, lambda out: out.write(b"kvm" if _kvm_runs() else b"tcg"))
    with open(place, encoding="ascii") as file:
        return file.read()


# An emulator keeps the code that it has translated in a buffer, and what one kernel leaves there slows the
# next one down: a write to a page that once had code in it takes the slow way. In a buffer that fills up,
# it is thrown away in time. Two boots of a Debian: 48 s of processor time with QEMU's own 1 GiB, 35 s with
# 128 MiB, 49 s with 32 MiB, where too much is translated anew. Of the minimal guest: 7.9 s and, with 64, 6.6 s.
SMALL_BUFFER, LARGE_BUFFER = 64, 128


class Options:
    """What is the same for every QEMU of a scenario."""

    def __init__(self, accel="tcg", memory="1G", cpus=1, extra=(), buffer=SMALL_BUFFER):
        self.accel = accel
        self.buffer = buffer
        self.memory = memory
        self.cpus = cpus
        self.extra = list(extra)


def command(options, kernel, media, cmdline, console, control):
    """The command line; `media` are the arguments for what is booted from, `console` and `control` are chardev definitions without their id."""
    accel = f"tcg,tb-size={options.buffer}" if options.accel == "tcg" else options.accel
    return [
        program(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc", "-accel", accel, "-cpu", "max", "-m", options.memory, "-smp", str(options.cpus),
        "-chardev", f"{console},id=console", "-serial", "chardev:console",
        "-chardev", f"{control},id=control", "-serial", "chardev:control",
        "-kernel", kernel, *media, "-append", cmdline, *options.extra,
    ]


class Machine:
    """A running guest. `console`, `control` and `monitor` are sockets to read from."""

    def __init__(self, options, kernel, media, cmdline):
        self.console, console = socket.socketpair()
        self.control, control = socket.socketpair()
        self.monitor, monitor = socket.socketpair()
        theirs = (console, control, monitor)
        fds = [s.fileno() for s in theirs]
        arguments = command(options, kernel, media, cmdline,
                            f"socket,fd={fds[0]}", f"socket,fd={fds[1]}")
        arguments += ["-chardev", f"socket,fd={fds[2]},id=monitor", "-mon", "chardev=monitor,mode=control"]
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self._errors,
                                             stderr=self._errors, pass_fds=fds, start_new_session=True)
        finally:
            for end in theirs:
                end.close()
        # Without this QEMU does not say why the guest stopped.
        self.monitor.sendall(b'{"execute":"qmp_capabilities"}\n')

    def wait(self):
        """Wait for the process; returns what it said when it failed, otherwise an empty string."""
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()
        if status > 0:
            return said or f"{PROGRAM} ended with status {status}"
        if status < 0 and status != -signal.SIGKILL:
            return f"{PROGRAM} was ended by signal {-status}"
        return ""

    def kill(self):
        self._process.kill()

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for end in (self.console, self.control, self.monitor):
            end.close()
        self._errors.close()


def shutdown_reason(line):
    """The reason in a SHUTDOWN event of QEMU's monitor, or None if the line is something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") != "SHUTDOWN":
        return None
    return event.get("data", {}).get("reason")
