# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""A luod made of canned answers, for tests of its clients.

    with FakeLuod() as luod:
        luod.answers["io.luo.Status"] = {"version": "1"}
        luod.answers["io.luo.Claim"] = [Reply({...}, fds=[3]), Error("io.luo.Lost", {...})]
        ...
        assert luod.calls == [("io.luo.Status", {})]

An answer is the parameters of one reply, a Reply, an Error, a list of these, or a function of the
parameters that returns one of them.
"""

import json
import os
import shutil
import socket
import struct
import tempfile
import threading


class Reply:
    def __init__(self, parameters=None, fds=()):
        self.parameters = parameters or {}
        self.fds = list(fds)


class Error:
    fds = ()

    def __init__(self, name, parameters=None):
        self.name = name
        self.parameters = parameters or {}


class Hangup:
    """The connection is closed instead of an answer."""


class FakeLuod:
    def __init__(self, listen=True):
        self.answers = {}
        self.calls = []
        self.pids = []
        self.received = []  # fds
        self.directory = tempfile.mkdtemp(prefix="luo-cli-")
        self.path = os.path.join(self.directory, "io.luo")
        self.socket = None
        if listen:
            self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()
        for fd in self.received:
            os.close(fd)
        shutil.rmtree(self.directory)

    def listen(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(self.path)
        self.socket.listen(16)
        threading.Thread(target=self._accept, args=(self.socket,), daemon=True).start()

    def stop(self):
        if self.socket:
            self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
            self.socket = None
            os.unlink(self.path)

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        buffer = b""
        with connection:
            while True:
                try:
                    data, fds, _, _ = socket.recv_fds(connection, 65536, 253)
                except OSError:
                    return
                if not data:
                    return
                self.received += fds
                buffer += data
                while b"\0" in buffer:
                    message, buffer = buffer.split(b"\0", 1)
                    self.pids.append(struct.unpack("3i", peer)[0])
                    try:
                        if not self._answer(connection, json.loads(message)):
                            return
                    except OSError:
                        return

    def _answer(self, connection, call):
        method, parameters = call["method"], call.get("parameters", {})
        self.calls.append((method, parameters))
        answer = self.answers.get(method, Error("org.varlink.service.MethodNotFound",
                                                {"method": method}))
        if callable(answer):
            answer = answer(parameters)
        answers = answer if isinstance(answer, list) else [answer]
        for i, one in enumerate(answers):
            if isinstance(one, Hangup):
                return False
            if isinstance(one, dict):
                one = Reply(one)
            message = {"parameters": one.parameters}
            if isinstance(one, Error):
                message["error"] = one.name
            elif i + 1 < len(answers):
                message["continues"] = True
            data = json.dumps(message).encode() + b"\0"
            if one.fds:
                n = socket.send_fds(connection, [data], one.fds)
                connection.sendall(data[n:])
            else:
                connection.sendall(data)
        return True
