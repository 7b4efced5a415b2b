# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""examples/kvd: memory, connections, and clients that mean no good."""

import contextlib
import random
import resource
import subprocess
import threading
import time
import unittest

from kvdtest import KVD, Client, KvdTest

MIB = 1 << 20


class Limits(KvdTest):
    def memory(self):
        """Of the process, without the heap: MiB. AddressSanitizer keeps what was freed."""
        with open(KVD, "rb") as f:
            if b"__asan_init" in f.read():
                return 0
        with open("/proc/%d/status" % self.kvd.pid, encoding="ascii") as f:
            return int([line.split()[1] for line in f if line.startswith("RssAnon:")][0]) >> 10

    def works(self):
        """For somebody else."""
        client = self.connect()
        self.assertEqual(client.ask(b"set other 0 0 1\r\n1\r\nget other\r\n"),
                         b"STORED\r\nVALUE other 0 1\r\n1\r\nEND\r\n")
        client.close()

    # ---- memory for items ----

    def test_least_recently_used(self):
        self.start("-m", "1", "--lru-interval", "0")
        client = self.connect()
        value = b"v" * 10000
        for i in range(300):
            self.assertEqual(client.ask(b"set k%d 0 0 10000\r\n%s\r\n" % (i, value)), b"STORED\r\n")
            # One is read again and again, another one is only looked for with me.
            self.assertIn(b"VALUE k0", client.ask(b"get k0\r\nme k1\r\n"))
        stats = client.stats()
        n = int(stats["curr_items"])
        self.assertEqual(n, MIB // (57 + 5 + 10000 + 2))
        self.assertEqual(int(stats["evictions"]), 300 - n)
        self.assertLessEqual(int(stats["bytes"]), MIB)
        # The last ones, and the one that was used.
        there = [i for i in range(300) if client.ask(b"get k%d\r\n" % i) != b"END\r\n"]
        self.assertEqual(there, [0, *range(300 - n + 1, 300)])

    def test_seldom_moved(self):
        """Within a minute it does not count how often an item is read."""
        self.start("-m", "1")
        client = self.connect()
        for i in range(120):
            client.ask(b"set k%d 0 0 10000\r\n%s\r\nget k0\r\n" % (i, b"v" * 10000))
        self.assertEqual(client.ask(b"get k0\r\n"), b"END\r\n")

    def test_grow_in_full_memory(self):
        """What is evicted to append to an item is not the item."""
        self.start("-m", "1", "-I", "1m")
        client = self.connect()
        client.ask(b"set a 3 0 1\r\n0\r\n")
        client.ask(b"".join(b"set k%d 0 0 10000\r\n%s\r\n" % (i, b"v" * 10000) for i in range(103)))
        whole = b"0"
        for i in range(50):
            part = b"%d" % (i % 10) * 20000
            whole += part
            self.assertEqual(client.ask(b"append a 0 0 20000\r\n%s\r\n" % part), b"STORED\r\n")
        self.assertEqual(client.ask(b"get a\r\n"), b"VALUE a 3 %d\r\n%s\r\nEND\r\n" % (len(whole), whole))
        # One that never fits.
        self.assertEqual(client.ask(b"set b 0 0 %d\r\n%s\r\n" % (MIB, b"x" * MIB)),
                         b"SERVER_ERROR out of memory storing object\r\n")
        self.assertEqual(client.stats()["store_no_memory"], "1")

    def test_smaller_limit(self):
        self.start("--file", self.file, "-m", "100")
        client = self.connect()
        for i in range(90):
            client.ask(b"set k%d 0 0 1000000\r\n%s\r\n" % (i, b"v" * 1000000))
        self.assertEqual(client.stats()["evictions"], "0")
        self.stop()
        # Its heap has more than it would be given now.
        self.start("--file", self.file, "-m", "2")
        client = self.connect()
        self.assertGreater(int(client.stats()["heap_size"]), 85 * MIB)
        self.eventually(lambda: int(client.stats()["bytes"]) <= 2 * MIB)
        self.assertIn(b"VALUE k89", client.ask(b"get k89\r\n"))
        self.assertEqual(client.ask(b"get k0\r\n"), b"END\r\n")

    def test_all_sizes(self):
        """Memory that had items of one size can be used for those of another."""
        self.start("-m", "16", "-I", "1m")
        client = self.connect()
        r = random.Random(2)
        sizes = {}
        for size in (10, 1000, 100000, 1000000, 30, 50000, 7):
            for i in range(20000000 // max(size, 200)):
                key = b"k%d" % i
                sizes[key] = r.randrange(size // 2, size + 1)
                client.send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, sizes[key], b"x" * sizes[key]))
            self.assertEqual(client.ask(b""), b"")
        stats = client.stats()
        self.assertEqual(stats["store_no_memory"], "0")
        self.assertLessEqual(int(stats["bytes"]), 16 * MIB)
        self.assertLessEqual(int(stats["heap_size"]), int(stats["heap_max_size"]))
        found = sum(client.ask(b"get %s\r\n" % key).startswith(b"VALUE %s 0 %d\r\n" % (key, size))
                    for key, size in sizes.items())
        self.assertEqual(found, int(stats["curr_items"]))

    # ---- connections ----

    def test_thousands(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.start("-c", "2500")
        clients = [self.connect() for _ in range(2400)]
        for i, client in enumerate(clients):
            client.send(b"set k%d 0 0 4\r\n%04d\r\n" % (i, i))
        for client in clients:
            self.assertEqual(client.read(8), b"STORED\r\n")
        idle = self.memory()
        for i, client in enumerate(clients):
            client.send(b"get k%d\r\n" % (2399 - i))
        for i, client in enumerate(clients):
            answer = b"VALUE k%d 0 4\r\n%04d\r\nEND\r\n" % (2399 - i, 2399 - i)
            self.assertEqual(client.read(len(answer)), answer)
        self.assertEqual(clients[0].stats()["curr_connections"], "2400")
        self.assertLess(idle, 8)

    def test_too_many(self):
        self.start("-c", "3")
        clients = [self.connect()]
        self.eventually(lambda: clients[0].stats()["curr_connections"] == "1")
        clients += [self.connect() for _ in range(2)]
        for client in clients:
            self.assertEqual(client.ask(b"get a\r\n"), b"END\r\n")
        self.assertEqual(self.connect().read_all(), b"ERROR Too many open connections\r\n")
        clients.pop().close()
        self.eventually(lambda: clients[0].stats()["curr_connections"] == "2")
        self.works()
        self.assertEqual(clients[0].stats()["rejected_connections"], "1")

    def test_no_fds(self):
        """With fewer fds than connections were promised, the others wait, and nothing spins."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
        self.start("-c", "100", preexec_fn=few, stderr=subprocess.DEVNULL)
        clients = [self.connect() for _ in range(40)]
        for client in clients:
            client.send(b"get a\r\n")
            client.socket.settimeout(0.5)
        served = []
        while True:
            try:
                self.assertEqual(clients[len(served)].read(5), b"END\r\n")
            except TimeoutError:
                break
            served.append(clients[len(served)])
        self.assertIn(len(served), range(5, 24))
        self.assertEqual(served[0].stats()["accepting_conns"], "0")

        def used():
            return float(served[0].stats()["rusage_user"]) + float(served[0].stats()["rusage_system"])
        before = used()
        time.sleep(1)
        self.assertLess(used() - before, 0.3)
        for client in served:
            client.close()
        waiting = clients[len(served):]
        for client in waiting[:5]:
            client.socket.settimeout(20)
            self.assertEqual(client.read(5), b"END\r\n")

    # ---- clients that mean no good ----

    def test_garbage(self):
        self.start()
        r = random.Random(3)
        for data in (b"x" * 3000, b"set a" + b" " * 3000, b" " * 3000, b"get" + b"x" * 3000):
            client = self.connect()
            client.send(data)
            self.assertEqual(client.read_all(), b"CLIENT_ERROR line too long\r\n")
        client = self.connect()
        client.send(b"\x80\0\0\0" + b"\0" * 20)
        self.assertEqual(client.read_all(), b"")
        words = [b"get", b"set", b"cas", b"a", b"0", b"5", b"\r\n", b" ", b"\n", b"noreply", b"gat", b"-1",
                 b"incr", b"99999999999", b"k" * 300, b"append", b"\0", b"\xff\xfe", b"\r", b"verbosity"]
        for _ in range(100):
            client = self.connect()
            try:
                client.send(b"".join(r.choice(words) + b" " * r.randrange(2) for _ in range(500)))
                client.send(r.randbytes(2000))
            except (BrokenPipeError, ConnectionResetError):
                pass
            client.close()
        self.works()

    def test_key_without_end(self):
        self.start()
        client = self.connect()
        client.send(b"get a " + b"x" * 100000 + b" b\r\n")
        self.assertEqual(client.ask(b"get a\r\n"), b"CLIENT_ERROR bad command line format\r\nEND\r\n")
        # Keys without end are no trouble.
        for _ in range(100):
            client.send(b"gets" + b" a" * 10000)
            client.send(b" ")
        self.assertEqual(client.ask(b"\r\n"), b"END\r\n")
        self.assertLess(self.memory(), 8)

    def test_slow_reader(self):
        self.start()
        slow, other = self.connect(), self.connect()
        other.ask(b"set a 0 0 %d\r\n%s\r\n" % (MIB, b"x" * MIB))

        def send():
            # Never comes to its end, as nobody reads that many answers.
            with contextlib.suppress(OSError):
                slow.send(b"get a a a\r\n" * 20000)
        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.3)
        for _ in range(20):
            self.works()
        self.assertLess(self.memory(), 16)
        answer = b"VALUE a 0 %d\r\n%s\r\n" % (MIB, b"x" * MIB)
        for _ in range(30):
            self.assertEqual(slow.read(3 * len(answer) + 5), answer * 3 + b"END\r\n")
        slow.socket.shutdown(2)
        sender.join()
        self.works()

    def test_many_slow_readers(self):
        """What waits to be read does not take all memory, but is refused."""
        self.start("-c", "1000")
        self.connect().ask(b"set a 0 0 %d\r\n%s\r\n" % (MIB, b"x" * MIB))
        clients = [self.connect() for _ in range(400)]
        for client in clients:
            client.send(b"get a\r\n")
        self.works()
        self.assertLess(self.memory(), 150)
        refused = 0
        for client in clients:
            client.send(b"quit\r\n")
            refused += client.read_all() == b"SERVER_ERROR out of memory writing get response\r\n"
        self.assertIn(refused, range(200, 390))
        # And all of it is given back.
        self.eventually(lambda: self.memory() < 16)
        self.assertIn(b"VALUE a 0", self.connect().ask(b"get a\r\n"))

    def test_half_values(self):
        """Neither do values that never come to their end."""
        self.start("-c", "1000")
        clients = [self.connect() for _ in range(400)]
        for client in clients:
            client.send(b"set a 0 0 %d\r\n" % MIB + b"x" * (MIB // 2))
        self.works()
        self.assertLess(self.memory(), 150)
        for client in clients:
            client.send(b"x" * (MIB // 2) + b"\r\nquit\r\n")
        answers = [client.read_all() for client in clients]
        self.assertEqual(set(answers), {b"STORED\r\n", b"SERVER_ERROR out of memory storing object\r\n"})
        self.eventually(lambda: self.memory() < 16)

    def test_half_closed(self):
        """Who has said everything may close that direction, and still gets all answers."""
        self.start()
        client = self.connect()
        value = b"v" * 100000
        client.send(b"set a 0 0 100000\r\n%s\r\n" % value + b"get a\r\n" * 100 + b"set b 0 0 10\r\nhalf")
        client.socket.shutdown(1)
        self.assertEqual(client.read_all(),
                         b"STORED\r\n" + b"VALUE a 0 100000\r\n%s\r\nEND\r\n" % value * 100)
        self.works()

    def test_gone(self):
        """Those who do not wait for their answer."""
        self.start()
        self.connect().ask(b"set a 0 0 100000\r\n%s\r\n" % (b"v" * 100000))
        for i in range(200):
            client = Client(self.path)
            client.send(b"get a\r\n" * (i % 30) + b"set b 0 0 5")
            client.close()
        client = self.connect()
        self.eventually(lambda: client.stats()["curr_connections"] == "2")
        self.works()


if __name__ == "__main__":
    unittest.main()
