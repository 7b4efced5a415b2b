# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Fetching kernel source packages from the Debian mirror that this host uses.

The release of the host may not have the kernels. So the suite that has them is read with a separate apt
configuration (separate lists, separate cache), and the package sources of the host do not change.
"""

import os
import re
import shlex
import shutil
import subprocess
import time

from . import step
from .errors import UserError
from .progress import Progress

SUITE = "trixie-backports"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FRESH = 24 * 3600


def _need(program):
    if shutil.which(program) is None:
        raise UserError(f"cannot fetch kernel sources from the Debian archive: {program} is not installed.\n"
                        "On other distributions build from a tree (--source DIR) or use a built kernel (--bzimage FILE).")


def choose_mirror(listing):
    """The Debian archive in the output of `apt-get indextargets` (URI, origin and label by tabs)."""
    rows = [(line.split("\t") + ["", ""])[:3] for line in listing.splitlines() if line.strip()]
    for uri, origin, label in rows:
        if origin == "Debian" and label == "Debian":
            return uri
    # Origin and label are unknown before the first `apt-get update`.
    for uri, origin, _ in rows:
        if not origin and re.search(r"/debian/?$", uri):
            return uri
    return None


def mirror():
    """The Debian archive that this machine's apt uses."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)\t$(ORIGIN)\t$(LABEL)", "Created-By: Packages"],
        capture_output=True, text=True, check=False).stdout
    found = choose_mirror(listing)
    if found is None:
        raise UserError("the package sources of this machine have no Debian archive (apt-get indextargets shows none).\n"
                        "Build from a tree instead (--source DIR), or use a built kernel (--bzimage FILE).")
    return found


class Archive:
    """The kernel source packages of one suite."""

    def __init__(self, cache):
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            _need(program)
        self._cache = cache
        self._folder = cache.path("apt")
        self._log = cache.path("apt", "apt.log")

    def _options(self):
        folder = self._folder
        settings = {
            "Dir::State": f"{folder}/state",
            "Dir::State::status": f"{folder}/state/status",
            "Dir::Cache": f"{folder}/cache",
            "Dir::Etc::sourcelist": f"{folder}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        }
        if os.geteuid() == 0:
            # The user _apt cannot write to the cache of root.
            settings["APT::Sandbox::User"] = "root"
        return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]

    def _advice(self):
        return ("Check the network and the package sources of this machine (apt-get update), "
                "or build from a tree (--source DIR).")

    def refresh(self, force=False):
        """Read the list of packages, unless it is less than a day old."""
        for name in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self._folder, name), exist_ok=True)
        open(os.path.join(self._folder, "state", "status"), "a", encoding="ascii").close()
        stamp = os.path.join(self._folder, "updated")
        sources = f"deb [signed-by={_KEYRING}] {mirror()} {SUITE} main\n"
        listing = os.path.join(self._folder, "sources.list")
        try:
            with open(listing, encoding="utf-8") as file:
                same = file.read() == sources
            if same and not force and time.time() - os.stat(stamp).st_mtime < _FRESH:
                return
        except FileNotFoundError:
            pass
        if not os.path.exists(_KEYRING):
            raise UserError(f"the keys of the Debian archive are missing: {_KEYRING}\n"
                            "Install the package debian-archive-keyring and try again.")
        with open(listing, "w", encoding="utf-8") as file:
            file.write(sources)
        with Progress(f"reading the package list of {SUITE}"):
            step.run(["apt-get", *self._options(), "-q", "update", "--error-on=any"], self._log,
                     f"reading the package list of {SUITE}", self._advice())
        with open(stamp, "w", encoding="ascii"):
            pass

    def newest(self, package):
        """The newest version of a package in the suite."""
        shown = subprocess.run(["apt-cache", *self._options(), "--no-all-versions", "show", package],
                               capture_output=True, text=True, check=False).stdout
        match = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
        if match is None:
            names = subprocess.run(["apt-cache", *self._options(), "pkgnames", "linux-source-"],
                                   capture_output=True, text=True, check=False).stdout.split()
            there = ", ".join(sorted(n for n in names if re.fullmatch(r"linux-source-\d.*", n))) or "none"
            raise UserError(f"{SUITE} has no package {package}. Its kernel source packages: {there}.\n"
                            "Name another version, or build from a tree (--source DIR).")
        return match[1]

    def dependency(self, package, prefix):
        """The name of the package, starting with `prefix`, that `package` depends on."""
        shown = subprocess.run(["apt-cache", *self._options(), "--no-all-versions", "show", package],
                               capture_output=True, text=True, check=False).stdout
        match = re.search(rf"^Depends: .*?({re.escape(prefix)}[a-z0-9.+~-]*)", shown, re.MULTILINE)
        if match is None:
            raise UserError(f"{SUITE} has no package {package} that depends on a {prefix}... package.\n"
                            f"{self._advice()}")
        return match[1]

    def download(self, package, version):
        """The path of the package file, which is downloaded if it is missing."""
        wanted = f"{package}={version}"
        uris = subprocess.run(["apt-get", *self._options(), "download", "--print-uris", wanted],
                              capture_output=True, text=True, check=False).stdout
        fields = shlex.split(uris)
        if len(fields) < 3:
            raise UserError(f"cannot find the file of {wanted}, which the archive lists.\n{self._advice()}")
        name, size = fields[1], int(fields[2])
        folder = self._cache.path("sources")
        os.makedirs(folder, exist_ok=True)
        place = os.path.join(folder, name)
        if os.path.exists(place):
            return place
        with self._cache.work_folder("download") as work:
            with Progress(f"downloading {name} ({size >> 20} MiB)", size) as progress:
                self._fetch(wanted, work, progress)
            fetched = [n for n in os.listdir(work) if n.endswith(".deb")]
            os.rename(os.path.join(work, fetched[0]), place)
        return place

    def _fetch(self, wanted, work, progress):
        with open(self._log, "a", encoding="utf-8") as log:
            process = subprocess.Popen(["apt-get", *self._options(), "-q", "download", wanted], cwd=work,
                                       stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            while True:
                try:
                    status = process.wait(0.25)
                    break
                except subprocess.TimeoutExpired:
                    progress.update(_size_of(work))
        if status:
            raise UserError(f"downloading {wanted} failed: apt-get ended with status {status}.\n"
                            f"The log: {self._log}\n{self._advice()}")


def _size_of(folder):
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                pass
    return total
