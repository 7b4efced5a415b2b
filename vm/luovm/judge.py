# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Decides whether a stage passed, from its findings and from what the scenario expects."""

from . import ktap

SKIP_STATUS = 77
# The guest ends after one of these.
TERMINAL = ("panic", "hang", "timeout", "unexpected-reboot", "unexpected-poweroff", "unexpected-kexec",
            "unexpected-soft-reboot", "lost", "error")
# A guest with one of these may never end its stage. If the stage expects it, the guest ends at once.
LOCKUPS = ("soft-lockup", "stall", "hung-task")
_KEPT_PROBLEMS_OF_A_KIND = 3


class Case:
    """One program of a stage."""

    def __init__(self, name, started):
        self.name = name
        self.started = started
        self.status = None
        self.seconds = None
        self.tap = ktap.Parser()
        # A program that does the kexec, reboot or power off itself returns no status.
        self.left_by_itself = False

    def outcome(self):
        """(outcome, reason)"""
        complaint = self.tap.complaint()
        failed = sum(result.outcome == ktap.FAIL for result in self.tap.results)
        if self.status == SKIP_STATUS:
            return ktap.SKIP, next((r.reason for r in self.tap.results if r.reason), f"exit status {SKIP_STATUS}")
        if self.status is None and not self.left_by_itself:
            return ktap.FAIL, f"{self.name} did not end"
        if self.status:
            text = f"exit status {self.status}"
            if self.status > 128:
                text += f" (signal {self.status - 128})"
            return ktap.FAIL, f"{self.name}: {text}"
        if failed:
            return ktap.FAIL, f"{self.name}: {failed} of its {len(self.tap.results)} tests failed"
        if complaint:
            return ktap.FAIL, f"{self.name}: {complaint}"
        return ktap.PASS, ""

    def result(self):
        outcome, reason = self.outcome()
        result = ktap.Result(self.name, outcome, self.seconds, reason)
        result.children = self.tap.results
        return result


class Observed:
    """The findings and programs of one stage."""

    def __init__(self, stage):
        self.stage = stage
        self.cases = []
        self.problems = []          # (kind, text)
        self.notes = []
        self.seconds = None

    def kinds(self):
        return {kind for kind, _ in self.problems}

    def terminal(self):
        return self.has_expected_lockup() or any(kind in TERMINAL for kind, _ in self.problems)

    def has_expected_lockup(self):
        return self.stage.expect in LOCKUPS and self.stage.expect in self.kinds()

    def add_problem(self, kind, text):
        """Keep the first few of each kind: kernels repeat their reports."""
        if sum(kind == known for known, _ in self.problems) < _KEPT_PROBLEMS_OF_A_KIND:
            self.problems.append((kind, text))

    def skipped(self):
        return bool(self.cases) and all(case.outcome()[0] == ktap.SKIP for case in self.cases)


def _failed_cases(observed):
    return [case for case in observed.cases if case.outcome()[0] == ktap.FAIL]


def _as_expected(observed):
    """None if the stage meets its `expect`, otherwise the reason."""
    expect = observed.stage.expect
    kinds, failed = observed.kinds(), _failed_cases(observed)
    found = "; ".join(f"{kind}: {text}" for kind, text in observed.problems)
    if expect == "pass":
        if found:
            return found
        return "; ".join(case.outcome()[1] for case in failed) or None
    if expect == "fail" or expect.startswith("exit:"):
        if kinds:
            return f"expected {expect}, found {found}"
        if not failed:
            return f"expected {expect}, but every program passed"
        status = int(expect[5:]) if expect.startswith("exit:") else None
        if status is not None and status not in [case.status for case in failed]:
            return f"expected {expect}, found {failed[0].outcome()[1]}"
        return None
    if expect == "skip":
        return None if observed.skipped() and not kinds else f"expected {expect}, found {found or 'no problem'}"
    # One crash often gives lines of several kinds: a panic follows an oops.
    allowed = {"panic": {"oops", "warning"}, "oops": {"warning"}, "hang": set()}.get(expect, set())
    if expect not in kinds:
        return f"expected {expect}, found {found or 'no problem'}"
    if kinds - {expect} - allowed:
        return f"expected only {expect}, found {found}"
    if failed and not observed.terminal():
        return f"found {expect} as expected, but {failed[0].outcome()[1]}"
    return None


def result(observed):
    """The ktap.Result of a stage."""
    stage = observed.stage
    name = f"stage{stage.number}"
    complaint = _as_expected(observed)
    if complaint is None and stage.expect != "pass":
        return ktap.Result(f"{name} (expected: {stage.expect})", ktap.PASS, observed.seconds, notes=observed.notes)
    results = [case.result() for case in observed.cases]
    if len(results) == 1 and results[0].name in (name, "stage"):
        # A stage with a single program needs no second level.
        made = results[0]
        made.name, made.seconds, made.notes = name, observed.seconds, observed.notes
    else:
        made = ktap.Result(name, ktap.PASS, observed.seconds, notes=observed.notes)
        made.children = results
        if observed.skipped():
            made.outcome = ktap.SKIP
    if complaint is not None:
        made.outcome, made.reason = ktap.FAIL, complaint
    return made
