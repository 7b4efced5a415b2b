# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""examples/kvd, killed while a client writes as fast as it can: what was answered is there, what was
not is there or not, but never in parts, and always as if the requests had stopped at one of them."""

import contextlib
import os
import random
import re
import signal
import threading
import time
import unittest

from kvdtest import Client, KvdTest

KEYS = 300
REQUESTS = 6000  # between two kills
SIZE = 57 + 2  # of an item without key and value
VALUE = re.compile(rb"VALUE (\S+) (\d+) (\d+) (\d+)\r\n")


class Model:
    """What kvd must have: {key: (value, flags, cas, expires)}; expires is a date, or 0."""

    def __init__(self):
        self.items = {}
        self.cas = 0

    def put(self, key, value, flags, expires):
        self.cas += 1
        self.items[key] = (value, flags, self.cas, expires)

    def apply(self, what, key, value, flags, expires):
        """The answer, as far as it says whether the request was done."""
        old = self.items.get(key)
        if what == b"set" or (what == b"add" and not old) or (what == b"cas" and old and old[2] == flags):
            self.put(key, value, flags, expires)
        elif what == b"add":
            return b"NOT_STORED"
        elif what == b"cas":
            return b"EXISTS" if old else b"NOT_FOUND"
        elif not old:
            return b"NOT_STORED" if what == b"append" else b"NOT_FOUND"
        elif what == b"append":
            self.put(key, old[0] + value, old[1], old[3])
        elif what == b"delete":
            del self.items[key]
            return b"DELETED"
        elif what == b"touch":
            self.items[key] = (*old[:3], expires)
            return b"TOUCHED"
        return b"STORED"


def line(what, key, value, flags, expires):
    if what == b"delete":
        return b"delete %s\r\n" % key
    if what == b"touch":
        return b"touch %s %d\r\n" % (key, expires)
    cas = b" %d" % flags if what == b"cas" else b""
    return b"%s %s %d %d %d%s\r\n%s\r\n" % (what, key, flags, expires, len(value), cas, value)


class Kill(KvdTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(5)
        self.model = Model()
        self.pending = []  # requests that were sent and not answered
        self.interrupted = self.recovered = 0

    def request(self, model):
        r = self.random
        what = r.choice((b"set", b"set", b"set", b"add", b"cas", b"append", b"delete", b"touch"))
        key = b"key%d" % r.randrange(KEYS)
        size = r.choice((0, 10, 100, 1000, 5000)) if what != b"append" else 20
        flags = r.randrange(1 << 32)
        if what == b"cas" and key in model.items and r.random() < 0.8:
            flags = model.items[key][2]
        return what, key, bytes([r.randrange(97, 123)]) * size, flags, r.choice((0, int(time.time()) + 10000))

    def prepare(self):
        """Requests enough to keep kvd busy for longer than it will live."""
        model = Model()
        model.items, model.cas = dict(self.model.items), self.model.cas
        self.pending = []
        for _ in range(REQUESTS):
            self.pending.append(self.request(model))
            model.apply(*self.pending[-1])
        return b"".join(line(*request) for request in self.pending)

    def write_and_kill(self):
        """Everything at once, and whatever is answered until kvd is killed."""
        data = self.prepare()
        with contextlib.closing(Client(self.path)) as client:
            pid = int(client.stats()["pid"])

            def send():
                with contextlib.suppress(OSError):
                    client.send(data)
            writer = threading.Thread(target=send)
            killer = threading.Timer(self.random.uniform(0.0005, 0.008), os.kill, (pid, signal.SIGKILL))
            killer.start()
            writer.start()
            answers = client.read_all()
            killer.join()
            writer.join()
        # What was cut off may be part of an answer.
        for answer in answers.split(b"\r\n")[:-1]:
            self.assertEqual(self.model.apply(*self.pending.pop(0)), answer)

    def found(self, client):
        """Everything, as a model has it: {key: (value, flags, cas, seconds left)}."""
        items = {}
        for i in range(KEYS):
            key = b"key%d" % i
            answer = client.ask(b"gets %s\r\nme %s\r\n" % (key, key))
            if answer == b"END\r\nEN\r\n":
                continue
            match = VALUE.match(answer)
            value = answer[match.end():match.end() + int(match[3])]
            tail = answer[match.end() + len(value):]
            left = int(re.match(rb"\r\nEND\r\nME %s exp=(-?\d+) la=\d+ cas=%s " % (key, match[4]), tail)[1])
            items[key] = (value, int(match[2]), int(match[4]), left)
        return items

    def same(self, items):
        """Whether it is what the model has; time to live is compared to 2 s."""
        now = time.time()
        return items.keys() == self.model.items.keys() and all(
            items[key][:3] == item[:3] and
            (items[key][3] == -1 if item[3] == 0 else abs(item[3] - now - items[key][3]) < 2)
            for key, item in self.model.items.items())

    def verify(self, client):
        """How many requests were done and not answered."""
        items = self.found(client)
        done = 0
        while not self.same(items):
            self.assertTrue(self.pending, "not as it was after any of the requests")
            self.model.apply(*self.pending.pop(0))
            done += 1
        self.interrupted += bool(self.pending)
        stats = client.stats()
        self.assertEqual(int(stats["curr_items"]), len(items))
        self.assertEqual(int(stats["bytes"]), sum(SIZE + len(key) + len(item[0]) for key, item in items.items()))
        self.recovered += int(stats["heap_recovered"])
        return done

    def check(self):
        p = self.run_it("luoctl", "heap", "check", self.file)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)

    def test_file(self):
        unanswered = 0
        self.start("--file", self.file)
        for i in range(50):
            self.write_and_kill()
            self.kvd.wait()
            if i % 10 == 0:
                self.check()
            self.start("--file", self.file)
            client = self.connect()
            unanswered += self.verify(client)
            client.close()
        print("# %d requests done, %d of 50 kills while busy, %d in a transaction, %d done and not answered"
              % (self.model.cas, self.interrupted, self.recovered, unanswered))
        # Otherwise nothing was interrupted, and this test shows nothing.
        self.assertGreater(self.model.cas, 500)
        self.assertGreater(self.interrupted, 10)
        # The list is whole in both directions: everything is found through it.
        client = self.connect()
        client.ask(b"flush_all\r\n")
        self.eventually(lambda: client.stats()["curr_items"] == "0")
        self.assertEqual(client.stats()["bytes"], "0")
        self.stop()
        self.check()
        blocks = self.run_it("luoctl", "heap", "check", self.file).stdout
        self.assertRegex(blocks, r"\b2 objects")

    def test_full(self):
        """With evictions all the time: what is there is right, and the sums are."""
        options = ("--file", self.file, "-m", "1", "-c", "50")
        stop = False

        def write():
            r = random.Random(6)
            while not stop:
                try:
                    with contextlib.closing(Client(self.path)) as client:
                        while True:
                            client.send(b"".join(self.full(r.randrange(2000)) for _ in range(50)))
                            client.read(50 * len(b"STORED\r\n"))
                except OSError:
                    time.sleep(0.001)

        writer = threading.Thread(target=write)
        self.start(*options)
        writer.start()
        for _ in range(25):
            time.sleep(self.random.uniform(0.01, 0.08))
            self.kill()
            self.start(*options)
        stop = True
        self.stop()
        writer.join()
        self.start(*options)
        client = self.connect()
        items = [i for i in range(2000) if client.ask(b"get f%d\r\n" % i) != b"END\r\n"]
        for i in items:
            answer = client.ask(b"get f%d\r\n" % i)
            self.assertEqual(answer, b"VALUE f%d %d %d\r\n%s\r\nEND\r\n" % (i, i, len(self.value(i)), self.value(i)))
        stats = client.stats()
        self.assertEqual(int(stats["curr_items"]), len(items))
        self.assertGreater(len(items), 100)
        self.assertEqual(int(stats["bytes"]), sum(SIZE + len(b"f%d" % i) + len(self.value(i)) for i in items))
        # Through the list, from its one end to the other.
        client.ask(b"".join(b"set g%d 0 0 1000\r\n%s\r\n" % (i, b"g" * 1000) for i in range(1200)))
        stats = client.stats()
        n = int(stats["curr_items"])
        self.assertEqual(client.ask(b"get" + b"".join(b" f%d" % i for i in range(2000)) + b"\r\n"), b"END\r\n")
        self.assertEqual([i for i in range(1200) if client.ask(b"get g%d\r\n" % i) != b"END\r\n"],
                         list(range(1200 - n, 1200)))
        client.close()
        self.stop()
        self.check()

    @staticmethod
    def value(i):
        return b"%d," % i * (i % 700)

    def full(self, i):
        return b"set f%d %d 0 %d\r\n%s\r\n" % (i, i, len(self.value(i)), self.value(i))

    def test_luod(self):
        """Its memory is with luod; luod is killed, too."""
        self.start_luod()
        before = ("luo-run", "--restart-safe", "--unit", "kvd", "--required", "--")
        self.start(before=before)
        for i in range(12):
            self.write_and_kill()
            self.kvd.wait()
            if i % 4 == 3:
                self.kill_luod()
            self.start(before=before)
            client = self.connect()
            self.verify(client)
            self.assertEqual(client.stats()["heap_state"], "restarted")
            client.close()
        self.assertGreater(self.model.cas, 1000)
        p = self.run_it("luoctl", "list", "kvd", "--no-legend")
        self.assertEqual(p.stdout.split()[:4], ["kvd", "kvd", "stored", "memfd"])


if __name__ == "__main__":
    unittest.main()
