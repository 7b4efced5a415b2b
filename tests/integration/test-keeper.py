#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luod with a keeper that behaves as systemd does: $NOTIFY_SOCKET and $LISTEN_FDS.

As systemd, this one keeps an open file description only once, and asks who has sent a message, so
that one of a process that is gone is not taken.

    test-keeper.py LUOD
"""

import array
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

from luod_client import Luod, count_fds, memfd, read_fd


class Keeper:
    def __init__(self, luod):
        self.luod = luod
        self.stored = []  # (name, fd)
        self.lock = threading.Lock()
        self.pid = None
        self.ready = threading.Event()
        self.path = os.path.join(luod.directory, "keeper")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        threading.Thread(target=self.serve, daemon=True).start()

    def same(self, a, b):
        # F_DUPFD_QUERY if the kernel has it; kcmp() is too much for this.
        import fcntl
        try:
            return fcntl.fcntl(a, 1027, b) == 1
        except OSError:
            return os.fstat(a).st_ino == os.fstat(b).st_ino

    def serve(self):
        while True:
            data, ancillary, _, _ = self.socket.recvmsg(4096, 4096)
            fds, pid = [], None
            for _, kind, payload in ancillary:
                numbers = array.array("i")
                numbers.frombytes(payload[:len(payload) // 4 * 4])
                if kind == socket.SCM_RIGHTS:
                    fds += numbers
                else:
                    pid = numbers[0]
            fields = dict(line.split("=", 1) for line in data.decode().split("\n"))
            with self.lock:
                if pid == self.pid and os.path.exists(f"/proc/{pid}/exe"):
                    self.take(fields, fds)
            for fd in fds:
                os.close(fd)

    def take(self, fields, fds):
        if fields.get("FDSTORE") == "1":
            for fd in list(fds):
                if not any(self.same(fd, kept) for _, kept in self.stored):
                    self.stored.append((fields["FDNAME"], fd))
                    fds.remove(fd)
        elif fields.get("FDSTOREREMOVE") == "1":
            for name, fd in list(self.stored):
                if name == fields["FDNAME"]:
                    self.stored.remove((name, fd))
                    os.close(fd)
        if fields.get("READY") == "1":
            self.ready.set()

    def start(self):
        self.ready.clear()
        with self.lock:
            stored = list(self.stored)
            self.pid = os.fork()
            if self.pid == 0:
                self.exec(stored)
        assert self.ready.wait(20), self.luod.log()

    def exec(self, stored):
        log = os.open(self.luod.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        base = 3 + len(stored) + 100
        copies = []
        for _, fd in stored:
            import fcntl
            copies.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, base))
        for number, fd in enumerate(copies):
            os.dup2(fd, 3 + number)
        environment = dict(os.environ, NOTIFY_SOCKET=self.path)
        if stored:
            environment |= {"LISTEN_FDS": str(len(stored)), "LISTEN_PID": str(os.getpid()),
                            "LISTEN_FDNAMES": ":".join(name for name, _ in stored)}
        os.execve(self.luod.program,
                  ["luod", "--runtime-dir=" + os.path.join(self.luod.directory, "run"),
                   "--no-live-update", "--log-level=warning"], environment)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def names(self):
        with self.lock:
            return sorted(name for name, _ in self.stored)


def wait_until(function, what):
    deadline = time.monotonic() + 10
    while not function():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def main():
    luod = Luod(sys.argv[1])
    keeper = Keeper(luod)
    try:
        keeper.start()
        assert luod.call("io.luo.Status")["keeper"] == "systemd"
        contents = {f"n{i}": os.urandom(1000 + i) for i in range(20)}
        fds = [memfd(name, content) for name, content in contents.items()]
        luod.call("io.luo.Store", {"unit": "a.service", "names": list(contents)}, fds)
        # The same descriptions again: the keeper takes none of them.
        luod.call("io.luo.Store", {"unit": "b.service", "names": list(contents)}, fds)
        for fd in fds:
            os.close(fd)
        assert len([name for name in keeper.names() if name[0] == "e"]) == 20
        for round_number in range(10):
            keeper.kill()
            keeper.start()
            assert luod.call("io.luo.Status")["restarts"] == round_number + 1
            # Killed at once after the answer: the fd is safe by then.
            fd = memfd("late", b"late")
            luod.call("io.luo.Store", {"unit": "c.service", "names": [f"l{round_number}"]}, [fd])
            os.close(fd)
        keeper.kill()
        keeper.start()
        entries = luod.entries()
        assert len(entries) == 50
        for entry in entries:
            _, received = luod.call_fds("io.luo.OpenEntry", {"unit": entry["unit"],
                                                            "name": entry["name"]})
            assert read_fd(received[0]) == contents.get(entry["name"], b"late")
            os.close(received[0])
        luod.call("io.luo.Drop", {"unit": "a.service"})
        assert len(luod.entries({"unit": "b.service"})) == 20
        keeper.kill()
        keeper.start()
        assert len(luod.entries()) == 30
        luod.call("io.luo.Drop", {"unit": "b.service"})
        luod.call("io.luo.Drop", {"unit": "c.service"})
        wait_until(lambda: [name[0] for name in keeper.names()] == ["L", "n", "v"], keeper.names)
        assert not luod.call("io.luo.Status")["problems"]
        assert count_fds(keeper.pid) < 30
        # A damaged log: nothing is lost, and luod reports it.
        fd = memfd("orphan", b"orphan")
        luod.call("io.luo.Store", {"unit": "d.service", "names": ["x"]}, [fd])
        keeper.kill()
        with keeper.lock:
            log = [fd for name, fd in keeper.stored if name[0] == "L"][0]
        os.pwrite(log, b"?", 20)
        os.pwrite(log, b"?", os.fstat(log).st_size - 20)
        keeper.start()
        orphans = luod.entries({"unit": "luod-orphans"})
        assert len(orphans) == 1, orphans
        _, received = luod.call_fds("io.luo.OpenEntry", {"unit": "luod-orphans",
                                                        "name": orphans[0]["name"]})
        assert read_fd(received[0]) == b"orphan"
        assert luod.call("io.luo.Status")["problems"]
        assert "Sanitizer" not in luod.log() and "runtime error" not in luod.log()
        print("# systemd's way of keeping fds: 12 kills, nothing lost")
    except BaseException:
        print("\n".join(luod.log().splitlines()[-40:]), file=sys.stderr)
        raise
    finally:
        if keeper.pid:
            try:
                keeper.kill()
            except ProcessLookupError:
                pass
        shutil.rmtree(luod.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
