# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl out of memory: a request that lacks a member is not sent, and says more than was asked for."""

import unittest

from luoctltest import LuoctlTest

# $LUO_FAIL_JSON_AT of luoctl-fake: the N-th thing that json-c should allocate fails.
REQUESTS = [
    (["drop", "--yes", "a.service", "ram"], "io.luo.Drop", {"unit": "a.service", "name": "ram"}),
    (["preserve"], "io.luo.Commit", {"dryRun": True}),
    (["commit", "--session", "x"], "io.luo.Commit", {"sessionName": "x"}),
    (["claim", "a.service", "--name", "ram", "--unit", "b.service"], "io.luo.Claim",
     {"unit": "a.service", "name": "ram", "to": "b.service"}),
    (["list", "a.service"], "io.luo.ListEntries", {"unit": "a.service"}),
]


class Memory(LuoctlTest):
    def test_requests(self):
        for arguments, method, whole in REQUESTS:
            with self.subTest(arguments=arguments):
                failures = self.fail_at_each(arguments, method, whole)
                # The object, and each of its members.
                self.assertGreater(failures, len(whole))

    def fail_at_each(self, arguments, method, whole):
        """How many failures kept the request from being sent. All of what is sent is whole."""
        prevented = 0
        for n in range(1, 40):
            self.luod.calls.clear()
            self.environment["LUO_FAIL_JSON_AT"] = str(n)
            done = self.luoctl(*arguments)
            sent = [parameters for name, parameters in self.luod.calls if name == method]
            if not sent:
                prevented += 1
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, "out of memory|Cannot allocate memory")
            for parameters in sent:
                self.assertEqual({key: parameters.get(key) for key in whole}, whole)
        return prevented


if __name__ == "__main__":
    unittest.main()
