# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""scripts/count and scripts/slowest: from the results of a suite to the table at the end of ./dev test."""

import json
import os
import subprocess
import tempfile
import unittest

_SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_JUNIT = """<?xml version="1.0"?>
<testsuites>
 <testsuite name="simple" tests="3" failures="1" skipped="1" time="12.345"><testcase name="a" time="1"/></testsuite>
 <testsuite name="many" tests="2" failures="0" skipped="0" time="61.000"/>
</testsuites>
"""
_CMOCKA = "[  PASSED  ] 4 test(s).\n[  FAILED  ] 1 test(s), listed below:\n"


class Times(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.times = self.path("times")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)
        return self.path(name)

    def run_script(self, *arguments, **environment):
        return subprocess.run([os.path.join(_SCRIPTS, arguments[0]), *arguments[1:]], capture_output=True, text=True,
                              check=True, env={"PATH": os.environ["PATH"], **environment}).stdout

    def recorded(self):
        with open(self.times, encoding="utf-8") as file:
            return file.read()

    def test_a_junit_file(self):
        counts = self.run_script("count", "luo-vm", self.write("junit.xml", _JUNIT), TIMES=self.times, SUITE="vm")
        self.assertEqual(counts, "3 1 1\n")
        self.assertEqual(self.recorded(), "12.3\tvm\tsimple\n61.0\tvm\tmany\n")

    def test_a_log_of_meson(self):
        tests = [{"name": "heap", "result": "OK", "duration": 0.26, "stdout": ""},
                 {"name": "store", "result": "FAIL", "duration": 70.0, "stdout": _CMOCKA},
                 {"name": "hugetlb", "result": "SKIP", "duration": 0.01, "stdout": ""}]
        log = self.write("testlog.json", "".join(json.dumps(test) + "\n" for test in tests))
        self.assertEqual(self.run_script("count", "meson", log, TIMES=self.times, SUITE="unit"), "5 1 1\n")
        self.assertEqual(self.recorded(), "0.3\tunit\theap\n70.0\tunit\tstore\n0.0\tunit\thugetlb\n")

    def test_without_a_file_for_times(self):
        self.assertEqual(self.run_script("count", "luo-vm", self.write("junit.xml", _JUNIT)), "3 1 1\n")
        self.assertFalse(os.path.exists(self.times))

    def test_the_slowest_come_first(self):
        lines = [f"{n}.5\tunit\ttest-{n}\n" for n in range(1, 12)] + ["100.0\tvm\ta name of words\n", "11.5\tvm\tlater\n"]
        table = self.run_script("slowest", self.write("times", "".join(lines))).splitlines()
        self.assertEqual(len(table), 11)
        self.assertEqual(table[1].split(), "a name of words vm 100.0 s".split())
        self.assertEqual([line.split()[0] for line in table[2:]],
                         ["test-11", "later", *(f"test-{n}" for n in range(10, 3, -1))])
        self.assertEqual(len(self.run_script("slowest", self.times, "2").splitlines()), 3)


if __name__ == "__main__":
    unittest.main()
