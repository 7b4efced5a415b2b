# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import unittest
import xml.etree.ElementTree as ElementTree

from luovm import junit, ktap


def parsed(text):
    parser = ktap.Parser()
    for line in text.splitlines():
        parser.line(line)
    return parser


class Parse(unittest.TestCase):
    def test_results(self):
        parser = parsed("1..4\nok 1 - one\nnot ok 2 two\nok 3 # SKIP no device\nnot ok 4 - later # TODO\nnoise\nokay\n")
        self.assertEqual([(r.name, r.outcome, r.reason) for r in parser.results], [
            ("one", ktap.PASS, ""), ("two", ktap.FAIL, ""), ("test 3", ktap.SKIP, "no device"), ("later", ktap.SKIP, "")])
        self.assertIsNone(parser.complaint())

    def test_bare(self):
        self.assertEqual([(r.name, r.outcome) for r in parsed("ok\nnot ok\n").results],
                         [("test 1", ktap.PASS), ("test 2", ktap.FAIL)])

    def test_nested_lines_are_summed_up_by_their_parent(self):
        self.assertEqual(len(parsed("    not ok 1 - inner\nok 1 - outer\n").results), 1)

    def test_plan_not_kept(self):
        self.assertIn("the plan has 3 tests, and 1 reported a result", parsed("1..3\nok 1\n").complaint())

    def test_bail_out(self):
        self.assertIn("Bail out!", parsed("ok 1\nBail out! no memory\n").complaint())


def tree():
    top = ktap.Result("scenario", ktap.FAIL, 2.5, notes=["logs: here"])
    stage = ktap.Result("stage1", ktap.FAIL, 1.0, "panic: bad\x1b things", ["Linux 7.2"])
    stage.children = [ktap.Result("one # hash"), ktap.Result("two", ktap.SKIP, reason="why")]
    top.children = [stage, ktap.Result("stage2", ktap.SKIP, reason="not reached")]
    return top


class Write(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(ktap.lines(tree(), 1), [
            "    KTAP version 1",
            "    1..2",
            "        KTAP version 1",
            "        1..2",
            "        ok 1 - one \\# hash",
            "        ok 2 - two # SKIP why",
            "    # Linux 7.2",
            "    # panic: bad\x1b things",
            "    not ok 1 - stage1",
            "    ok 2 - stage2 # SKIP not reached",
            "# logs: here",
            "not ok 1 - scenario",
        ])

    def test_a_failure_without_failed_subtests_counts(self):
        outcomes = sorted(leaf.outcome for leaf in tree().leaves())
        self.assertEqual(outcomes, ["failed", "passed", "skipped", "skipped"])

    def test_junit(self):
        suite = ElementTree.fromstring(junit.document([tree()])).find("testsuite")
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")), ("4", "1", "2"))
        failed = [case.get("name") for case in suite if case.find("failure") is not None]
        self.assertEqual(failed, ["stage1"])
        self.assertEqual(suite.find("testcase/failure").get("message"), "panic: bad? things")
