#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luod as its clients see it, the hostile ones first.

    test-luod.py LUOD [NAME...]
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

from luod_client import Connection, Luod, VarlinkError, count_fds, memfd, read_fd

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def expect_error(name, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except VarlinkError as error:
        assert error.name == name, error
        return error.parameters
    raise AssertionError(f"{name} was expected")


def is_closed(connection):
    try:
        return connection.socket.recv(1) == b""
    except ConnectionError:
        return True


def store(luod, unit, **contents):
    names = list(contents)
    fds = [memfd(name, content) for name, content in contents.items()]
    reply = luod.call("io.luo.Store", {"unit": unit, "names": names}, fds)
    for fd in fds:
        os.close(fd)
    return reply["stored"]


def as_nobody(function, first=lambda: None):
    """Return what the function returns in a process of another user, after first() as root."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            first()
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(theirs, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def expect_fds(luod, number):
    """Check the number of fds of luod, once the connections that were just closed are gone."""
    deadline = time.monotonic() + 5
    while count_fds(luod.child()) != number:
        assert time.monotonic() < deadline, (count_fds(luod.child()), number)
        time.sleep(0.01)


def names(luod, unit):
    try:
        return sorted(entry["name"] for entry in luod.entries({"unit": unit}))
    except VarlinkError as error:
        assert error.name == "io.luo.NoSuchUnit"
        return []


# ---- hostile ------------------------------------------------------------------------------------


@test
def malformed(luod):
    """An invalid message ends the connection, and only that one."""
    other = Connection(luod.path)
    for data in (b"\0", b"x\0", b"[]\0", b"{}\0", b'{"method":1}\0', b'{"method":"a\\u0000b"}\0',
                 b'{"method":"io.luo.Status","parameters":[]}\0',
                 b'{"method":"io.luo.Status","more":1}\0',
                 b'{"method":"io.luo.Status","more":true,"oneway":true}\0',
                 b'{"a":' + b"[" * 100 + b"]" * 100 + b"}\0", b"x" * (2 << 20)):
        with Connection(luod.path) as connection:
            try:
                connection.send_bytes(data)
            except ConnectionError:
                pass
            assert is_closed(connection), data[:80]
    other.call("io.luo.Status")
    other.close()


@test
def wrong_calls(luod):
    call = luod.call
    expect_error("org.varlink.service.MethodNotFound", call, "io.luo.Nothing")
    expect_error("org.varlink.service.InterfaceNotFound", call, "com.example.Nothing")
    expect_error("org.varlink.service.InvalidParameter", call, "Status")
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Status", {"x": 1})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register", {})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register", {"unit": 1})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register", {"unit": "a/b"})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register", {"unit": "a\0b"})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register",
                 {"unit": "a", "fdstoreMax": -1})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.Register",
                 {"unit": "a", "fdstoreMax": 1 << 40})
    expect_error("org.varlink.service.InvalidParameter", call, "io.luo.ListEntries",
                 {"state": "x"})
    expect_error("org.varlink.service.ExpectedMore", call, "io.luo.Monitor")
    expect_error("io.luo.NoSuchUnit", call, "io.luo.Claim", {"unit": "unknown.service"})
    expect_error("io.luo.NoSuchUnit", call, "io.luo.Drop", {"unit": "unknown.service"})
    expect_error("io.luo.NoSuchUnit", call, "io.luo.ListUnits", {"unit": "unknown.service"})
    expect_error("io.luo.NoLiveUpdate", call, "io.luo.Commit")
    expect_error("io.luo.Failed", call, "io.luo.GetMapping", {"session": "none"})
    assert luod.call("io.luo.Abort") == {"aborted": False}
    # A null is as if it were not there.
    luod.call("io.luo.ListUnits", {"unit": None})


@test
def names_and_fds_do_not_match(luod):
    fd = memfd("x", b"x")
    for listed, fds in ((["a"], []), ([], [fd]), (["a"], [fd, fd]), (["a:b"], [fd]), ([""], [fd]),
                        (["a", 1], [fd, fd]), (["x" * 256], [fd])):
        expect_error("org.varlink.service.InvalidParameter", luod.call, "io.luo.Store",
                     {"unit": "mismatch", "names": listed}, fds)
    os.close(fd)
    assert names(luod, "mismatch") == []


@test
def fds_nobody_wants(luod):
    """luod closes fds that come with methods that take none, or with calls that fail."""
    time.sleep(0.1)
    before = count_fds(luod.child())
    fds = [memfd("x", b"x") for _ in range(100)]
    with Connection(luod.path) as connection:
        connection.call("io.luo.Status", fds=fds)
        expect_error("org.varlink.service.MethodNotFound", connection.call, "io.luo.No", fds=fds)
        # More fds than may wait for their message.
        try:
            for _ in range(5):
                connection.send_bytes(b" ", fds)
                time.sleep(0.01)
        except ConnectionError:
            pass
        assert is_closed(connection)
    for fd in fds:
        os.close(fd)
    expect_fds(luod, before)


@test
def slow_reader(luod):
    """A client that does not read its answers is closed in the end; luod does not wait for it."""
    slow = Connection(luod.path)
    slow.socket.settimeout(1)
    request = json.dumps({"method": "org.varlink.service.GetInterfaceDescription",
                          "parameters": {"interface": "io.luo"}}).encode() + b"\0"
    try:
        for _ in range(3000):
            slow.socket.sendall(request * 10)
    except (TimeoutError, ConnectionError):
        pass
    begin = time.monotonic()
    for _ in range(20):
        luod.call("io.luo.Status")
    assert time.monotonic() - begin < 5
    slow.close()


@test
def slow_monitor(luod):
    """The same for a monitor: it falls behind and is closed, with bounded memory."""
    monitor = Connection(luod.path)
    monitor.send("io.luo.Monitor", more=True)
    assert monitor.receive()[0]["parameters"]["event"] == "hello"
    text = "x" * 1000
    luod.call("io.luo.Register", {"unit": "noisy"})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(luod.notify_path)
        s.settimeout(10)
        with Connection(luod.path) as registered:
            registered.call("io.luo.Register", {"unit": "noisy"})
            for _ in range(3000):
                s.send(b"STATUS=" + text.encode())
            luod.barrier()
    luod.call("io.luo.Status")
    with open(f"/proc/{luod.child()}/status", encoding="ascii") as status:
        rss = [int(line.split()[1]) for line in status if line.startswith("VmRSS")][0]
    assert rss < 100 << 10, f"{rss} KiB"
    monitor.close()


@test
def many_connections(luod):
    """Root may use every connection. When all are in use, luod refuses more, and continues."""
    connections = []
    try:
        for _ in range(200):
            try:
                connections.append(Connection(luod.path, timeout=5))
            except BlockingIOError:  # its backlog is full
                time.sleep(0.01)
        time.sleep(0.2)
        connections[0].call("io.luo.Status")
    finally:
        for connection in connections:
            connection.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            luod.call("io.luo.Status")
            break
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@test
def more_connections_than_there_are_places(luod):
    """Root waits for a connection."""
    connections = []
    deadline = time.monotonic() + 10
    while len(connections) < 140:
        try:
            connections.append(Connection(luod.path, timeout=10))
        except BlockingIOError:  # its backlog is full
            assert time.monotonic() < deadline
            time.sleep(0.01)
    for connection in connections:
        connection.send("io.luo.Status")
    connections[0].receive()
    for connection in connections[:20]:
        connection.close()
    for connection in connections[20:]:
        connection.receive()
        connection.close()


@test
def many_fds_asked_for_at_once(luod):
    """A client that does not read the fds that it asks for does not use up those of luod."""
    store(luod, "wanted", a=b"1")
    before = count_fds(luod.child())
    request = json.dumps({"method": "io.luo.OpenEntry",
                          "parameters": {"unit": "wanted", "name": "a"}}).encode() + b"\0"
    with Connection(luod.path) as connection:
        connection.send_bytes(request * 1000)
        time.sleep(0.3)
        assert count_fds(luod.child()) < before + 300
        for _ in range(1000):
            _, fds = connection.receive()
            for fd in fds:
                os.close(fd)
    luod.call("io.luo.Drop", {"unit": "wanted"})


@test
def connections_of_one_user(luod):
    if os.geteuid() != 0:
        return
    os.chmod(luod.directory, 0o755)

    def connect():
        connections = [Connection(luod.path) for _ in range(30)]
        served = 0
        for connection in connections:
            try:
                connection.call("io.luo.Status")
                served += 1
            except ConnectionError:
                pass
        return served

    assert as_nobody(connect) == 16


@test
def floods_of_notifications(luod):
    """From an unknown process: luod serves others, and limits the messages that it logs."""
    pid = os.fork()
    if pid == 0:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.connect(luod.notify_path)
                while True:
                    s.send(b"FDSTORE=1\nFDNAME=x")
        finally:
            os._exit(0)
    try:
        begin = time.monotonic()
        for i in range(20):
            luod.call("io.luo.Status")
        store(luod, "quiet", a=b"1")
        luod.barrier()
        assert time.monotonic() - begin < 10
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert 0 < luod.log().count("its unit is not known") < 100
    luod.call("io.luo.Drop", {"unit": "quiet"})


@test
def bad_notifications(luod):
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "bad"})
        fd = memfd("x", b"x")
        for text in ("", "\0\0", "FDSTORE=1\0FDNAME=x", "FDSTORE=2\nFDNAME=x", "x" * 5000,
                     "FDSTORE=1\nFDNAME=a:b", "FDSTORE=1\nFDNAME=" + "x" * 300, "FDSTOREREMOVE=1",
                     "FDSTORE=1\nFDNAME=", "MAINPID=1\nMAINPID=x", "BARRIER=1"):
            luod.notify(text, [fd])
        luod.notify("FDSTORE=1\nFDNAME=none")
        luod.notify("FDSTORE=1\nFDNAME=good", [fd])
        luod.barrier()
        assert names(luod, "bad") == ["good"]
        os.close(fd)
        luod.call("io.luo.Drop", {"unit": "bad"})


@test
def unknown_and_gone_senders(luod):
    time.sleep(0.1)
    before = count_fds(luod.child())
    fd = memfd("x", b"x")
    luod.notify("FDSTORE=1\nFDNAME=x", [fd])
    luod.barrier()
    pid = os.fork()
    if pid == 0:
        luod.notify("FDSTORE=1\nFDNAME=x", [fd])
        os._exit(0)
    os.waitpid(pid, 0)
    luod.barrier()
    os.close(fd)
    expect_fds(luod, before)
    assert not [entry for entry in luod.entries() if entry["name"] == "x"]


@test
def connection_of_a_process_that_is_gone(luod):
    """The process that connected was reaped. Another one has the connection, but not its identity."""
    connection = Connection.__new__(Connection)
    connection.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.socket.settimeout(30)
    connection.buffer, connection.fds = b"", []
    pid = os.fork()
    if pid == 0:
        connection.socket.connect(luod.path)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with connection:
        expect_error("io.luo.Failed", connection.call, "io.luo.Register", {"unit": "gone"})
        fd = memfd("x", b"x")
        expect_error("io.luo.UnknownCaller", connection.call, "io.luo.Store", {"names": ["x"]}, [fd])
        os.close(fd)
    expect_error("io.luo.NoSuchUnit", luod.entries, {"unit": "gone"})


def lingering():
    """A socket whose last close waits for a peer that never reads."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    listener.close()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(1 << 16))
    except BlockingIOError:
        return sender.detach(), receiver


@test
def close_may_hang(luod):
    """The last close of an fd may take as long as another process likes; luod does not wait."""
    begin = time.monotonic()
    receivers = []

    def give(function):
        fd, receiver = lingering()
        receivers.append(receiver)
        function(fd)

    def notify(text, fd):
        """Fds from a queue that is not read now, so that the close of the client is not the last."""
        os.kill(luod.child(), signal.SIGSTOP)
        luod.notify(text, [fd])
        os.close(fd)
        os.kill(luod.child(), signal.SIGCONT)
        luod.barrier(10)

    def call(method, parameters, fd):
        with Connection(luod.path, timeout=10) as connection:
            connection.send(method, parameters, [fd])
            os.close(fd)
            connection.receive()

    give(lambda fd: notify("FDSTORE=1\nFDNAME=x", fd))
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "linger"})
        give(lambda fd: notify("FDSTORE=1\nFDNAME=a:b", fd))
        give(lambda fd: notify("FDSTORE=1\nFDNAME=x", fd))
    assert names(luod, "linger") == ["x"]
    give(lambda fd: call("io.luo.Status", {}, fd))
    give(lambda fd: call("io.luo.Store", {"unit": "linger", "names": ["y"]}, fd))
    luod.call("io.luo.Drop", {"unit": "linger"})
    os.kill(luod.child(), signal.SIGKILL)
    luod.call("io.luo.Status")
    for receiver in receivers:
        receiver.close()
    assert time.monotonic() - begin < 10


