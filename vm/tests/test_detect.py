# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import unittest

from luovm import detect


class Kernel(unittest.TestCase):
    def test_trouble(self):
        for line, kind in (
            ("[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs", "panic"),
            ("Kernel panic - not syncing: sysrq triggered crash", "panic"),
            ("[    1.2] BUG: kernel NULL pointer dereference, address: 0000000000000000", "oops"),
            ("[    1.2] Oops: 0002 [#1] PREEMPT SMP NOPTI", "oops"),
            ("[    1.2][  T123] kernel BUG at drivers/misc/lkdtm/bugs.c:105!", "oops"),
            ("<4>[    1.2] general protection fault, probably for non-canonical address", "oops"),
            ("[    1.2] BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2", "oops"),
            ("[    1.2] UBSAN: array-index-out-of-bounds in a.c:1:2", "oops"),
            ("[    1.2] WARNING: CPU: 1 PID: 52 at mm/memfd_luo.c:12 f+0x1/0x2", "warning"),
            ("[    1.2] WARNING: drivers/misc/lkdtm/bugs.c:112 at lkdtm_WARNING+0x9/0x10, CPU#0: sh/60", "warning"),
            ("[    1.2] WARNING: possible circular locking dependency detected", "warning"),
            ("[    1.2] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:60]", "soft-lockup"),
            ("[    1.2] rcu: INFO: rcu_sched self-detected stall on CPU", "stall"),
            ("[    1.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "stall"),
            ("[    1.2] INFO: task sh:60 blocked for more than 3 seconds.", "hung-task"),
        ):
            with self.subTest(line):
                found = detect.kernel_line(line)
                self.assertIsNotNone(found)
                self.assertEqual(found[0], kind)
                self.assertIn(found[1], line)

    def test_no_trouble(self):
        for line in (
            "[    0.000000] Linux version 7.2.12-luo (luo-vm@luo-vm)",
            "[    0.0] Command line: console=ttyS0 panic=-1 oops=panic",
            "[    0.0] rcu: Hierarchical RCU implementation.",
            "[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
            "[    0.1] x86/mm: Checked W+X mappings: passed, no W+X pages found.",
            "[    1.2] reboot: Power down",
            "[    1.2] debug: BUG: is a word",
            "",
        ):
            with self.subTest(line):
                self.assertIsNone(detect.kernel_line(line))

    def test_first_line_of_a_boot(self):
        self.assertTrue(detect.starts_a_boot("[    0.000000] Linux version 7.3.4-luo (a@b)"))
        self.assertTrue(detect.starts_a_boot("Linux version 7.3.4-luo (a@b)"))
        self.assertFalse(detect.starts_a_boot("[    1.0] test: Linux version is 7.3"))


class Output(unittest.TestCase):
    def test_reports(self):
        for line in (
            "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
            "==12==ERROR: LeakSanitizer: detected memory leaks",
            "SUMMARY: UndefinedBehaviorSanitizer: undefined-behavior a.c:1:2",
            "../a.c:1:2: runtime error: signed integer overflow",
            "==12== Invalid read of size 8",
            "==12== ERROR SUMMARY: 3 errors from 3 contexts",
        ):
            with self.subTest(line):
                self.assertEqual(detect.output_line(line)[0], "sanitizer")

    def test_other_output(self):
        for line in ("ok 1 - no runtime errors", "==12== ERROR SUMMARY: 0 errors from 0 contexts", ""):
            with self.subTest(line):
                self.assertIsNone(detect.output_line(line))
