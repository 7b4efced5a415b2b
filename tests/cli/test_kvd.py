# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""examples/kvd: the protocol, byte by byte, and the program around it."""

import os
import random
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from kvdtest import KVD, KvdTest

LONG = b"k" * 251
BAD = b"CLIENT_ERROR bad command line format\r\n"
MIB = 1 << 20


class Protocol(KvdTest):
    def setUp(self):
        super().setUp()
        self.start()
        self.client = self.connect()

    def says(self, data, answer):
        self.assertEqual(self.client.ask(data), answer, data[:80])

    def test_set_and_get(self):
        self.says(b"get a\r\n", b"END\r\n")
        self.says(b"set a 5 0 3\r\nabc\r\n", b"STORED\r\n")
        self.says(b"get a\r\n", b"VALUE a 5 3\r\nabc\r\nEND\r\n")
        self.says(b"gets a\r\n", b"VALUE a 5 3 1\r\nabc\r\nEND\r\n")
        self.says(b"set a 4294967295 0 0\r\n\r\n", b"STORED\r\n")
        self.says(b"gets a b a\r\n", b"VALUE a 4294967295 0 2\r\n\r\n" * 2 + b"END\r\n")
        self.says(b"set b 0 0 4\n\r\n\0\xff\r\nget b\n", b"STORED\r\nVALUE b 0 4\r\n\r\n\0\xff\r\nEND\r\n")
        self.says(b"  get   a  b \r\n", b"VALUE a 4294967295 0\r\n\r\nVALUE b 0 4\r\n\r\n\0\xff\r\nEND\r\n")
        self.says(b"set " + LONG[1:] + b" 0 0 1\r\n1\r\n", b"STORED\r\n")
        self.says(b"get " + LONG[1:] + b"\r\n", b"VALUE " + LONG[1:] + b" 0 1\r\n1\r\nEND\r\n")

    def test_add_and_replace(self):
        self.says(b"replace a 1 0 1\r\n1\r\n", b"NOT_STORED\r\n")
        self.says(b"add a 1 0 1\r\n1\r\n", b"STORED\r\n")
        self.says(b"add a 2 0 1\r\n2\r\n", b"NOT_STORED\r\n")
        self.says(b"get a\r\n", b"VALUE a 1 1\r\n1\r\nEND\r\n")
        self.says(b"replace a 3 0 2\r\n33\r\n", b"STORED\r\n")
        self.says(b"get a\r\n", b"VALUE a 3 2\r\n33\r\nEND\r\n")

    def test_append_and_prepend(self):
        self.says(b"append a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n")
        self.says(b"prepend a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n")
        self.says(b"set a 7 0 2\r\nmm\r\n", b"STORED\r\n")
        # Flags and time stay what they are.
        self.says(b"append a 9 -1 2\r\nzz\r\n", b"STORED\r\n")
        self.says(b"prepend a 9 -1 2\r\naa\r\n", b"STORED\r\n")
        self.says(b"gets a\r\n", b"VALUE a 7 6 3\r\naammzz\r\nEND\r\n")

    def test_cas(self):
        self.says(b"cas a 0 0 1 1\r\n1\r\n", b"NOT_FOUND\r\n")
        self.says(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")
        self.says(b"cas a 0 0 1 2\r\n2\r\n", b"EXISTS\r\n")
        self.says(b"cas a 4 0 1 1\r\n3\r\n", b"STORED\r\n")
        self.says(b"cas a 5 0 1 1\r\n4\r\n", b"EXISTS\r\n")
        self.says(b"gets a\r\n", b"VALUE a 4 1 2\r\n3\r\nEND\r\n")
        self.says(b"touch a 100\r\ngets a\r\n", b"TOUCHED\r\nVALUE a 4 1 2\r\n3\r\nEND\r\n")

    def test_delete(self):
        self.says(b"delete a\r\n", b"NOT_FOUND\r\n")
        self.says(b"set a 0 0 1\r\n1\r\ndelete a\r\nget a\r\n", b"STORED\r\nDELETED\r\nEND\r\n")
        self.says(b"set a 0 0 1\r\n1\r\ndelete a 0\r\n", b"STORED\r\nDELETED\r\n")
        # A key may have that name.
        self.says(b"set noreply 0 0 1\r\n1\r\ndelete noreply\r\n", b"STORED\r\nDELETED\r\n")

    def test_incr_and_decr(self):
        self.says(b"incr n 1\r\n", b"NOT_FOUND\r\n")
        self.says(b"decr n 1\r\n", b"NOT_FOUND\r\n")
        self.says(b"set n 3 0 2\r\n98\r\n", b"STORED\r\n")
        self.says(b"incr n 1\r\nincr n 1\r\nget n\r\n", b"99\r\n100\r\nVALUE n 3 3\r\n100\r\nEND\r\n")
        self.says(b"decr n 91\r\nget n\r\n", b"9\r\nVALUE n 3 1\r\n9\r\nEND\r\n")
        self.says(b"decr n 10\r\n", b"0\r\n")
        self.says(b"incr n 18446744073709551615\r\n", b"18446744073709551615\r\n")
        self.says(b"incr n 1\r\nget n\r\n", b"0\r\nVALUE n 3 1\r\n0\r\nEND\r\n")
        self.says(b"set n 0 0 3\r\n7  \r\nincr n 1\r\n", b"STORED\r\n8\r\n")
        for text in (b"", b"x", b"-1", b"1x", b" 1", b"18446744073709551616", b"9" * 21):
            self.says(b"set n 0 0 %d\r\n%s\r\nincr n 1\r\n" % (len(text), text),
                      b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
        for text in (b"x", b"-1", b"18446744073709551616"):
            self.says(b"decr n " + text + b"\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n")

    def test_touch(self):
        self.says(b"touch a 0\r\n", b"NOT_FOUND\r\n")
        self.says(b"gat 0 a\r\n", b"END\r\n")
        self.says(b"set a 1 100 1\r\n1\r\nset b 2 0 1\r\n2\r\n", b"STORED\r\n" * 2)
        self.says(b"gat 0 a b c\r\n", b"VALUE a 1 1\r\n1\r\nVALUE b 2 1\r\n2\r\nEND\r\n")
        self.says(b"gats 200 b\r\n", b"VALUE b 2 1 2\r\n2\r\nEND\r\n")
        self.says(b"me a\r\nme b\r\nme c\r\n",
                  b"ME a exp=-1 la=0 cas=1 fetch=no cls=1 size=61\r\n"
                  b"ME b exp=200 la=0 cas=2 fetch=no cls=1 size=61\r\nEN\r\n")
        self.says(b"touch a -1\r\nget a\r\n", b"TOUCHED\r\nEND\r\n")
        self.says(b"touch b x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n")
        self.says(b"gat x b\r\nget b\r\n",
                  b"CLIENT_ERROR invalid exptime argument\r\nVALUE b 2 1\r\n2\r\nEND\r\n")

    def test_expiry(self):
        now = int(time.time())
        for key, exptime in ((b"negative", -1), (b"past", now - 10), (b"one", 1), (b"two", now + 2),
                             (b"month", 30 * 86400), (b"later", now + 3600)):
            self.says(b"set %s 0 %d 1\r\n1\r\n" % (key, exptime), b"STORED\r\n")
        hit = b"VALUE %s 0 1\r\n1\r\n"
        self.says(b"get negative past one two month later\r\n",
                  b"".join(hit % key for key in (b"one", b"two", b"month", b"later")) + b"END\r\n")
        self.says(b"add one 0 0 1\r\n1\r\n", b"NOT_STORED\r\n")
        # 30 days are from now on, a second more is a date of the year 1970.
        self.says(b"set more 0 %d 1\r\n1\r\nget more\r\n" % (30 * 86400 + 1), b"STORED\r\nEND\r\n")
        time.sleep(1.01)
        self.says(b"get one\r\nincr one 1\r\ntouch one 5\r\ndelete one\r\n",
                  b"END\r\n" + b"NOT_FOUND\r\n" * 3)
        self.says(b"add one 0 0 1\r\n1\r\n", b"STORED\r\n")
        self.eventually(lambda: self.client.ask(b"get two\r\n") == b"END\r\n", 3)
        self.says(b"get month later\r\n", hit % b"month" + hit % b"later" + b"END\r\n")
        # What is dead is removed although nobody asks for it.
        self.eventually(lambda: self.client.stats()["curr_items"] == "3", 5)

    def test_flush_all(self):
        self.says(b"set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n")
        self.says(b"set a 0 0 1\r\n2\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n")
        self.says(b"flush_all 1\r\nset b 0 0 1\r\n3\r\nget a b\r\n",
                  b"OK\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nVALUE b 0 1\r\n3\r\nEND\r\n")
        self.eventually(lambda: self.client.ask(b"get a b\r\n") == b"END\r\n", 3)
        self.says(b"set c 0 0 1\r\n4\r\nget c\r\n", b"STORED\r\nVALUE c 0 1\r\n4\r\nEND\r\n")
        self.says(b"flush_all x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n")
        self.says(b"flush_all -1\r\nget c\r\n", b"OK\r\nEND\r\n")

    def test_noreply(self):
        self.says(b"set a 0 0 1 noreply\r\n1\r\nadd a 0 0 1 noreply\r\n2\r\nadd b 0 0 1 noreply\r\n2\r\n"
                  b"replace b 0 0 1 noreply\r\n3\r\nappend b 0 0 1 noreply\r\n4\r\n"
                  b"prepend b 0 0 1 noreply\r\n5\r\ncas a 0 0 1 1 noreply\r\n7\r\n"
                  b"cas a 0 0 1 1 noreply\r\n8\r\nincr a 5 noreply\r\ndecr a 2 noreply\r\n"
                  b"incr nobody 1 noreply\r\ntouch a 0 noreply\r\ndelete nobody noreply\r\n"
                  b"delete nobody 0 noreply\r\nverbosity 0 noreply\r\nverbosity noreply\r\n", b"")
        self.says(b"get a b\r\n", b"VALUE a 0 2\r\n10\r\nVALUE b 0 3\r\n534\r\nEND\r\n")
        # Neither are errors, as far as the line can be understood.
        self.says(b"incr a x noreply\r\nincr a noreply\r\ntouch a x noreply\r\nset a x 0 1 noreply\r\n"
                  b"set a 0 0 1 noreply\r\n123verbosity noreply\r\ndelete a 5 noreply\r\n"
                  b"verbosity x noreply\r\nflush_all x noreply\r\ndelete " + LONG + b" noreply\r\n", b"")
        self.says(b"touch a 1 2 noreply\r\n", b"ERROR\r\n")
        self.says(b"delete a noreply\r\nget a\r\n", b"END\r\n")
        self.says(b"flush_all noreply\r\nget b\r\n", b"END\r\n")
        self.says(b"flush_all 0 noreply\r\n", b"")

    def test_errors(self):
        for line in (b"", b"  ", b"foo", b"GET a", b"get", b"gets ", b"gat", b"gat 1", b"set", b"set a",
                     b"set a 0 0", b"set a 0 0 1 noreply x", b"cas a 0 0 1", b"delete", b"incr", b"incr a",
                     b"incr a 1 x y", b"touch a", b"touch a 1 x y", b"delete a 0 0 0", b"flush_all 0 0 0",
                     b"version x", b"version noreply", b"quit noreply", b"verbosity", b"stats nothing",
                     b"verbosity 0 0 0", b"mg a v", b"shutdown", b"a b c d e f g h i j k"):
            self.says(line + b"\r\n", b"ERROR\r\n")
        for line in (b"set a x 0 1", b"set a -1 0 1", b"set a 4294967296 0 1", b"set a 0 x 1",
                     b"set a 0 0 x", b"set a 0 0 -1", b"set a 0 0 2147483646",
                     b"set a 0 0 99999999999999999999", b"set a 0 99999999999999999999 1",
                     b"cas a 0 0 1 x", b"cas a 0 0 1 18446744073709551616", b"set " + LONG + b" 0 0 1",
                     b"get " + LONG, b"gets " + LONG + b" a", b"delete " + LONG, b"incr " + LONG + b" 1",
                     b"touch " + LONG + b" 1", b"gat 1 " + LONG, b"verbosity x"):
            self.says(line + b"\r\n", BAD)
        self.says(b"delete a 1\r\n", BAD[:-2] + b".  Usage: delete <key> [noreply]\r\n")
        self.says(b"set a 0 0 3\r\n12345\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n")
        self.says(b"set a 0 0 3\r\n123\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n")
        self.says(b"get a\r\n", b"END\r\n")

    def test_too_large(self):
        big = b"x" * MIB
        self.says(b"set a 0 0 %d\r\n%s\r\n" % (MIB, big), b"STORED\r\n")
        self.says(b"get a\r\n", b"VALUE a 0 %d\r\n%s\r\nEND\r\n" % (MIB, big))
        refused = b"SERVER_ERROR object too large for cache\r\n"
        self.says(b"append a 0 0 1\r\nx\r\n", refused)
        self.says(b"add a 0 0 %d\r\n%sx\r\nget b\r\n" % (MIB + 1, big), refused + b"END\r\n")
        self.says(b"get a\r\n", b"VALUE a 0 %d\r\n%s\r\nEND\r\n" % (MIB, big))
        # But who sets it does not want to read the old value.
        self.says(b"set a 0 0 %d\r\n%sx\r\nget a\r\n" % (MIB + 1, big), refused + b"END\r\n")
        self.says(b"set a 0 0 %d noreply\r\n%sx\r\n" % (MIB + 1, big), b"")
        self.assertEqual(self.client.stats()["store_too_large"], "4")

    def test_split(self):
        """However the bytes are cut, the answer is the same."""
        stream = (b"flush_all\r\nset a 1 0 10\r\n0123456789\r\nget a b\r\nset a 0 0 3\r\n12\r\n\r\nfoo\r\n"
                  b"incr a 1\r\nset n 0 0 1\r\n1\r\nincr n 41\r\nget n a\r\ngat 100 n\r\nget " + LONG +
                  b" a\r\ndelete a noreply\r\nset b 0 0 2000000\r\n" + b"y" * 2000002 + b"get n\r\n")
        whole = self.client.ask(stream)
        self.assertEqual(whole.count(b"\r\n"), 24)
        for i in range(600):
            self.client.send(stream[i:i + 1])
        self.assertEqual(self.client.ask(stream[600:]), whole)
        r = random.Random(1)
        for _ in range(20):
            position = 0
            while position < 700:
                size = r.randrange(1, 60)
                self.client.send(stream[position:position + size])
                position += size
                if r.random() < 0.3:
                    time.sleep(0.001)
            self.assertEqual(self.client.ask(stream[position:]), whole)

    def test_pipeline(self):
        n = 20000
        requests = b"".join(b"set k%d 0 0 5\r\n%05d\r\nget k%d\r\n" % (i, i, i) for i in range(n))
        answers = b"".join(b"STORED\r\nVALUE k%d 0 5\r\n%05d\r\nEND\r\n" % (i, i) for i in range(n))
        sender = threading.Thread(target=self.client.send, args=(requests,))
        sender.start()
        self.assertEqual(self.client.read(len(answers)), answers)
        sender.join()
        # One line of 140 kB.
        line = b"get " + b" ".join(b"k%d" % i for i in range(n)) + b"\r\n"
        answers = b"".join(b"VALUE k%d 0 5\r\n%05d\r\n" % (i, i) for i in range(n)) + b"END\r\n"
        sender = threading.Thread(target=self.client.send, args=(line,))
        sender.start()
        self.assertEqual(self.client.read(len(answers)), answers)
        sender.join()
        self.says(b"get k1\r\n", b"VALUE k1 0 5\r\n00001\r\nEND\r\n")

    def test_stats(self):
        self.client.ask(b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nget a c\r\nget b\r\ndelete b\r\ndelete b\r\n"
                        b"incr a 1\r\nincr c 1\r\ndecr a 1\r\ndecr c 1\r\ntouch a 0\r\ntouch c 0\r\n"
                        b"cas a 0 0 1 1\r\n1\r\ncas c 0 0 1 1\r\n1\r\ncas a 0 0 1 4\r\n1\r\nflush_all\r\n")
        stats = self.client.stats()
        for name, value in {"pid": self.kvd.pid, "curr_connections": 1, "cmd_get": 3, "cmd_set": 5,
                            "get_hits": 2, "get_misses": 1, "delete_hits": 1, "delete_misses": 1,
                            "incr_hits": 1, "incr_misses": 1, "decr_hits": 1, "decr_misses": 1,
                            "touch_hits": 1, "touch_misses": 1, "cas_hits": 1, "cas_misses": 1,
                            "cas_badval": 1, "cmd_flush": 1, "cmd_touch": 2, "total_items": 5,
                            "evictions": 0, "limit_maxbytes": 64 * MIB, "threads": 1,
                            "version": "1.0.0", "heap_state": "new", "accepting_conns": 1}.items():
            self.assertEqual(stats[name], str(value), name)
        self.assertLess(abs(int(stats["time"]) - time.time()), 5)
        for name in ("uptime", "bytes", "bytes_read", "bytes_written", "heap_size", "heap_id"):
            self.assertIn(name, stats)
        self.eventually(lambda: self.client.stats()["curr_items"] == "0", 5)
        self.assertEqual(self.client.stats()["bytes"], "0")
        self.assertEqual(self.client.stats(b"settings")["maxbytes"], str(64 * MIB))
        self.says(b"stats reset\r\nstats items\r\nstats slabs\r\n", b"RESET\r\nEND\r\nEND\r\n")
        self.assertEqual(self.client.stats()["get_hits"], "0")

    def test_model(self):
        """Random commands, and what a dictionary says to them."""
        r = random.Random(4)
        model, cas = {}, 0
        for _ in range(200):
            requests, answers = b"", b""
            for _ in range(100):
                key, value = b"key%d" % r.randrange(300), b"v" * r.randrange(200)
                what = r.choice((b"set", b"add", b"replace", b"append", b"get", b"delete"))
                there = key in model
                if what in (b"set", b"add", b"replace", b"append"):
                    requests += b"%s %s 0 0 %d\r\n%s\r\n" % (what, key, len(value), value)
                    stored = what == b"set" or there == (what != b"add")
                    if stored:
                        cas += 1
                        model[key] = ((model[key][0] if what == b"append" else b"") + value, cas)
                    answers += b"STORED\r\n" if stored else b"NOT_STORED\r\n"
                elif what == b"delete":
                    requests += b"delete %s\r\n" % key
                    answers += b"DELETED\r\n" if model.pop(key, None) else b"NOT_FOUND\r\n"
                else:
                    requests += b"gets %s\r\n" % key
                    if there:
                        answers += b"VALUE %s 0 %d %d\r\n%s\r\n" % (key, len(model[key][0]), model[key][1],
                                                                    model[key][0])
                    answers += b"END\r\n"
            self.says(requests, answers)
        self.assertEqual(self.client.stats()["curr_items"], str(len(model)))


class Program(KvdTest):
    def fails(self, error, *arguments, status=1):
        p = self.run_it(KVD, *arguments)
        self.assertEqual((p.returncode, p.stdout), (status, ""))
        self.assertRegex(p.stderr, error)

    def test_options(self):
        self.assertIn("--lru-interval SECONDS", self.run_it(KVD, "-h").stdout)
        self.fails("^Usage: kvd", "x")
        self.fails("unrecognized option", "--nothing")
        self.fails("^kvd: '0' is not what -m takes; see kvd -h\n$", "-m", "0")
        self.fails("^kvd: '1x' is not what -c takes", "-c", "1x")
        self.fails("^kvd: '-1' is not what -I takes", "-I", "-1")
        self.fails("^kvd: '65536' is not what -p takes", "-p", "65536")
        self.fails("^kvd: 'x' is not what --lru-interval takes", "--lru-interval", "x")
        self.fails("^kvd: there is nothing to listen on\n$", "-p", "0")
        self.fails("^kvd: cannot listen on nowhere, port 1: ", "-l", "nowhere", "-p", "1")
        self.fails("^kvd: cannot listen on /nowhere/kvd.sock: No such file or directory\n$",
                   "-s", "/nowhere/kvd.sock")
        self.fails("^kvd: cannot open the heap: .*/nowhere/heap", "-s", self.path, "--file", "/nowhere/heap")

    def test_sockets(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        self.start("-p", str(port), "-a", "0660")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
        tcp = socket.create_connection(("127.0.0.1", port))
        tcp.sendall(b"set a 0 0 1\r\n1\r\nquit\r\n")
        self.assertEqual(tcp.recv(100), b"STORED\r\n")
        self.assertEqual(tcp.recv(100), b"")
        tcp.close()
        self.assertEqual(self.connect().ask(b"get a\r\n"), b"VALUE a 0 1\r\n1\r\nEND\r\n")
        # Neither another one nor what is no socket is taken away; what a dead one left, is.
        self.fails("Address already in use", "-s", self.path)
        self.fails("port %d: Address already in use" % port, "-p", str(port))
        self.fails("File exists", "-s", KVD)
        self.kill()
        self.assertTrue(os.path.exists(self.path))
        self.start()
        self.stop()
        self.assertFalse(os.path.exists(self.path))

    def test_ready_and_stop(self):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        self.environment["NOTIFY_SOCKET"] = os.path.join(self.directory, "notify")
        notify.bind(self.environment["NOTIFY_SOCKET"])
        notify.settimeout(20)
        self.start("--file", self.file)
        self.assertEqual(notify.recv(1000), b"READY=1")
        client = self.connect()
        self.kvd.send_signal(signal.SIGINT)
        self.assertEqual(notify.recv(1000), b"STOPPING=1")
        self.assertEqual((client.read_all(), self.kvd.wait(20)), (b"", 0))
        self.kvd = None

    def test_passed_socket(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen()
        # Who has connected already is served, too.
        early = self.connect()
        early.send(b"version\r\n")
        self.kvd = subprocess.Popen(["sh", "-c", 'exec 3<&%d; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0"'
                                     % listener.fileno(), KVD],
                                    env=self.environment, pass_fds=[listener.fileno()])
        self.assertEqual(early.read_until(b"\r\n"), b"VERSION 1.0.0\r\n")
        self.assertEqual(self.connect().ask(b"get a\r\n"), b"END\r\n")

    def test_one_owner(self):
        self.start("--file", self.file)
        self.fails("^kvd: cannot open the heap: .*%d" % self.kvd.pid, "-s", self.path + "2",
                   "--file", self.file)

    def test_no_heap(self):
        """What is not its heap is refused, and stays as it is."""
        for data in (b"something else\n" * 10000, b""):
            with open(self.file, "wb") as f:
                f.write(data)
            if data:
                self.fails("^kvd: cannot open the heap: .*not a heap", "-s", self.path, "--file", self.file)
                with open(self.file, "rb") as f:
                    self.assertEqual(f.read(), data)
        self.start("--file", self.file)
        self.assertEqual(self.connect().ask(b"set a 0 0 1\r\n1\r\n"), b"STORED\r\n")
        self.stop()
        os.truncate(self.file, os.path.getsize(self.file) // 2)
        self.fails("^kvd: cannot open the heap: .*cut off", "-s", self.path, "--file", self.file)

    def test_restart(self):
        now = int(time.time())
        self.start("--file", self.file)
        client = self.connect()
        client.ask(b"set a 1 0 1\r\n1\r\nset b 2 1000 1\r\n2\r\nset c 3 1 1\r\n3\r\nset d 4 %d 1\r\n4\r\n"
                   b"set e 5 0 1\r\n5\r\ndelete e\r\n" % (now + 500))
        before = client.ask(b"gets a b d\r\n")
        self.assertEqual(before.count(b"VALUE"), 3)
        self.stop()
        time.sleep(1.01)
        self.start("--file", self.file, "-m", "128")
        client = self.connect()
        self.assertEqual(client.ask(b"get c e\r\n"), b"END\r\n")
        self.assertEqual(client.ask(b"gets a b d\r\n"), before)
        left = re.match(rb"ME b exp=(\d+) la=\d cas=2 fetch=no cls=1 size=61\r\n", client.ask(b"me b\r\n"))
        self.assertIn(int(left[1]), range(980, 1000))
        self.assertEqual(client.stats()["heap_state"], "restarted")
        self.assertEqual(client.ask(b"set e 0 0 1\r\n1\r\ngets e\r\n"),
                         b"STORED\r\nVALUE e 0 1 6\r\n1\r\nEND\r\n")
        # A flush that was to happen while nobody was there.
        client.ask(b"flush_all 1\r\n")
        self.stop()
        time.sleep(1.01)
        self.start("--file", self.file)
        self.assertEqual(self.connect().ask(b"get a b d e\r\n"), b"END\r\n")


if __name__ == "__main__":
    unittest.main()
