# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Test results: read from the TAP output of a stage, and written as KTAP."""

import re

PASS, FAIL, SKIP = "passed", "failed", "skipped"

_RESULT = re.compile(r"^(not )?ok\b(?: (\d+))?(?:[ -]+([^#]*?))?\s*(?:#\s*(\S+)\s*(.*))?$")
_PLAN = re.compile(r"^1\.\.(\d+)\b")


class Result:
    """One test: its subtests, why it failed, and how long it took."""

    def __init__(self, name, outcome=PASS, seconds=None, reason="", notes=()):
        self.name = name
        self.outcome = outcome
        self.seconds = seconds
        self.reason = reason
        self.notes = list(notes)
        self.children = []

    def leaves(self):
        if not self.children:
            return [self]
        found = [leaf for child in self.children for leaf in child.leaves()]
        # A failure while all subtests passed, such as a crash after the last one, counts as a failure, too.
        if self.outcome == FAIL and not any(leaf.outcome == FAIL for leaf in found):
            found.append(self)
        return found


class Parser:
    """Collects the TAP in the output of one program, line by line, and ignores all other lines.

    Only lines without indentation count, since they include the results of their nested lines.
    """

    def __init__(self):
        self.results = []
        self.plan = None
        self.bail = None

    def line(self, text):
        if text.startswith("Bail out!"):
            self.bail = text
            return
        plan = _PLAN.match(text)
        if plan:
            self.plan = int(plan[1])
            return
        match = _RESULT.match(text)
        if not match:
            return
        failed, number, name, directive, reason = match.groups()
        name = (name or "").strip() or f"test {number or len(self.results) + 1}"
        directive = (directive or "").upper()
        outcome = FAIL if failed else PASS
        if directive.startswith("SKIP"):
            outcome = SKIP
        elif directive.startswith("TODO") and failed:
            outcome = SKIP
        self.results.append(Result(name, outcome, reason=(reason or "").strip()))

    def complaint(self):
        """What is wrong with the output as a whole, or None."""
        if self.bail:
            return self.bail
        if self.plan is not None and self.plan != len(self.results):
            return f"the plan has {self.plan} tests, and {len(self.results)} reported a result"
        return None


def _clean(text):
    return text.replace("#", "\\#").replace("\n", " ")


def _line(result, number):
    text = f"{'not ok' if result.outcome == FAIL else 'ok'} {number} - {_clean(result.name)}"
    if result.outcome == SKIP:
        text += f" # SKIP {result.reason}".rstrip()
    return text


def lines(result, number, indent=0):
    """The KTAP lines of a result and its children; `number` is its position in its parent."""
    space = " " * indent
    out = []
    if result.children:
        out.append(f"{space}    KTAP version 1")
        out.append(f"{space}    1..{len(result.children)}")
        for position, child in enumerate(result.children, 1):
            out += lines(child, position, indent + 4)
    for note in result.notes + ([result.reason] if result.outcome == FAIL and result.reason else []):
        out += [f"{space}# {part}" for part in note.splitlines()]
    out.append(space + _line(result, number))
    return out