@test
def another_user(luod):
    """A user without a unit sees nothing and may change nothing."""
    if os.geteuid() != 0:
        return
    store(luod, "secret", a=b"1")
    os.chmod(luod.directory, 0o755)
    calls = [("io.luo.Claim", {"unit": "secret"}), ("io.luo.Drop", {"unit": "secret"}),
             ("io.luo.ListEntries", {"unit": "secret"}), ("io.luo.ListEntries", {}),
             ("io.luo.OpenEntry", {"unit": "secret", "name": "a"}),
             ("io.luo.Register", {"unit": "secret"}), ("io.luo.ListUnits", {}),
             ("io.luo.Store", {"unit": "secret", "names": []}),
             ("io.luo.Commit", {}), ("io.luo.Abort", {}), ("io.luo.GetMapping", {}),
             ("io.luo.Status", {})]

    def call_all():
        replies = []
        for method, parameters in calls:
            with Connection(luod.path) as connection:
                connection.send(method, parameters)
                replies.append(connection.receive()[0])
        return replies

    for (method, _), reply in zip(calls, as_nobody(call_all)):
        if method == "io.luo.Status":
            assert reply["parameters"]["problems"] == []
        else:
            assert reply["error"] in ("io.luo.NotPermitted", "io.luo.UnknownCaller"), reply
    assert names(luod, "secret") == ["a"]
    luod.call("io.luo.Drop", {"unit": "secret"})


