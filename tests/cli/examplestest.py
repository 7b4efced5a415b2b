# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""What the tests of examples/ share: a luod of their own, and what the documents quote."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = os.environ["BUILDDIR"]
SRCDIR = os.environ["SRCDIR"]
EXAMPLES = os.path.join(SRCDIR, "examples")
DOCS = os.path.join(SRCDIR, "docs")
TOOLS = [os.path.join(BUILD, "tools", name) for name in ("luod", "luo-run", "luoctl")]


def program(name):
    return os.path.join(BUILD, "examples", "luo-example-" + name)


def blocks(document, marker):
    """The fenced blocks of a document that a comment announces, as (what it says, text)."""
    with open(os.path.join(DOCS, document), encoding="utf-8") as f:
        text = f.read()
    comment = r"^; (%s)$" if document.endswith(".scd") else r"^<!-- (%s) -->$"
    return re.findall((comment % marker) + r"\n```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class ExamplesTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="luo-cli-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = dict(os.environ, LUO_RUNTIME_DIR=self.directory,
                                PATH=":".join([*TOOLS, os.environ["PATH"]]))
        for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"):
            self.environment.pop(name, None)

    def start_luod(self):
        luod = subprocess.Popen(["luod", "--supervise", "--no-live-update"],
                                env=self.environment, stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(luod.wait, 20)
        self.addCleanup(luod.terminate)
        for _ in range(400):
            if self.run_it("luoctl", "status").returncode == 0:
                return luod
            time.sleep(0.05)
        self.fail("luod does not answer")
        return None

    def kill_luod(self):
        """It dies, and its supervisor starts another one."""
        pid = int([line.split("pid ")[1] for line in
                   self.run_it("luoctl", "status").stdout.splitlines() if "pid " in line][0])
        os.kill(pid, signal.SIGKILL)

    def run_it(self, *command):
        return subprocess.run(command, env=self.environment, text=True, capture_output=True,
                              timeout=60, check=False)

    def output(self, *command):
        p = self.run_it(*command)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        return p.stdout

    def check_quotes(self, document, expected):
        """What the document quotes is what is compiled and run here."""
        quotes = blocks(document, r"examples/\S+")
        self.assertEqual({name for name, _ in quotes}, {"examples/" + name for name in expected})
        for name, text in quotes:
            with open(os.path.join(SRCDIR, name), encoding="utf-8") as f:
                self.assertIn(text, f.read(), name + " in " + document)
