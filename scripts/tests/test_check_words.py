# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""scripts/check-words: what it rejects, where it says that it is, and what it leaves alone."""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest

from tests import load

check_words = load.script("check-words")


class CheckWords(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        subprocess.run(["git", "init", "-q", self.top], check=True)

    def write(self, path, text):
        path = os.path.join(self.top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_it(self, path, text, *options):
        """(exit status, output) with only this file in the tree."""
        path = self.write(path, text)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            status = check_words.main(["--top", self.top, *options])
        os.unlink(path)
        return status, output.getvalue()

    def rejects(self, path, text, line, word):
        status, output = self.run_it(path, text)
        self.assertEqual(status, 1, f"accepted: {text!r}")
        self.assertIn(f'{path}:{line}: "{word}": write ', output)
        self.assertEqual(output.count("\n"), 1, output)

    def accepts(self, path, text):
        status, output = self.run_it(path, text)
        self.assertEqual((status, output), (0, ""))

    def test_words(self):
        for text, word in (
                ("Whoever holds the file waits.", "whoever"),
                ("It is held for ever.", "for ever"),
                ("Nobody has it.", "nobody"),
                ("an fd of somebody", "somebody"),
                ("the kernel who wrote it", "kernel who"),
                ("those who wait", "those who"),
                ("He may try again.", "he"),
                ("fds that cannot be had", "be had"),
                ("what shall it do?", "shall"),
                ("not at the begin of a page", "the begin"),
                ("No commit stands.", "stands"),
                ("a header may stand before it", "stand"),
                ("It goes along.", "goes along"),
                ("what would become of it", "what would become of"),
                ("it is no text", "is no t"),
                ("names that are no names of services", "are no n"),
                ("lines that make no sense", "make no sense"),
                ("next in the row", "in the row"),
                ("of the enough that there may be", "of the enough"),
                ("Held: 1 fds from there", "1 fds"),
                ("three file(s)", "file(s)"),
                ("the behaviour of it", "behaviour"),
                ("under a licence", "licence"),
                ("free neighbours", "neighbour"),
                ("was cancelled", "cancelled"),
                ("is uninitialised", "uninitialised"),
                ("it recognises it", "recognises"),
        ):
            with self.subTest(text=text):
                status, output = self.run_it("docs/x.md", f"# Title\n\n{text}\n")
                self.assertEqual(status, 1, f"accepted: {text!r}")
                self.assertIn("docs/x.md:3: \"", output)
                self.assertIn(word, output.lower())

    def test_good_sentences(self):
        for text in (
                "There is no such unit, and there are no others.",
                "it is no longer needed", "The answer is no.",
                "NULL stands for the default; a fake can stand in for it, or stand in.",
                "a stand-alone program, understands standards",
                "run as the user nobody:nogroup", 'chown "nobody"', "nobody user",
                "1 fd, 11 fds, 0.1 files, 2^32 - 1 pages, 1 to 255 bytes",
                "begin of its own accord", "names that begin with a dot",
                "promise, otherwise, exercise, raise, precise, supervise, realistic, organism",
                "The maintainer who merges it; who is calling?",
                "the, there, then, here, this, history, shallow, marshals",
        ):
            with self.subTest(text=text):
                self.accepts("docs/x.md", text + "\n")

    def test_over_a_line_break(self):
        self.rejects("a.c", "/* SPDX */\n/*\n * It is kept for\n * ever, and more.\n */\n", 3, "for ever")
        self.rejects("a.md", "* it is kept for\n  ever\n", 1, "for ever")
        self.rejects("run", "#!/bin/sh\n# It is kept for\n# ever.\n", 2, "for ever")
        self.accepts("a.md", "a list for\n\never\n")

    def test_c_code_is_not_text(self):
        self.accepts("a.c", "int shall(int he) { return nobody(he, 'h') == 1; }\n")
        self.rejects("a.c", 'int a(void)\n{\n\treturn puts("\\nhe is");\n}\n', 3, "he")
        self.rejects("a.h", "int a; // he\n", 1, "he")

    def test_python_code_is_not_text(self):
        self.accepts("a.py", "def he(nobody):\n    return nobody\n")
        self.rejects("a.py", 'x = 1\nprint(f"he {x}")\n', 2, "he")
        self.rejects("tool", "#!/usr/bin/env python3\nhe = 1  # he\n", 2, "he")

    def test_other_files_are_text(self):
        for path in ("a.scd", "a.service", "meson.build", "a.toml", "a.in", "stage1"):
            with self.subTest(path=path):
                self.rejects(path, "x\n# he\n", 2, "he")

    def test_exempt(self):
        for path in ("LICENSES/x.txt", "tests/fixtures/x.json", "tests/fuzz/corpus/x/1", "scripts/words",
                     "scripts/tests/test_check_words.py"):
            with self.subTest(path=path):
                self.accepts(path, "he\n")
        self.accepts("docs/a.md", "<!-- words: off -->\nhe\n<!-- words: on -->\n")
        self.rejects("docs/a.md", "<!-- words: off -->\nhe\n<!-- words: on -->\nhe\n", 4, "he")
        self.rejects("docs/a.sh", "# <!-- words: off -->\n# he\n# <!-- words: on -->\n", 2, "he")
        self.accepts("image", "he \0 he")

    def torn(self, code):
        status, output = self.run_it("a.c", code)
        self.assertIn(status, (0, 1))
        if status:
            self.assertRegex(output, r'^a\.c:1: \.\.\..*" ".*\.\.\.: write the message as one literal on one line')
        return status == 1

    def test_torn_messages(self):
        self.assertTrue(self.torn('puts("the commit "\n     "failed");\n'))
        self.assertTrue(self.torn('puts("the commit"\n     " failed");\n'))
        self.assertTrue(self.torn('puts("%" PRIu64 " files were "\n     "lost");\n'))
        self.assertFalse(self.torn('puts("the commit failed");\n'))
        self.assertFalse(self.torn('puts("usage: x\\n"\n     "  -h  this help\\n");\n'))
        self.assertFalse(self.torn('puts("page %" PRIu64\n     " is in no list");\n'))
        self.assertFalse(self.torn('puts("a b", \n     "c d");\n'))
        self.assertFalse(self.torn('sscanf(s, "%d %*u "\n     "%llu", &a);\n'))
        self.assertFalse(self.torn('parse("{\\"name\\": \\"one two\\", "\n      "\\"x\\": 1}");\n'))
        self.assertFalse(self.torn('path = "/etc/systemd:"\n       "/run/systemd";\n'))

    def test_stat_and_paths(self):
        self.write("a/b/c/x.md", "he\n\nhe\n")
        status, output = self.run_it("y.md", "he\n", "--stat")
        self.assertEqual((status, output), (1, "    1 .\n    2 a/b\n"))
        status, output = self.run_it("y.md", "he\n", "y.md")
        self.assertEqual((status, output.count("\n")), (1, 1))
        self.assertEqual(self.run_it("z.md", "it\n", "z.md"), (0, ""))


if __name__ == "__main__":
    unittest.main()