@test
def limits(luod):
    """A full store takes no more fds and loses none."""
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "small", "fdstoreMax": 3})
        store(luod, "small", a=b"1", b=b"2")
        fds = [memfd(str(i), b"") for i in range(3)]
        parameters = expect_error("io.luo.Failed", connection.call, "io.luo.Store",
                                  {"unit": "small", "names": ["c", "d", "e"]}, fds)
        assert "full" in parameters["text"]
        assert names(luod, "small") == ["a", "b", "c"]
        luod.notify("FDSTORE=1\nFDNAME=z", fds)
        luod.barrier()
        assert names(luod, "small") == ["a", "b", "c"]
        # The same fd again does not count twice.
        connection.call("io.luo.Store", {"unit": "small", "names": ["c"]}, fds[:1])
        for fd in fds:
            os.close(fd)
    luod.call("io.luo.Drop", {"unit": "small"})


# ---- normal use ---------------------------------------------------------------------------------


@test
def introspection(luod):
    info = luod.call("org.varlink.service.GetInfo")
    assert info["interfaces"] == ["io.luo", "org.varlink.service"]
    for interface in info["interfaces"]:
        text = luod.call("org.varlink.service.GetInterfaceDescription",
                         {"interface": interface})["description"]
        assert f"interface {interface}" in text
    expect_error("org.varlink.service.InterfaceNotFound", luod.call,
                 "org.varlink.service.GetInterfaceDescription", {"interface": "x.y"})


