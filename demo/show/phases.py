# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The phases of the demos in order: their names in the guest, and their texts on the terminal."""

import re


class Phase:
    """One phase. With `line`, a matching line of the log marks its start; otherwise the guest marks it."""

    def __init__(self, boot, name, text, blackout=False, line=None, short=""):
        self.boot = boot
        self.name = name
        self.text = text            # {release} is the release of the kernel
        self.blackout = blackout
        self.line = line and re.compile(line)
        self.short = short          # for the table of the blackout


class Plan:
    """The phases of one demo."""

    def __init__(self, scenario, systemd, phases):
        self.scenario = scenario    # its folder, next to this one
        self.systemd = systemd      # whether systemd or luod keeps the memory
        self.phases = phases
        self.end = (2, "done")

    def find(self, boot, name):
        return next((p for p in self.phases if (p.boot, p.name) == (boot, name)), None)

    def of_line(self, boot, line, current=None):
        """The phase that starts with this line, if it comes after the current one."""
        later = self.phases[self.phases.index(current) + 1:] if current else self.phases
        return next((p for p in later if p.boot == boot and p.line and p.line.search(line)), None)


LUOD = Plan("scenario", False, [
    Phase(0, "prepare", "the guest is prepared"),
    Phase(1, "boot", "Linux {release} boots"),
    Phase(1, "start", "luod and three services start"),
    Phase(1, "work", "the services work"),
    Phase(1, "load", "the next kernel is loaded while the services run"),
    Phase(1, "warm-up", "dry run of the commit while the services run"),
    Phase(1, "checksums", "sha256 of all memory of the services"),
    Phase(1, "stop", "the services are stopped", blackout=True, short="the services get SIGTERM and end"),
    Phase(1, "commit", "luod commits: the kernel preserves every memfd", blackout=True,
          short="the kernel preserves every memfd"),
    Phase(1, "kexec", "kexec: this kernel ends", blackout=True, short="the old kernel ends"),
    Phase(2, "boot", "Linux {release} boots", blackout=True, short="the new kernel boots"),
    Phase(2, "restore", "luod starts and retrieves the memory", blackout=True,
          short="luod starts and retrieves the memory"),
    Phase(2, "start", "the services start, each with its memory", blackout=True,
          short="until each service has answered"),
    Phase(2, "up", "the services report their state"),
    Phase(2, "checksums", "sha256 of all memory, again"),
    Phase(2, "work", "the services continue their work"),
])

SYSTEMD = Plan("scenario-systemd", True, [
    Phase(0, "prepare", "the guest is prepared (the first time with an image)"),
    Phase(1, "boot", "Linux {release} and systemd of Debian boot"),
    Phase(1, "start", "luoctl enable; three services of systemd start"),
    Phase(1, "work", "the services work"),
    Phase(1, "load", "the next kernel is loaded while the services run"),
    Phase(1, "look", "luoctl harvest --dry-run: what would survive"),
    Phase(1, "checksums", "sha256 of all memory of the services"),
    Phase(1, "stop", "systemctl kexec: systemd stops everything", blackout=True, short="systemd stops everything"),
    Phase(1, "harvest", "luo-harvest takes the fd stores from PID 1", blackout=True,
          line=r"systemd\[1\]: Starting luo-harvest\.service", short="luod gets the fd stores of PID 1"),
    Phase(1, "kill", "systemd-shutdown ends the rest and unmounts", blackout=True,
          line=r"systemd\[1\]: Shutting down\.", short="the rest ends, file systems are unmounted"),
    Phase(1, "commit", "luo-shutdown: the kernel preserves every memfd", blackout=True,
          line=r"systemd-shutdown\[1\]: .*(DM devices|MD devices) detached\.$", short="the kernel preserves every memfd"),
    Phase(1, "kexec", "kexec: this kernel ends", blackout=True, line=r"\] luo: (\d+ fds? of|nothing preserved)", short="the old kernel ends"),
    Phase(2, "boot", "Linux {release} boots", blackout=True, short="the new kernel boots"),
    Phase(2, "systemd", "systemd, luo-generator, luod start", blackout=True,
          line=r"systemd\[1\]: systemd \d+.* running in system mode", short="systemd, generator, luod"),
    Phase(2, "start", "the services start, each with its memory", blackout=True,
          line=r"systemd\[1\]: Reached target basic\.target", short="until each service has answered"),
    Phase(2, "up", "systemd finishes the boot"),
    Phase(2, "ask", "the services report their state"),
    Phase(2, "checksums", "sha256 of all memory, again"),
    Phase(2, "work", "the services continue their work"),
])
