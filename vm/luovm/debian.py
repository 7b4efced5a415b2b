# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Debian roots: ext4 images of a complete Debian with systemd, made with mmdebstrap.

A guest never writes to an image. Each run puts its own files and a writable layer over it (disk.py), so
the first program is the only file of luo-vm in an image.
"""

import hashlib
import os
import shlex
import shutil

from . import apt, step
from .errors import UserError
from .progress import Progress

_HERE = os.path.dirname(os.path.abspath(__file__))
_GUEST = os.path.join(os.path.dirname(_HERE), "guest", "debian")

_PACKAGES = ("systemd", "systemd-sysv", "dbus", "util-linux", "mount", "login", "procps", "kexec-tools", "libjson-c5",
             # For services of users; the user luser has uid 1000.
             "libpam-systemd", "dbus-user-session")

_ADVICE = ("Check the network and the package sources of this machine (apt-get update). If you are not root,\n"
           "mmdebstrap needs the package uidmap, and subordinate ids of your user in /etc/subuid and /etc/subgid.")


class Root:
    def __init__(self, suite, extra=(), backports=None):
        self.suite = suite
        self.packages = sorted([*_PACKAGES, *extra])
        self.backports = backports


ROOTS = {
    "debian-13": Root("trixie"),
    # systemd-tests has test-luo, the live update test of systemd.
    "debian-sid": Root("sid", extra=("systemd-tests",)),
    "debian-12-backports": Root("bookworm", backports="bookworm-backports"),
}
NAMES = tuple(ROOTS)


def _parts(name):
    root = ROOTS[name]
    parts = {"what": "debian", "suite": root.suite, "packages": root.packages, "backports": root.backports}
    for file in ("init", "customize"):
        with open(os.path.join(_GUEST, file), "rb") as source:
            parts[file] = hashlib.sha256(source.read()).hexdigest()
    return parts


def _command(root, mirror, image):
    customize, init = (shlex.quote(os.path.join(_GUEST, name)) for name in ("customize", "init"))
    command = ["mmdebstrap", "--variant=apt", "--format=null", f"--include={','.join(root.packages)}",
               # The lists of some mirrors are old.
               "--aptopt=Acquire::Check-Valid-Until \"false\"",
               f"--customize-hook={customize} \"$1\" {init} {image}"]
    sources = [f"deb {mirror} {root.suite} main"]
    if root.backports:
        command.append(f"--aptopt=APT::Default-Release \"{root.backports}\"")
        sources.append(f"deb {mirror} {root.backports} main")
    return [*command, root.suite, "-", *sources]


def _build(cache, name, out):
    if shutil.which("mmdebstrap") is None:
        raise UserError(f"cannot build the guest {name}: mmdebstrap is not installed.\n"
                        "Install it (on Debian: the package mmdebstrap) and try again.")
    if shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
        raise UserError(f"cannot build the guest {name}: mkfs.ext4 is not installed.\n"
                        "Install it (on Debian: the package e2fsprogs) and try again.")
    log = cache.path("logs", f"image-{name}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    open(log, "w", encoding="utf-8").close()
    environment = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    with Progress(f"building the guest {name}"):
        step.run(_command(ROOTS[name], apt.mirror(), out.fileno()), log, f"building the guest {name}", _ADVICE,
                 env=environment, pass_fds=[out.fileno()])
    if os.fstat(out.fileno()).st_size == 0:
        raise UserError(f"building the guest {name} failed: mmdebstrap ended with status 0 and made no image.\nLog: {log}")


def build(cache, name, refresh=False):
    """The path of the image of a root, which is built if it is missing, or if `refresh` is set."""
    return cache.file("images", name, _parts(name), lambda out: _build(cache, name, out), rebuild=refresh)


def listing(cache):
    """[(name, description, time of the build or None)]"""
    rows = []
    for name, root in ROOTS.items():
        place = cache.place("images", name, _parts(name))
        made = os.stat(place).st_mtime if os.path.exists(place) else None
        rows.append((name, f"Debian {root.backports or root.suite} with systemd", made))
    return rows