@test
def pipelining(luod):
    with Connection(luod.path) as connection:
        n = 300
        one = json.dumps({"method": "io.luo.Status", "parameters": {}}).encode() + b"\0"
        connection.socket.sendall(one * n)
        connection.socket.shutdown(socket.SHUT_WR)
        for _ in range(n):
            assert "pid" in connection.receive()[0]["parameters"]
        assert is_closed(connection)


@test
def oneway(luod):
    with Connection(luod.path) as connection:
        fd = memfd("x", b"x")
        connection.send("io.luo.Store", {"unit": "oneway", "names": ["x"]}, [fd], oneway=True)
        connection.send("io.luo.Nothing", oneway=True)
        connection.send("io.luo.Status")
        assert "pid" in connection.receive()[0]["parameters"]
        os.close(fd)
    assert names(luod, "oneway") == ["x"]
    luod.call("io.luo.Drop", {"unit": "oneway"})


@test
def notifications(luod):
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "notes"})
        a, b = memfd("a", b"first"), memfd("b", b"second")
        luod.notify("FDSTORE=1\nFDNAME=n", [a, b])
        luod.notify("FDSTORE=1\nFDNAME=n", [a])
        luod.notify("FDSTORE=1", [b])
        luod.notify("READY=1\nSTATUS=all \u00fc well")
        luod.barrier()
        unit = luod.call("io.luo.ListUnits", {"unit": "notes"})["units"][0]
        assert unit["ready"] and unit["status"] == "all \u00fc well" and unit["stored"] == 3
        assert names(luod, "notes") == ["n", "n", "stored"]
        for nth, content in ((0, b"first"), (1, b"second")):
            _, fds = luod.call_fds("io.luo.OpenEntry", {"unit": "notes", "name": "n", "nth": nth})
            assert read_fd(fds[0]) == content
            os.close(fds[0])
        luod.notify("FDSTOREREMOVE=1\nFDNAME=n")
        luod.notify("STOPPING=1")
        luod.barrier()
        unit = luod.call("io.luo.ListUnits", {"unit": "notes"})["units"][0]
        assert unit["stopping"] and unit["stored"] == 1
        os.close(a)
        os.close(b)
    luod.call("io.luo.Drop", {"unit": "notes"})


