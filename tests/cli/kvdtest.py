# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""What the tests of examples/kvd share: a kvd of their own, and a client that counts bytes."""

import contextlib
import os
import socket
import subprocess
import time

from examplestest import BUILD, ExamplesTest

KVD = os.path.join(BUILD, "examples", "kvd", "kvd")


class Client:
    """A connection, and nothing that knows the protocol but for its ends of answers."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        parts = []
        while size:
            part = self.socket.recv(min(size, 1 << 20))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_until(self, end):
        data = b""
        while not data.endswith(end):
            part = self.socket.recv(1 << 20)
            if not part:
                raise EOFError(data)
            data += part
        return data

    def read_all(self):
        parts = []
        while True:
            try:
                part = self.socket.recv(1 << 20)
            except ConnectionResetError:
                part = b""
            if not part:
                return b"".join(parts)
            parts.append(part)

    def ask(self, data):
        """What it answers to that, to the last byte: another command shows where it ends."""
        self.send(data + b"verbosity 0\r\nquit x\r\n")
        answer = self.read_until(b"OK\r\nERROR\r\n")
        return answer[:-len(b"OK\r\nERROR\r\n")]

    def stats(self, *what):
        self.send(b" ".join([b"stats", *what]) + b"\r\n")
        lines = self.read_until(b"END\r\n").decode().split("\r\n")
        return dict(line.split(" ", 2)[1:] for line in lines if line.startswith("STAT "))

    def close(self):
        self.socket.close()


class KvdTest(ExamplesTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "kvd.sock")
        self.file = os.path.join(self.directory, "heap")
        self.kvd = None
        self.addCleanup(self.stop)

    def start(self, *arguments, before=(), **popen):
        """Until it answers."""
        self.kvd = subprocess.Popen([*before, KVD, "-s", self.path, *arguments],
                                    env=self.environment, stdin=subprocess.DEVNULL, **popen)
        for _ in range(1000):
            try:
                with contextlib.closing(Client(self.path)):
                    return self.kvd
            except OSError:
                self.assertIsNone(self.kvd.poll(), "kvd ended")
                time.sleep(0.01)
        self.fail("kvd does not answer")
        return None

    def kill(self):
        self.kvd.kill()
        self.kvd.wait()
        self.kvd = None

    def stop(self):
        if self.kvd:
            self.kvd.terminate()
            self.assertEqual(self.kvd.wait(20), 0)
            self.kvd = None

    def connect(self):
        client = Client(self.path)
        self.addCleanup(client.close)
        return client

    def eventually(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "this did not happen")
            time.sleep(0.02)
