# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The life of the process of a guest, with another program in the place of QEMU."""

import threading
import unittest
from unittest import mock

from luovm import qemu


class ProcessTest(unittest.TestCase):
    def start(self, *arguments):
        with mock.patch.object(qemu, "command", lambda *_: list(arguments)):
            machine = qemu.Machine(qemu.Options(), "kernel", [], "")
        self.addCleanup(machine.close)
        return machine

    def test_kill_beside_wait(self):
        """A kill at the moment when the process ends does not take its status away from wait()."""
        for _ in range(60):
            machine = self.start("sh", "-c", "exit 0")
            killers = [threading.Thread(target=machine.kill) for _ in range(3)]
            for killer in killers:
                killer.start()
            self.assertEqual(machine.wait(), "")
            for killer in killers:
                killer.join()
            machine.kill()
            machine.close()

    def test_message_of_a_failure(self):
        machine = self.start("sh", "-c", "echo cannot >&2; exit 3")
        self.assertEqual(machine.wait(), "cannot")


if __name__ == "__main__":
    unittest.main()
