# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""kvd_beside_memcached.py KVD-SOCKET MEMCACHED-SOCKET: the same random commands for both, good ones and
bad ones, and the same answers.

Left out is what differs on purpose: kvd writes numbers without spaces behind them (memcached only where
they got longer), and does not let version and quit have arguments.
"""

import random
import socket
import sys

BATCHES, COMMANDS = 400, 20
KEYS = (b"a", b"b", b"n", b"k" * 250)
VALUES = (b"", b"12", b"hello", b"9" * 19, b"x\r\n", b"x" * 5000)
WORDS = (b"0", b"1", b"5", b"x", b"-1", b"noreply", b"100", b"a", b"", b"k" * 251)


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(path)
    return connection


def ask(connection, data):
    # A value that was announced longer than it is ends at the latest in here.
    connection.sendall(data + b"\r\n" * 3000 + b"version\r\n")
    answer = b""
    while b"VERSION " not in answer or not answer.endswith(b"\r\n"):
        part = connection.recv(1 << 20)
        if not part:
            return answer + b"(end)"
        answer += part
    return answer[:answer.rindex(b"VERSION ")]


def command(r):
    key, value = r.choice(KEYS), r.choice(VALUES)
    what = r.random()
    if what < 0.35:
        size = max(len(value) + (r.choice((-1, 1)) if r.random() < 0.03 else 0), 0)
        return b"%s %s %d %s %d%s\r\n%s\r\n" % (
            r.choice((b"set", b"add", b"replace", b"append", b"prepend")), key, r.randrange(100),
            r.choice((b"0", b"0", b"0", b"1000", b"-1")), size, r.choice((b"", b"", b" noreply")), value)
    if what < 0.5:
        return b"get %s\r\n" % b" ".join(r.choice(KEYS) for _ in range(r.randrange(1, 4)))
    if what < 0.6:
        return b"incr %s %s\r\n" % (key, r.choice((b"1", b"99999", b"x", b"")))
    if what < 0.65:
        return b"delete %s%s\r\n" % (key, r.choice((b"", b" 0", b" noreply", b" 5")))
    if what < 0.72:
        return b"touch %s %s\r\n" % (key, r.choice((b"0", b"100", b"x", b"-1")))
    if what < 0.8:
        return b"gat %s %s\r\n" % (r.choice((b"0", b"100", b"x")), key)
    if what < 0.82:
        return b"flush_all%s\r\n" % r.choice((b"", b" 0", b" noreply"))
    name = r.choice((b"set", b"add", b"incr", b"delete", b"touch", b"cas", b"nothing"))
    return b" ".join([name, *(r.choice(WORDS) for _ in range(r.randrange(6)))]) + b"\r\n"


def main():
    r = random.Random(7)
    kvd, memcached = connect(sys.argv[1]), connect(sys.argv[2])
    for _ in range(BATCHES):
        batch = [command(r) for _ in range(COMMANDS)]
        for connection in (kvd, memcached):
            ask(connection, b"flush_all\r\n")
        data = b"".join(batch)
        answers = ask(kvd, data), ask(memcached, data)
        if answers[0] == answers[1]:
            continue
        print("to", batch)
        print("kvd answers", answers[0].replace(b"\r\nERROR" * 2, b""))
        print("memcached answers", answers[1].replace(b"\r\nERROR" * 2, b""))
        print("different answers to random commands")
        return 1
    print("the same answers to %d random commands" % (BATCHES * COMMANDS))
    return 0


sys.exit(main())
