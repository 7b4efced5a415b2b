# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""kvd_pymemcache.py before|after SOCKET PORT: what a program with pymemcache does with kvd."""

import sys
import threading
import time
import traceback

from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

SOCKET, PORT = sys.argv[2], int(sys.argv[3])
MANY = {"many%d" % i: ("value %d " % i) * (i % 50) for i in range(1000)}


def client(**options):
    return Client(SOCKET, default_noreply=False, timeout=20, **options)


def raises(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return True
    return False


def storage(c):
    assert c.set("a", "1", flags=7)
    assert c.get("a") == b"1"
    assert not c.add("a", "2") and c.add("b", b"\r\n\0\xff")
    assert c.get("b") == b"\r\n\0\xff"
    assert c.replace("b", "3") and not c.replace("nobody", "3")
    assert c.append("b", "4") and c.prepend("b", "2") and not c.append("nobody", "x")
    assert c.get("b") == b"234"
    assert c.get("nobody", "default") == "default"
    assert c.delete("b") and not c.delete("b")


def cas(c):
    c.set("c", "1")
    value, unique = c.gets("c")
    assert (value, c.cas("c", "2", unique)) == (b"1", True)
    assert c.cas("c", "3", unique) is False
    assert c.cas("nobody", "3", unique) is None
    assert c.gets_many(["c"])["c"][0] == b"2"


def numbers(c):
    c.set("n", "9")
    assert (c.incr("n", 1), c.decr("n", 3), c.decr("n", 100)) == (10, 7, 0)
    assert c.incr("nobody", 1) is None
    c.set("n", "x")
    assert raises(MemcacheClientError, c.incr, "n", 1)


def many(c):
    assert c.set_many(MANY) == []
    assert {k: v.decode() for k, v in c.get_many([*MANY, "nobody"]).items()} == MANY
    assert c.delete_many(["many0", "many1"])
    assert len(c.get_many(MANY)) == 998
    assert c.set_many({"many0": "", "many1": MANY["many1"]}) == []


def expiry(c):
    c.set("short", "1", expire=1)
    c.set("touched", "1", expire=1)
    c.set("long", "1", expire=1000)
    assert c.touch("touched", 1000) and not c.touch("nobody", 1)
    time.sleep(1.1)
    assert (c.get("short"), c.get("touched"), c.get("long")) == (None, b"1", b"1")


def limits(c):
    assert c.set("big", b"x" * 1000000) and c.get("big") == b"x" * 1000000
    assert raises(MemcacheServerError, c.set, "bigger", b"x" * 2000000)
    assert c.set("k" * 250, "1") and c.get("k" * 250) == b"1"
    assert raises(MemcacheClientError, c.get, "k" * 251)


def noreply(c):
    for i in range(1000):
        c.set("quiet", str(i), noreply=True)
    assert c.get("quiet") == b"999"
    c.delete("quiet", noreply=True)
    assert c.get("quiet") is None


def objects(c):
    c = client(serde=serde.pickle_serde)
    c.set("object", {"list": [1, 2.5, None], "text": "\u00e4"})
    assert c.get("object") == {"list": [1, 2.5, None], "text": "\u00e4"}
    c.close()


def others(c):
    stats = c.stats()
    assert stats[b"curr_items"] > 1000 and stats[b"heap_state"] == b"new", stats
    assert c.version() == b"1.0.0"
    assert c.stats("settings")[b"maxbytes"] == 64 << 20


def tcp(c):
    c = Client(("127.0.0.1", PORT), default_noreply=False, no_delay=True)
    assert c.set("tcp", "1") and c.get("tcp") == b"1" and c.get("a") == b"1"
    c.quit()


def threads(c):
    pool = PooledClient(SOCKET, max_pool_size=20, default_noreply=False)
    errors = []

    def work(n):
        for i in range(100):
            key = "thread%d-%d" % (n, i)
            if not pool.set(key, key) or pool.get(key) != key.encode() or not pool.incr("total", 1):
                errors.append(key)
    pool.set("total", "0")
    workers = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors and pool.get("total") == b"2000"
    pool.close()


def hashed(c):
    h = HashClient([SOCKET, ("127.0.0.1", PORT)], default_noreply=False)
    assert h.set_many({"h%d" % i: str(i) for i in range(100)}) == []
    assert len(h.get_many(["h%d" % i for i in range(100)])) == 100
    h.close()


def last(c):
    c.set("unique", "1")
    c.set("cas", str(c.gets("unique")[1].decode()))


def kept(c):
    assert {k: v.decode() for k, v in c.get_many(list(MANY)).items()} == MANY
    assert c.get("a") == b"1" and c.get("long") == b"1" and c.get("short") is None
    assert c.get("total") == b"2000" and c.get("big") == b"x" * 1000000
    assert c.stats()[b"heap_state"] == b"restarted"


def kept_cas(c):
    assert c.cas("unique", "2", c.get("cas")) is True
    assert c.cas("unique", "3", c.get("cas")) is False


def flush(c):
    assert c.flush_all() and c.get_many(list(MANY)) == {}


TESTS = {"before": (storage, cas, numbers, many, expiry, limits, noreply, objects, others, tcp, threads, hashed,
                    last),
         "after": (kept, kept_cas, flush)}
failed = 0
for test in TESTS[sys.argv[1]]:
    c = client()
    try:
        test(c)
        print("ok", test.__name__)
    except Exception:  # whatever it is, the next test may say more
        traceback.print_exc(file=sys.stdout)
        print("not ok", test.__name__)
        failed = 1
    c.close()
sys.exit(failed)