@test
def hang_up(luod):
    """luod removes an fd whose other end hangs up, unless FDPOLL=0."""
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "pipes"})
        r, w = os.pipe()
        luod.notify("FDSTORE=1\nFDNAME=goes", [r])
        luod.notify("FDSTORE=1\nFDNAME=stays\nFDPOLL=0", [r])
        luod.barrier()
        assert names(luod, "pipes") == ["goes", "stays"]
        os.close(w)
        os.close(r)
        deadline = time.monotonic() + 5
        while names(luod, "pipes") != ["stays"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    luod.call("io.luo.Drop", {"unit": "pipes"})


@test
def children_belong_to_the_unit(luod):
    luod.call("io.luo.Register", {"unit": "family"})
    fd = memfd("x", b"x")
    with Connection(luod.path) as connection:
        connection.call("io.luo.Register", {"unit": "family"})
        pid = os.fork()
        if pid == 0:
            luod.notify("FDSTORE=1\nFDNAME=child", [fd])
            luod.barrier()
            os._exit(0)
        os.waitpid(pid, 0)
    os.close(fd)
    assert names(luod, "family") == ["child"]
    luod.call("io.luo.Drop", {"unit": "family"})


@test
def children_of_another_user(luod):
    """Users log in below sshd, and do not belong to the unit of sshd."""
    if os.geteuid() != 0:
        return
    os.chmod(luod.directory, 0o755)
    luod.call("io.luo.Register", {"unit": "gate"})
    store(luod, "gate", secret=b"1")

    def intrude():
        luod.notify("FDSTOREREMOVE=1\nFDNAME=secret")
        luod.notify("FDSTORE=1\nFDNAME=theirs", [memfd("x", b"x")])
        luod.notify(f"MAINPID={os.getpid()}")
        luod.barrier()
        replies = []
        for method, parameters in (("io.luo.Claim", {"unit": "gate"}),
                                   ("io.luo.OpenEntry", {"unit": "gate", "name": "secret"}),
                                   ("io.luo.Drop", {"unit": "gate"}),
                                   ("io.luo.Register", {"unit": "gate"})):
            with Connection(luod.path) as connection:
                connection.send(method, parameters)
                replies.append(connection.receive()[0].get("error"))
        return replies

    refused = ("io.luo.UnknownCaller", "io.luo.NotPermitted")
    assert all(error in refused for error in as_nobody(intrude))
    assert names(luod, "gate") == ["secret"]
    assert luod.call("io.luo.ListUnits", {"unit": "gate"})["units"][0]["pids"] == [os.getpid()]
    luod.call("io.luo.Drop", {"unit": "gate"})


@test
def service_that_changes_its_user(luod):
    """Root starts it; it and its children continue with another uid."""
    if os.geteuid() != 0:
        return
    os.chmod(luod.directory, 0o755)
    store(luod, "humble", kept=b"1")
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            luod.call("io.luo.Register", {"unit": "humble"})
            os.setgid(65534)
            os.setuid(65534)
            luod.notify("FDSTORE=1\nFDNAME=own", [memfd("x", b"x")])
            luod.barrier()
            child = os.fork()
            if child == 0:
                try:
                    luod.notify("FDSTORE=1\nFDNAME=child", [memfd("x", b"x")])
                    luod.barrier()
                    os.write(theirs, json.dumps(names(luod, "humble")).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        seen = json.loads(answer.read())
    os.waitpid(pid, 0)
    assert seen == ["child", "kept", "own"], seen
    luod.call("io.luo.Drop", {"unit": "humble"})


@test
def many_main_processes(luod):
    """A unit that names more and more processes keeps the last ones, and its own."""
    luod.call("io.luo.Register", {"unit": "crowd"})
    store(luod, "crowd", kept=b"1")
    pids = []
    try:
        with Connection(luod.path) as connection:
            connection.call("io.luo.Register", {"unit": "crowd"})
            before = count_fds(luod.child())
            for _ in range(40):
                pid = os.fork()
                if pid == 0:
                    signal.pause()
                    os._exit(0)
                pids.append(pid)
                luod.notify(f"MAINPID={pid}")
                luod.notify(f"MAINPID={pid}")
            luod.barrier()
            expect_fds(luod, before + 15)
        for _ in range(2):
            known = luod.call("io.luo.ListUnits", {"unit": "crowd"})["units"][0]["pids"]
            assert sorted(known) == sorted([os.getpid()] + pids[-15:]), known
            # The log says the same.
            os.kill(luod.child(), signal.SIGKILL)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    luod.call("io.luo.Drop", {"unit": "crowd"})


@test
def registration_ends_with_the_process(luod):
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        luod.call("io.luo.Register", {"unit": "brief"})
        store(luod, "brief", kept=b"k")
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    assert luod.call("io.luo.ListUnits", {"unit": "brief"})["units"][0]["pids"] == [pid]
    # It is known after a restart too.
    os.kill(luod.child(), signal.SIGKILL)
    assert luod.call("io.luo.ListUnits", {"unit": "brief"})["units"][0]["pids"] == [pid]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 5
    while luod.call("io.luo.ListUnits", {"unit": "brief"})["units"][0]["pids"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert names(luod, "brief") == ["kept"]
    luod.call("io.luo.Drop", {"unit": "brief"})


@test
def monitor(luod):
    with Connection(luod.path) as connection:
        connection.send("io.luo.Monitor", more=True)
        assert connection.receive()[0]["parameters"]["event"] == "hello"
        store(luod, "seen", a=b"1")
        luod.call("io.luo.Drop", {"unit": "seen"})
        events = []
        while not events or events[-1][0] != "dropped":
            message, _ = connection.receive()
            assert message["continues"]
            events.append((message["parameters"]["event"], message["parameters"].get("unit")))
        assert events == [("stored", "seen"), ("removed", "seen"), ("dropped", "seen")], events


@test
def one_file_twice(luod):
    """Two units, two names, one open file description: it stays one, also over a restart."""
    fd = memfd("shared", b"before")
    for unit, name in (("one", "a"), ("one", "b"), ("two", "a")):
        luod.call("io.luo.Store", {"unit": unit, "names": [name]}, [fd])
    os.kill(luod.child(), signal.SIGKILL)
    os.pwrite(fd, b"after!", 0)
    for unit, name in (("one", "a"), ("one", "b"), ("two", "a")):
        _, fds = luod.call_fds("io.luo.OpenEntry", {"unit": unit, "name": name})
        assert read_fd(fds[0]) == b"after!"
        os.close(fds[0])
        luod.call("io.luo.Drop", {"unit": unit, "name": name})
        os.kill(luod.child(), signal.SIGKILL)
    assert not names(luod, "one") and not names(luod, "two")
    os.close(fd)


@test
def claim_in_parts(luod):
    with Connection(luod.path) as connection:
        fds = [memfd(str(i), str(i).encode()) for i in range(250)]
        for i in range(0, 750, 250):
            connection.call("io.luo.Store", {"unit": "big", "names":
                                             [f"n{i + k}" for k in range(250)]}, fds)
        for fd in fds:
            os.close(fd)
        assert expect_error("io.luo.NeedsMore", connection.call, "io.luo.Claim",
                            {"unit": "big"})["entries"] == 750
        replies, received = connection.call("io.luo.Claim", {"unit": "big"}, more=True)
        assert len(received) == 750 and len(replies) == 4
        entries = [(reply, entry) for reply in replies for entry in reply["entries"]]
        assert len({entry["name"] for _, entry in entries}) == 750
        for k, (_, entry) in enumerate(entries):
            assert entry["fileDescriptor"] == k % 200
            assert read_fd(received[k]).decode() == str(int(entry["name"][1:]) % 250)
        for fd in received:
            os.close(fd)
        # Handed over: luod removes them when they are sent.
        replies, received = connection.call("io.luo.Claim", {"unit": "big", "keep": False},
                                            more=True)
        assert len(received) == 750
        for fd in received:
            os.close(fd)
    assert names(luod, "big") == []


@test
def restart_on_request(luod):
    """SIGHUP, and SIGTERM to luod alone: the supervisor starts it again, with everything."""
    store(luod, "again", a=b"1")
    for number in (signal.SIGHUP, signal.SIGTERM):
        before = luod.child()
        os.kill(before, number)
        deadline = time.monotonic() + 10
        while luod.child() in (before, None):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert names(luod, "again") == ["a"]
    luod.call("io.luo.Drop", {"unit": "again"})


@test
def sockets_taken_away(luod):
    os.unlink(luod.path)
    os.kill(luod.child(), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while True:
        try:
            luod.call("io.luo.Status")
            break
        except (FileNotFoundError, ConnectionRefusedError):  # it is made, and then listened on
            assert time.monotonic() < deadline
            time.sleep(0.01)


@test
def a_second_luod(luod):
    """It notices the first one, and ends without a change."""
    run = os.path.join(luod.directory, "run")
    for options in ([], ["--supervise"]):
        result = subprocess.run([luod.program, "--runtime-dir=" + run, "--no-live-update",
                                 *options], stderr=subprocess.PIPE, text=True, timeout=20,
                                check=False)
        assert result.returncode == 1, result
        assert "another luod" in result.stderr
    luod.call("io.luo.Status")


@test
def the_supervisor_is_killed(luod):
    """luod continues with its fds, takes more, and reports that it would not be started again."""
    with Luod(luod.program, "--log-level=warning") as other:
        store(other, "left", a=b"1")
        child = other.child()
        other.process.kill()
        other.process.wait()
        try:
            store(other, "left", b=b"2")
            assert names(other, "left") == ["a", "b"]
            status = other.call("io.luo.Status")
            assert status["keeper"] == "none" and "supervisor" in status["problems"][0]
        finally:
            os.kill(child, signal.SIGKILL)


@test
def memory(luod):
    """10,000 held fds in less than 8 MiB."""
    if "ASAN_OPTIONS" in os.environ:
        return
    import resource
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 11000:
        return
    luod.call("io.luo.Register", {"unit": "huge", "fdstoreMax": 10000})
    before = luod.call("io.luo.Status")["stored"]
    with Connection(luod.path) as connection:
        for i in range(50):
            fds = [os.memfd_create(f"m{i}") for _ in range(200)]
            connection.call("io.luo.Store", {"unit": "huge", "names":
                                             [f"name-{i}-{k}" for k in range(200)]}, fds)
            for fd in fds:
                os.close(fd)

    def rss():
        with open(f"/proc/{luod.child()}/status", encoding="ascii") as status:
            return [int(line.split()[1]) for line in status if line.startswith("VmRSS")][0]

    time.sleep(0.3)
    stored = rss()
    luod.entries({"unit": "huge"})
    time.sleep(0.3)
    listed = rss()
    begin = time.monotonic()
    os.kill(luod.child(), signal.SIGKILL)
    status = luod.call("io.luo.Status")
    assert status["stored"] == before + 10000, status
    seconds = time.monotonic() - begin
    time.sleep(0.3)
    print(f"# 10,000 fds: {stored} KiB, {listed} KiB after a listing, {rss()} KiB after a restart, "
          f"which took {seconds:.2f} s")
    begin = time.monotonic()
    luod.call("io.luo.Drop", {"unit": "huge"})
    print(f"# dropping them took {time.monotonic() - begin:.2f} s")
    assert max(stored, listed) < 8192


@test
def from_the_manager(luod):
    """PID 1 has counted its fds; a client that stores in such a unit is counted as usual."""
    unit = "managed.service"

    def store_managed():
        fds = [memfd("m", b"m") for _ in range(200)]
        reply = luod.call("io.luo.Store", {"unit": unit, "names": ["m"] * 200, "manager": True},
                          fds)
        for fd in fds:
            os.close(fd)
        return reply["stored"]

    def not_root():
        with Connection(luod.path) as connection:
            fd = memfd("m", b"m")
            try:
                connection.call("io.luo.Store", {"names": ["m"], "manager": True}, [fd])
            except VarlinkError as error:
                return error.name
        return "stored"

    assert sum(store_managed() for _ in range(6)) == 1200
    error = expect_error("io.luo.Failed", store, luod, unit, own=b"own")
    assert "is full" in error["text"], error
    assert luod.call("io.luo.ListUnits", {"unit": unit})["units"][0]["fdstoreMax"] == 1024
    if os.geteuid() == 0:
        os.chmod(luod.directory, 0o755)
        assert as_nobody(not_root) in ("io.luo.NotPermitted", "io.luo.UnknownCaller")

        def register(name):
            with Connection(luod.path) as connection:
                connection.call("io.luo.Register", {"unit": name})

        def change():
            replies = []
            for method, parameters in (("io.luo.Claim", {}), ("io.luo.OpenEntry", {"name": "m"}),
                                       ("io.luo.Drop", {}), ("io.luo.Store", {"names": []})):
                with Connection(luod.path) as connection:
                    connection.send(method, parameters)
                    replies.append(connection.receive()[0].get("error"))
            return replies

        # A process of the unit, but of another user: systemd decides which process speaks for it, not luod.
        assert as_nobody(change, lambda: register(unit)) == ["io.luo.NotPermitted"] * 4
        store(luod, "plain", m=b"m")
        assert as_nobody(change, lambda: register("plain")) == [None] * 4
    assert luod.call("io.luo.Drop", {"unit": unit})["dropped"] == 1200


@test
def null_is_not_absent(luod):
    """A null for a parameter without which the call would do more: refused, and nothing is done."""
    store(luod, "null.service", ram=b"1", state=b"2")
    for method, parameters in [
            ("io.luo.Drop", {"unit": "null.service", "name": None}),
            ("io.luo.Drop", {"unit": "null.service", "name": "ram", "state": None}),
            ("io.luo.Drop", {"unit": None}),
            ("io.luo.Claim", {"unit": "null.service", "name": None}),
            ("io.luo.Claim", {"unit": "null.service", "keep": None}),
            ("io.luo.Claim", {"unit": "null.service", "to": None}),
            ("io.luo.OpenEntry", {"unit": None, "name": "ram"}),
            ("io.luo.Register", {"unit": "null.service", "fdstoreMax": None}),
            ("io.luo.Commit", {"dryRun": None}),
            ("io.luo.Commit", {"dryRun": True, "handOver": None}),
            ("io.luo.Commit", {"dryRun": True, "sessionName": None}),
            ("io.luo.Commit", {"dryRun": True, "maxFilesPerSession": None})]:
        wrong = [key for key, value in parameters.items() if value is None]
        error = expect_error("org.varlink.service.InvalidParameter", luod.call, method, parameters)
        assert error["parameter"] in wrong, error
    # Where a null only asks for more to be listed, Varlink's rule holds: it is an absent parameter.
    entries = luod.call("io.luo.ListEntries", {"unit": "null.service", "state": None})["entries"]
    assert sorted(entry["name"] for entry in entries) == ["ram", "state"], entries
    luod.call("io.luo.Drop", {"unit": "null.service"})


def run(function, luod):
    """In a process of its own: its registration ends with it, and it is not an ancestor of others."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(luod)
            problems = luod.call("io.luo.Status")["problems"]
            assert not problems, problems
            status = 0
        except BaseException:
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def main():
    wanted = sys.argv[2:]
    print(f"1..{len(TESTS)}")
    failed = 0
    # One luod for all tests: the next test would see what a test leaves behind.
    with Luod(sys.argv[1], "--log-level=warning") as luod:
        for number, function in enumerate(TESTS, 1):
            if wanted and function.__name__ not in wanted:
                print(f"ok {number} - {function.__name__} # SKIP")
                continue
            if run(function, luod):
                print(f"ok {number} - {function.__name__}", flush=True)
            else:
                failed += 1
                print(f"not ok {number} - {function.__name__}", flush=True)
        log = luod.log()
    if failed or "Sanitizer" in log or "runtime error" in log:
        print("# " + "\n# ".join(log.splitlines()[-80:]))
        failed = failed or 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
