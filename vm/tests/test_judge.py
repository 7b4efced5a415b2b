# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import unittest

from luovm import judge, ktap, scenario


def observed(expect="pass", statuses=(0,), problems=(), tap=""):
    stage = scenario.Stage(1, "minimal", ["stage1"], "poweroff", "", expect)
    seen = judge.Observed(stage)
    seen.problems = list(problems)
    for number, status in enumerate(statuses):
        case = judge.Case(f"program{number}", 0.0)
        case.status = status
        for line in tap.splitlines():
            case.tap.line(line)
        seen.cases.append(case)
    return seen


class Judge(unittest.TestCase):
    def outcome(self, **seen):
        return judge.result(observed(**seen)).outcome

    def test_pass(self):
        self.assertEqual(self.outcome(), ktap.PASS)

    def test_failures(self):
        for seen in (
            {"statuses": (1,)},
            {"statuses": (0, 139)},
            {"statuses": (None,)},
            {"tap": "not ok 1"},
            {"tap": "1..2\nok 1"},
            {"problems": [("warning", "w")]},
            {"expect": "fail"},
            {"expect": "exit:3", "statuses": (4,)},
            {"expect": "fail", "statuses": (1,), "problems": [("oops", "o")]},
            {"expect": "panic"},
            {"expect": "panic", "problems": [("hang", "h")]},
            {"expect": "warning", "problems": [("warning", "w"), ("oops", "o")]},
            {"expect": "warning", "problems": [("warning", "w")], "statuses": (1,)},
            {"expect": "skip"},
        ):
            with self.subTest(seen):
                self.assertEqual(self.outcome(**seen), ktap.FAIL)

    def test_as_expected(self):
        for seen in (
            {"expect": "fail", "statuses": (1,)},
            {"expect": "fail", "tap": "not ok 1"},
            {"expect": "exit:3", "statuses": (3,)},
            {"expect": "panic", "statuses": (None,), "problems": [("oops", "o"), ("panic", "p")]},
            {"expect": "warning", "problems": [("warning", "w")]},
            {"expect": "skip", "statuses": (77,)},
        ):
            with self.subTest(seen):
                self.assertEqual(self.outcome(**seen), ktap.PASS)

    def test_skip(self):
        self.assertEqual(self.outcome(statuses=(77,)), ktap.SKIP)
        self.assertEqual(self.outcome(statuses=(77, 0)), ktap.PASS)

    def test_a_program_that_kexecs_has_no_status(self):
        seen = observed(statuses=(None,))
        seen.cases[0].left_by_itself = True
        self.assertEqual(judge.result(seen).outcome, ktap.PASS)

    def test_the_signal_is_named(self):
        self.assertIn("signal 11", judge.result(observed(statuses=(139,))).reason)
