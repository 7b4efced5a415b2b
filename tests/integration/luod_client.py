# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Talking to luod without libluo, and starting one in a directory of its own.

The tests use this instead of the library, so that what they show does not depend on it.
"""

import array
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


class Connection:
    """One Varlink connection."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""
        self.fds = []

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.socket.sendmsg([data], ancillary)
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def send(self, method, parameters=None, fds=(), **flags):
        message = {"method": method, "parameters": parameters or {}, **flags}
        self.send_bytes(json.dumps(message).encode() + b"\0", fds)

    def receive(self):
        """One message: the object, and the fds that came until it was complete."""
        while b"\0" not in self.buffer:
            data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(payload[:len(payload) // 4 * 4])
                    self.fds += numbers
            if not data:
                raise ConnectionResetError("luod has closed the connection")
            self.buffer += data
        one, self.buffer = self.buffer.split(b"\0", 1)
        fds, self.fds = self.fds, []
        return json.loads(one), fds

    def call(self, method, parameters=None, fds=(), more=False):
        """All replies of one call: the list of their parameters, and all fds."""
        if more:
            self.send(method, parameters, fds, more=True)
        else:
            self.send(method, parameters, fds)
        replies, received = [], []
        while True:
            message, came = self.receive()
            received += came
            if "error" in message:
                for fd in received:
                    os.close(fd)
                raise VarlinkError(message["error"], message.get("parameters"))
            replies.append(message.get("parameters", {}))
            if not message.get("continues"):
                return replies, received


class Luod:
    """A luod of the test, in its own directory."""

    def __init__(self, program, *options, supervise=True, environment=None, log=None):
        self.directory = tempfile.mkdtemp(prefix="luod-test-")
        self.log_path = log or os.path.join(self.directory, "log")
        self.program = program
        self.options = list(options)
        self.supervise = supervise
        self.environment = environment
        self.process = None

    @property
    def path(self):
        return os.path.join(self.directory, "run", "io.luo")

    @property
    def notify_path(self):
        return os.path.join(self.directory, "run", "notify")

    def start(self):
        command = [self.program, "--runtime-dir=" + os.path.join(self.directory, "run"),
                   "--no-live-update", *self.options]
        if self.supervise:
            command.append("--supervise")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env=self.environment)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.call("io.luo.Status")
                return self
            except (FileNotFoundError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("luod does not start:\n" + self.log()) from None
                time.sleep(0.01)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)
        return self.process.returncode

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def call(self, method, parameters=None, fds=(), more=False):
        """One call on a connection of its own: the parameters of the last reply."""
        with Connection(self.path) as connection:
            replies, received = connection.call(method, parameters, fds, more)
        for fd in received:
            os.close(fd)
        return replies[-1]

    def call_fds(self, method, parameters=None, more=False):
        with Connection(self.path) as connection:
            return connection.call(method, parameters, more=more)

    def entries(self, parameters=None):
        with Connection(self.path) as connection:
            replies, _ = connection.call("io.luo.ListEntries", parameters, more=True)
        return [entry for reply in replies for entry in reply["entries"]]

    def notify(self, text, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.notify_path)
            s.sendmsg([text.encode()], ancillary)

    def barrier(self, timeout=60):
        """Wait until luod has handled everything that was sent before."""
        ours, theirs = os.pipe()
        try:
            self.notify("BARRIER=1", [theirs])
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        import select
        ready = select.select([ours], [], [], timeout)[0]
        os.close(ours)
        if not ready:
            raise TimeoutError("luod did not answer a barrier")

    def child(self):
        """The pid of luod, the child of its supervisor; None while there is none."""
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                      encoding="ascii") as children:
                pids = children.read().split()
        except FileNotFoundError:
            return None
        return int(pids[0]) if pids else None


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memfd(name, content):
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view):]
    return fd


def read_fd(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)
