# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Recognizes problems in the output of a kernel or a program."""

import re

# The first pattern that matches decides.
_KERNEL = [(kind, re.compile(pattern)) for kind, pattern in (
    ("panic", r"Kernel panic - not syncing: .*"),
    ("soft-lockup", r"watchdog: BUG: soft lockup.*|(watchdog: )?(Watchdog|BUG).*hard LOCKUP.*"),
    ("stall", r"rcu: INFO: \S+ (self-)?detected( expedited)? stalls?.*|BUG: workqueue lockup.*"),
    ("hung-task", r"INFO: task .* blocked (for more than|in I/O wait for more than) .*"),
    ("oops", r"(BUG: .*|Oops: .*|kernel BUG at .*|general protection fault.*|"
             r"UBSAN: .*|KASAN: .*|KFENCE: .*|Internal error: .*|unchecked MSR access error.*)"),
    ("warning", r"WARNING: .*|INFO: possible recursive locking.*|INFO: suspicious RCU usage.*|"
                r"(refcount_t: .*)"),
)]
# With or without a time, a level, and a caller.
_PREFIX = re.compile(r"^(<\d+>)?(\[ *\d+\.\d+\])?(\[ *[TC]\d+\])? *")

_SANITIZER = re.compile(
    r"==\d+==\s*ERROR: \w+Sanitizer.*|SUMMARY: \w+Sanitizer.*|.*: runtime error: .*|"
    r"==\d+==\s*(Invalid (read|write|free).*|ERROR SUMMARY: [1-9].*)")

_FIRST_LINE = re.compile(r"^(\[ *\d+\.\d+\])?(\[ *[TC]\d+\])? *Linux version ")


def kernel_line(line):
    """(kind, text) if this line of the console reports a problem of the kernel, otherwise None."""
    text = _PREFIX.sub("", line)
    for kind, pattern in _KERNEL:
        match = pattern.match(text)
        if match:
            return kind, match[0].strip()
    return None


def output_line(line):
    """(kind, text) if this line of a program is a report of a sanitizer or valgrind, otherwise None."""
    match = _SANITIZER.match(line.strip())
    return ("sanitizer", match[0]) if match else None


def starts_a_boot(line):
    """Whether this is the first line of a kernel."""
    return bool(_FIRST_LINE.match(line))
