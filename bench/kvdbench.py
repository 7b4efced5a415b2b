# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""kvd beside memcached: requests a second, and how soon 1 GiB of items is there after a restart.

kvd has one thread. memcached is measured with one, too, and as it is by default, with four. kvd's
heap is a file on a tmpfs, which is the same memory as the memfd that it gets from a fd store.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SHM = "/dev/shm"

KEYS, CONNECTIONS, SECONDS, ROUNDS, MEGABYTES = 100000, 50, 0.8, 7, 1024
# (transport, requests under way in each connection, gets of 100 requests, bytes of a value)
MIXES = (("unix", 1, 90, 100), ("tcp", 1, 90, 100), ("unix", 16, 90, 100), ("tcp", 16, 90, 100),
         ("unix", 16, 50, 100), ("tcp", 1, 90, 4096))

RESTART_KEYS, RESTART_SIZE, RESTART_MEGABYTES = 1 << 20, 1024, 2048
RESTART_ROUNDS, REFILL_ROUNDS = 7, 3


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """kvd or memcached in a folder of its own, until the end of a with statement."""

    def __init__(self, bench, what, transport, folder, megabytes, options=()):
        self.bench = bench
        self.transport = transport
        self.folder = os.path.join(folder, what.replace(" ", "-"))
        self.address = os.path.join(self.folder, "socket") if transport == "unix" else str(free_port())
        listen = ["-s", self.address] if transport == "unix" else ["-l", "127.0.0.1", "-p", self.address]
        if what == "kvd":
            program = [os.path.join(bench.build, "examples", "kvd", "kvd"), "--file", os.path.join(self.folder, "heap")]
        else:
            program = [memcached(bench), "-u", "root"] if os.geteuid() == 0 else [memcached(bench)]
        self.command = [*program, *listen, "-m", str(megabytes), *(option.format(self.folder) for option in options)]
        self.process = None

    def start(self):
        """Returns when that was."""
        if self.transport == "unix" and os.path.exists(self.address):
            os.unlink(self.address)
        begin = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, env=self.bench.environment)
        return begin

    def stop(self, number=signal.SIGTERM):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(timeout=120)
            self.process = None

    def load(self, what, keys, size, *arguments):
        """The load generator, started."""
        command = [self.bench.program("kvd-load"), self.address, what, *map(str, (keys, size, *arguments))]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def cpu(self):
        """Microseconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) * 1e6 / os.sysconf("SC_CLK_TCK")

    def fill(self, keys, size):
        """Returns when the last was answered."""
        return numbers(self.load("fill", keys, size))[0] / 1e6

    def __enter__(self):
        os.mkdir(self.folder)
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)


def numbers(process):
    """What a load generator has printed in the end."""
    out, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)} failed")
    return [float(value) for value in out.split()]


def memcached(bench):
    path = os.path.join(bench.packages, "usr", "bin", "memcached")
    return path if os.access(path, os.X_OK) else shutil.which("memcached")


def contestants(bench):
    names = [("kvd", ())]
    if memcached(bench):
        names += [("memcached -t 1", ("-t", "1")), ("memcached", ())]
    else:
        print("There is no memcached: kvd is measured alone.", file=sys.stderr)
    return names


def wait_until_up(server):
    """A get that finds nothing is no answer to the generator, so items come first."""
    end = time.monotonic() + 10
    while True:
        with socket.socket(socket.AF_UNIX if server.transport == "unix" else socket.AF_INET) as s:
            try:
                s.connect(server.address if server.transport == "unix" else ("127.0.0.1", int(server.address)))
                return
            except OSError:
                if time.monotonic() > end:
                    sys.exit(f"{' '.join(server.command)} does not listen")
                time.sleep(0.0005)


def throughput(bench):
    for transport, depth, gets, size in MIXES:
        with tempfile.TemporaryDirectory(prefix="luo-bench-", dir=SHM) as folder:
            servers = {what: Server(bench, what, transport, folder, MEGABYTES, options)
                       for what, options in contestants(bench)}
            took = mix(servers, depth, gets, size)
        for what, results in took.items():
            persecond, median, worst, cpu = zip(*results)
            bench.record(bench="kvd", what=what, transport=transport, depth=depth, gets=gets, bytes=size,
                         connections=CONNECTIONS, persecond=persecond, median_usec=median, p99_usec=worst, cpu_usec=cpu)


def mix(servers, depth, gets, size):
    """All servers are up, and those that have no turn wait for requests."""
    results = {what: [] for what in servers}
    for server in servers.values():
        server.__enter__()
    try:
        for server in servers.values():
            server.start()
            wait_until_up(server)
            server.fill(KEYS, size)
        names = list(servers)
        # The first round only warms up.
        for number in range(ROUNDS + 1):
            for what in names[number % len(names):] + names[:number % len(names)]:
                begin = servers[what].cpu()
                persecond, median, worst = numbers(servers[what].load("mix", KEYS, size, CONNECTIONS, depth, gets, SECONDS))
                if number > 0:
                    cpu = (servers[what].cpu() - begin) / (persecond * SECONDS)
                    results[what].append((persecond, median, worst, cpu))
    finally:
        for server in servers.values():
            server.__exit__()
    return results


def first_get(server):
    """From the start of the server, whose items are there already, to the answer; in microseconds."""
    client = server.load("first", RESTART_KEYS, RESTART_SIZE)
    time.sleep(0.05)  # it is up, and tries to connect
    begin = server.start()
    return (numbers(client)[0] / 1e6 - begin) * 1e6


def restart(bench):
    usec = {}
    with tempfile.TemporaryDirectory(prefix="luo-bench-", dir=SHM) as folder:
        with Server(bench, "kvd", "unix", folder, RESTART_MEGABYTES) as server:
            server.start()
            wait_until_up(server)
            server.fill(RESTART_KEYS, RESTART_SIZE)
            for what, number in (("kvd, killed", signal.SIGKILL), ("kvd, stopped", signal.SIGTERM)):
                usec[what] = []
                for _ in range(RESTART_ROUNDS):
                    server.stop(number)
                    usec[what].append(first_get(server))
        if memcached(bench):
            usec["memcached, refilled"] = []
            for _ in range(REFILL_ROUNDS):
                with Server(bench, "memcached", "unix", folder, RESTART_MEGABYTES) as server:
                    begin = server.start()
                    wait_until_up(server)
                    end = server.fill(RESTART_KEYS, RESTART_SIZE)
                    usec["memcached, refilled"].append((end - begin) * 1e6)
            usec["memcached -e, stopped"], usec["its stop before"] = warm_restart(bench, folder)
    for what, times in usec.items():
        bench.record(bench="kvd-restart", what=what, files=RESTART_KEYS, bytes=RESTART_SIZE, usec=times)


def warm_restart(bench, folder):
    """memcached's own, which needs to be asked to stop: the times of starts, and those of stops."""
    starts, stops = [], []
    with Server(bench, "memcached", "unix", folder, RESTART_MEGABYTES, ("-e", "{}/memory")) as server:
        server.start()
        wait_until_up(server)
        server.fill(RESTART_KEYS, RESTART_SIZE)
        for _ in range(RESTART_ROUNDS):
            begin = time.monotonic()
            server.stop(signal.SIGUSR1)
            stops.append((time.monotonic() - begin) * 1e6)
            # Within about a second it finds the time of the stop in the future, and begins empty.
            time.sleep(2)
            starts.append(first_get(server))
    return starts, stops
