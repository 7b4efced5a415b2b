# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""JUnit XML, the format of test results that CI systems read."""

import re
import xml.etree.ElementTree as ElementTree

from . import ktap

# XML 1.0 does not allow these, not even escaped. Terminals and crashing programs print them.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text):
    return _FORBIDDEN.sub("?", text)


def _leaves(result, prefix):
    """(name, result) of each test without subtests, and of each that failed while its subtests passed."""
    if not result.children:
        yield prefix, result
        return
    failed_inside = False
    for child in result.children:
        for name, leaf in _leaves(child, f"{prefix}: {child.name}"):
            failed_inside = failed_inside or leaf.outcome == ktap.FAIL
            yield name, leaf
    if result.outcome == ktap.FAIL and not failed_inside:
        yield prefix, result


def document(results):
    """The bytes of a JUnit file with one suite per result (a scenario)."""
    root = ElementTree.Element("testsuites")
    for result in results:
        cases = list(_leaves(result, ""))
        suite = ElementTree.SubElement(
            root, "testsuite", name=_clean(result.name), tests=str(len(cases)),
            failures=str(sum(leaf.outcome == ktap.FAIL for _, leaf in cases)),
            skipped=str(sum(leaf.outcome == ktap.SKIP for _, leaf in cases)),
            time=f"{result.seconds or 0:.3f}")
        for name, leaf in cases:
            case = ElementTree.SubElement(
                suite, "testcase", classname=_clean(result.name),
                name=_clean(name.removeprefix(": ") or result.name), time=f"{leaf.seconds or 0:.3f}")
            if leaf.outcome == ktap.FAIL:
                failure = ElementTree.SubElement(case, "failure", message=_clean(leaf.reason or "not ok"))
                failure.text = _clean("\n".join(leaf.notes))
            elif leaf.outcome == ktap.SKIP:
                ElementTree.SubElement(case, "skipped", message=_clean(leaf.reason))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
