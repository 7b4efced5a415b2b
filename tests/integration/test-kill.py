#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luod is killed -9 at 200 random moments, while clients push, claim, open and drop.

At the end every fd that luod had acknowledged is there exactly once and with the right content,
nothing that was acknowledged as removed is back, and neither luod nor its keeper has an fd too many.

    test-kill.py LUOD [KILLS [SEED]]
"""

import hashlib
import json
import os
import random
import signal
import sys
import time

from luod_client import Connection, Luod, VarlinkError, count_fds, memfd, read_fd

WORKERS = 4
MOST = 60  # fds in the store of one worker


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Worker:
    """A service: its process is registered, and it knows what luod has acknowledged."""

    def __init__(self, luod, number, seed):
        self.luod = luod
        self.unit = f"worker-{number}.service"
        self.random = random.Random(f"{seed}/{number}")
        self.present = {}  # name -> digest
        self.counter = 0
        self.operations = 0
        self.resets = 0

    def again(self, method, parameters, fds=(), more=False):
        """Repeat a call until luod has answered."""
        deadline = time.monotonic() + 60
        repeated = False
        while True:
            try:
                with Connection(self.luod.path) as connection:
                    replies, received = connection.call(method, parameters, fds, more)
                return replies, received, repeated
            except (ConnectionError, BrokenPipeError):
                if time.monotonic() > deadline:
                    raise
                repeated = True
                self.resets += 1
                time.sleep(0.002)

    def new_content(self):
        self.counter += 1
        name = f"fd-{self.counter}"
        content = self.random.randbytes(self.random.choice((0, 1, 100, 4096, 20000)))
        return name, content

    def store_by_datagram(self):
        name, content = self.new_content()
        fd = memfd(name, content)
        self.luod.notify(f"FDSTORE=1\nFDNAME={name}", [fd])
        os.close(fd)
        self.luod.barrier()
        self.present[name] = digest(content)

    def store_by_call(self):
        name, content = self.new_content()
        fd = memfd(name, content)
        self.again("io.luo.Store", {"names": [name]}, [fd])
        os.close(fd)
        self.present[name] = digest(content)

    def some_name(self):
        return self.random.choice(sorted(self.present)) if self.present else None

    def remove_by_datagram(self):
        name = self.some_name()
        if name:
            self.luod.notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            self.luod.barrier()
            del self.present[name]

    def drop_by_call(self):
        name = self.some_name()
        if not name:
            return
        try:
            self.again("io.luo.Drop", {"name": name})
        except VarlinkError as error:
            # An earlier attempt succeeded, but luod was killed before it answered.
            if error.name != "io.luo.NoSuchEntry" or not self.resets:
                raise
        del self.present[name]

    def open_one(self):
        name = self.some_name()
        if not name:
            return
        replies, fds, _ = self.again("io.luo.OpenEntry", {"name": name})
        assert len(fds) == 1, replies
        assert digest(read_fd(fds[0])) == self.present[name], f"{self.unit}: {name} has changed"
        os.close(fds[0])

    def claim(self):
        replies, fds, _ = self.again("io.luo.Claim", {}, more=True)
        found = {}
        entries = [entry for reply in replies for entry in reply["entries"]]
        assert len(entries) == len(fds)
        for entry, fd in zip(entries, fds):
            assert entry["name"] not in found, f"{self.unit}: {entry['name']} is there twice"
            found[entry["name"]] = digest(read_fd(fd))
            os.close(fd)
        assert found == self.present, f"{self.unit}: {compare(found, self.present)}"

    def step(self):
        self.operations += 1
        if len(self.present) >= MOST:
            self.drop_by_call()
            return
        self.random.choices(
            (self.store_by_datagram, self.store_by_call, self.remove_by_datagram,
             self.drop_by_call, self.open_one, self.claim),
            (6, 6, 2, 2, 3, 1))[0]()

    def run(self, stop):
        self.again("io.luo.Register", {"unit": self.unit})
        while not stop():
            self.step()
        self.claim()


def compare(found, expected):
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    changed = [name for name in found if name in expected and found[name] != expected[name]]
    return f"missing {missing}, too many {extra}, changed {changed}"


def start_worker(luod, number, seed, others):
    """(pid, where its answer comes, what ends it when it is closed)."""
    read_end, write_end = os.pipe()
    stop_read, stop_write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        os.close(stop_read)
        return pid, read_end, stop_write
    status = 1
    try:
        for fd in (read_end, stop_write, *(fd for _, *fds in others for fd in fds)):
            os.close(fd)
        os.set_blocking(stop_read, False)
        worker = Worker(luod, number, seed)

        def stop():
            try:
                return os.read(stop_read, 1) == b""
            except BlockingIOError:
                return False

        worker.run(stop)
        with os.fdopen(write_end, "w", encoding="ascii") as out:
            json.dump({"unit": worker.unit, "present": worker.present,
                       "operations": worker.operations, "resets": worker.resets}, out)
        status = 0
    except BaseException as error:  # the parent sees the status
        print(f"worker {number}: {type(error).__name__}: {error}", file=sys.stderr)
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def slowness(luod):
    """How many times longer than usual luod takes to start again: with sanitizers, on a busy machine.

    A luod that is killed again and again before it is ready waits longer and longer, as it should.
    """
    usual = 0.04
    worst = 0
    for _ in range(3):
        os.kill(luod.child(), signal.SIGKILL)
        begin = time.monotonic()
        while True:
            try:
                luod.call("io.luo.Status")
                break
            except (OSError, EOFError, VarlinkError):
                time.sleep(0.002)
        worst = max(worst, time.monotonic() - begin)
        time.sleep(0.2)
    return max(1, worst / usual)


def kill_luod(luod, kills, chance, workers):
    done = 0
    slow = slowness(luod)
    while done < kills:
        # A short pause hits a luod that is still starting, a long one a luod that works.
        time.sleep(chance.choice((0.002, 0.01, 0.03, 0.06, 0.12)) * chance.random() * 2 * slow)
        for pid, _, _ in workers:
            if os.waitpid(pid, os.WNOHANG)[0]:
                raise AssertionError(f"a worker has ended at kill {done}")
        pid = luod.child()
        if pid is None:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
            done += 1
        except ProcessLookupError:
            pass


def check_end(luod, results):
    problems = luod.call("io.luo.Status")["problems"]
    assert not problems, problems
    log = luod.log()
    assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]
    expected = {(r["unit"], name): d for r in results for name, d in r["present"].items()}
    entries = luod.entries()
    found = {}
    for entry in entries:
        key = (entry["unit"], entry["name"])
        assert key not in found, f"{key} is there twice"
        _, fds = luod.call_fds("io.luo.OpenEntry", {"unit": key[0], "name": key[1]})
        found[key] = digest(read_fd(fds[0]))
        os.close(fds[0])
    assert found == expected, compare(found, expected)
    return len(expected)


def settled(luod):
    """The fds of luod and of its keeper, once both are idle."""
    last, same = None, 0
    while same < 10:
        time.sleep(0.02)
        now = count_fds(luod.child()), count_fds(luod.process.pid)
        same = same + 1 if now == last else 0
        last = now
    return last


def drop_everything(luod, results):
    for unit in {r["unit"] for r in results if r["present"]}:
        luod.call("io.luo.Drop", {"unit": unit})


def main():
    program = sys.argv[1]
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seed = sys.argv[3] if len(sys.argv) > 3 else str(random.SystemRandom().randrange(10**6))
    print(f"# {kills} kills, seed {seed}", flush=True)
    luod = Luod(program, "--log-level=warning").start()
    try:
        empty = settled(luod)
        workers = []
        for number in range(WORKERS):
            workers.append(start_worker(luod, number, seed, workers))
        begin = time.monotonic()
        kill_luod(luod, kills, random.Random(seed), workers)
        seconds = time.monotonic() - begin
        results = []
        for pid, read_end, stop in workers:
            os.close(stop)
            with os.fdopen(read_end, encoding="ascii") as answers:
                text = answers.read()
            assert os.waitpid(pid, 0)[1] == 0 and text, "a worker has failed"
            results.append(json.loads(text))
        entries = check_end(luod, results)
        status = luod.call("io.luo.Status")
        assert status["stored"] == entries
        full = settled(luod)
        # One fd more for each entry, and no registrations.
        assert full == (empty[0] + entries, empty[1] + entries), (empty, full, entries)
        drop_everything(luod, results)
        end = settled(luod)
        assert end == empty, (empty, end)
        operations = sum(r["operations"] for r in results)
        print(f"# {kills} kills in {seconds:.1f} s, {status['restarts']} restarts, "
              f"{operations} operations, {sum(r['resets'] for r in results)} repeated, "
              f"{entries} fds at the end: each is there once, and right")
    except BaseException:
        print("\n".join(luod.log().splitlines()[-60:]), file=sys.stderr)
        raise
    finally:
        luod.__exit__()


if __name__ == "__main__":
    main()
