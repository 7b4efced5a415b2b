# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the demo, in order: what the guest calls them, and what a person is told."""


class Phase:
    def __init__(self, boot, name, text, blackout=False, needs=""):
        self.boot = boot
        self.name = name
        self.text = text            # with {release} where the kernel's is wanted
        self.blackout = blackout
        self.needs = needs          # a short word for the timeline


PHASES = [
    Phase(0, "prepare", "the guest is put together"),
    Phase(1, "boot", "Linux {release} boots"),
    Phase(1, "start", "luod and three services start"),
    Phase(1, "work", "the services work"),
    Phase(1, "load", "the next kernel is loaded, the services still run"),
    Phase(1, "warm-up", "dry run of the commit, the services still run"),
    Phase(1, "checksums", "sha256 of all memory that the services have open"),
    Phase(1, "stop", "the services are stopped", blackout=True),
    Phase(1, "commit", "luod commits: the kernel preserves every memfd", blackout=True),
    Phase(1, "kexec", "kexec: this kernel ends", blackout=True),
    Phase(2, "boot", "Linux {release} boots", blackout=True),
    Phase(2, "restore", "luod starts, and has what was preserved", blackout=True),
    Phase(2, "start", "the services start, each with its memory", blackout=True),
    Phase(2, "up", "the services are asked what they know"),
    Phase(2, "checksums", "sha256 of all memory, again"),
    Phase(2, "work", "the services go on working"),
]
END = (2, "done")


def find(boot, name):
    return next((p for p in PHASES if (p.boot, p.name) == (boot, name)), None)
