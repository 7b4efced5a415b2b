# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The programs of examples/ that have a heap, and what docs/heap.md tells about them."""

import os
import random
import re
import signal
import subprocess
import time
import unittest

from examplestest import EXAMPLES, SRCDIR, ExamplesTest, blocks, program

STARTED = re.compile(r"([a-z-]+): start (\d+) since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d), "
                     r"kernel updates: (\d+), count: (\d+)\n")

# What is another at each run, and so in the guide.
VARIES = [(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"), (r"Linux \S+", "Linux RELEASE"),
          (r"count: \d\d+", "count: N"), (r"\bprocess \d+", "process PID"),
          (r"(?m)^( *Id): \w+", r"\1: ID"), (r"\d+\w+ ago", "AGE ago"),
          (r"[\d.]+ [KM]iB", "SIZE"), (r"\(\d+ bytes\)", "(N bytes)"),
          (r"\b0x\w+$", "OFFSET"), (r"(?m)^( *\d{8}  ).*", r"\1BYTES")]


def stable(text):
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text


class HeapExamples(ExamplesTest):
    def counter(self, name="heap-counter"):
        return ["luo-run", "--unit", "counter", "--restart-safe", "--", program(name)]

    def check_start(self, text, state, start, count):
        match = STARTED.match(text)
        self.assertTrue(match, text)
        self.assertEqual(match.group(1, 2, 4, 5), (state, str(start), "0", str(count)))
        return match.group(3)

    def run_and_kill(self, *command):
        with subprocess.Popen(command, env=self.environment, text=True,
                              stdout=subprocess.PIPE) as p:
            line = p.stdout.readline()
            time.sleep(0.1)
            p.kill()
        self.assertEqual(p.returncode, -signal.SIGKILL)
        return line

    def test_before(self):
        for _ in range(2):
            self.assertEqual(self.output(program("heap-counter-0"), "3"), "start 1, count: 0\n")

    def test_counter(self):
        self.start_luod()
        since = self.check_start(self.output(*self.counter(), "3"), "new", 1, 0)
        self.assertEqual(self.check_start(self.output(*self.counter(), "2"), "restarted", 2, 3),
                         since)
        self.check_start(self.run_and_kill(*self.counter()), "restarted", 3, 5)
        self.check_start(self.output(*self.counter(), "4"), "restarted", 4, 6)
        self.kill_luod()
        self.check_start(self.output(*self.counter(), "0"), "restarted", 5, 10)
        listed = self.output("luoctl", "list", "counter", "--no-legend")
        self.assertEqual(listed.split()[:4], ["counter", "counter", "stored", "memfd"])
        self.output("luoctl", "drop", "counter", "--yes")
        self.check_start(self.output(*self.counter(), "0"), "new", 1, 0)

    def test_counter_without_luod(self):
        for _ in range(2):
            self.check_start(self.output(program("heap-counter"), "2"), "new", 1, 0)

    def test_one_owner(self):
        self.start_luod()
        with subprocess.Popen(self.counter(), env=self.environment, text=True,
                              stdout=subprocess.PIPE) as p:
            self.addCleanup(p.kill)
            self.check_start(p.stdout.readline(), "new", 1, 0)
            second = self.run_it(*self.counter(), "1")
            self.assertEqual((second.returncode, second.stdout), (1, ""))
            self.assertRegex(second.stderr, "^heap-counter: .*%d.*\n$" % p.pid)
            p.kill()
        self.check_start(self.output(*self.counter(), "0"), "restarted", 2, 1)

    def test_upgrade(self):
        self.start_luod()
        self.output(*self.counter(), "7")
        for start, count in (2, 7), (3, 9):
            text = self.output(*self.counter("heap-counter-2"), "2")
            self.check_start(text, "restarted", start, count)
            self.assertRegex(text.split("\n", 1)[1],
                             r"^(  20\S+ \S+, Linux %s\n){%d}$" % (re.escape(os.uname().release),
                                                                   start - 1))
        old = self.run_it(*self.counter(), "1")
        self.assertEqual((old.returncode, old.stdout), (1, ""))
        self.assertRegex(old.stderr, "^heap-counter: .*version 2.*\n$")
        self.check_start(self.output(*self.counter("heap-counter-2"), "0"), "restarted", 4, 11)

    def book(self, *words):
        return self.run_it(program("heap-book"), os.path.join(self.directory, "book"), *words)

    def check_book(self, persons):
        self.assertEqual(self.book().stdout, "%d persons\n" % len(persons) + "".join(
            "  %-8s %s\n" % (name, persons[name]) for name in sorted(persons)))

    def test_book(self):
        self.check_book({})
        for name in "m", "a", "z", "k", "b":
            self.assertEqual(self.book("set", name, name + "1").returncode, 0)
        self.assertEqual(self.book("set", "k", "another").returncode, 0)
        self.assertEqual(self.book("rename", "a", "y").returncode, 0)
        self.assertEqual(self.book("remove", "z").returncode, 0)
        persons = {"b": "b1", "k": "another", "m": "m1", "y": "a1"}
        self.check_book(persons)
        for words, problem in ((("rename", "a", "c"), "nobody of that name"),
                               (("rename", "b", "k"), "somebody of that name"),
                               (("remove", "a"), "nobody of that name"), (("remove",), "set NAME")):
            p = self.book(*words)
            self.assertEqual((p.returncode, p.stdout), (1, ""))
            self.assertIn(problem, p.stderr)
        self.check_book(persons)

    def test_book_killed(self):
        """Whenever it is killed: sorted, counted, and every number is one that was set."""
        numbers = {}
        before = time.monotonic()
        self.check_book({})
        takes = time.monotonic() - before
        for i in range(60):
            name = "n%02d" % random.randrange(20)
            words = [["set", name, str(i)], ["rename", name, "n%02d" % random.randrange(20)],
                     ["remove", name]][i % 3 if i > 20 else 0]
            if words[0] == "set":
                numbers[str(i)] = name
            with subprocess.Popen([program("heap-book"), os.path.join(self.directory, "book"),
                                   *words], stderr=subprocess.DEVNULL) as p:
                time.sleep(random.random() * takes * 1.3)
                p.kill()
            lines = self.book().stdout.splitlines()
            self.assertEqual(lines[0], "%d persons" % (len(lines) - 1), words)
            names = [line.split()[0] for line in lines[1:]]
            self.assertEqual(names, sorted(set(names)), words)
            for line in lines[1:]:
                self.assertIn(line.split()[1], numbers)

    def test_queue(self):
        path = os.path.join(self.directory, "queue")
        for text in "one", "two", "three":
            self.assertEqual(self.output(program("heap-queue"), path, "put", text), "")
        for text in "one", "two":
            self.assertEqual(self.output(program("heap-queue"), path, "take"), text + "\n")
        self.output(program("heap-queue"), path, "put", "four")
        for text in "three", "four", "the queue is empty", "the queue is empty":
            self.assertEqual(self.output(program("heap-queue"), path, "take"), text + "\n")

    def test_list(self):
        self.start_luod()
        for n in 1, 2, 3:
            text = self.output("luo-run", "--unit", "list", "--", program("heap-list"))
            self.assertEqual(len(text.split()), n)


class Guide(ExamplesTest):
    def test_quotes(self):
        self.check_quotes("heap.md", [
            "heap-counter-0.c", "heap-counter.c", "heap-counter-2.c", "heap-book.c",
            "heap-queue.c", "heap-counter.service"])
        self.check_quotes("luo-heap.3.scd", ["heap-list.c"])

    def test_unit_file(self):
        """The one that is in the guide is the one that a systemd runs, in tests/vm/systemd-heap."""
        tried = "tests/vm/systemd-heap/overlay/etc/systemd/system/heap-counter.service"
        with open(os.path.join(SRCDIR, tried), encoding="ascii") as run, \
                open(os.path.join(EXAMPLES, "heap-counter.service"), encoding="ascii") as shown:
            self.assertEqual(run.read(), shown.read())

    def test_commands(self):
        """The commands of the guide are run, one after the other, and say what is in it."""
        bin_directory = os.path.join(self.directory, "bin")
        os.mkdir(bin_directory)
        for name in ("heap-counter-0", "heap-counter", "heap-counter-2", "heap-book",
                     "heap-queue"):
            os.symlink(program(name), os.path.join(bin_directory, name))
        self.environment["PATH"] = bin_directory + ":" + self.environment["PATH"]
        self.start_luod()
        n = 0
        for _, text in blocks("heap.md", "run"):
            for step in re.split(r"(?m)^\$ ", text)[1:]:
                command, expected = step.split("\n", 1)
                p = subprocess.run(["bash", "-c", command.replace("/dev/shm", self.directory)],
                                   env=self.environment, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, timeout=60, check=False)
                said = p.stdout.replace(self.directory, "/dev/shm")
                self.assertEqual(stable(said), stable(expected), command)
                n += 1
        self.assertGreater(n, 15)


if __name__ == "__main__":
    unittest.main()
