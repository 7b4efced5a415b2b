# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Guest images: small initramfs archives made from busybox and kexec-tools of the host.

"minimal" is the base. An overlay is a directory tree (for example one that `meson install --destdir` made)
with every shared library that its programs need. Each is an archive of its own in the cache, so a changed
overlay does not change the base.
"""

import hashlib
import io
import os
import shutil
import stat
import subprocess

from . import cpio, elf, files
from .errors import UserError

_HERE = os.path.dirname(os.path.abspath(__file__))
GUEST = os.path.join(os.path.dirname(_HERE), "guest")
# The sources that decide the contents of an archive. They are part of its key.
_WRITERS = ("image.py", "files.py", "cpio.py", "elf.py")

# The guest has a merged /usr.
_MERGED = ("bin", "sbin", "lib", "lib64")
# The loader of the guest has no cache and searches only the first. Builds on other distributions use the rest.
_SEARCHED = "usr/lib/x86_64-linux-gnu"
_NOT_SEARCHED = ("usr/lib64", "usr/local/lib64", "usr/local/lib", "usr/local/lib/x86_64-linux-gnu")
_HELPERS = ("luo-vm-mark", "luo-vm-file", "luo-vm-kexec")
_DIRECTORIES = (
    "proc", "sys", "dev", "run", "tmp", "root", "etc", "var", "mnt", "luovm",
    "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", _SEARCHED,
)


def guest_path(path):
    """The path in the guest of a file of the host or of an overlay."""
    path = path.strip("/")
    first, _, rest = path.partition("/")
    return "usr/" + path if first in _MERGED and rest else path


def _host_program(name, package):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise UserError(f"cannot build the guest image: {name} is not installed on this machine.\n"
                        f"Install the package {package} and try again.")
    return path


def without_debug_info(data):
    """The ELF file without debug information, which is most of its size. Each kexec hashes and copies every byte."""
    if not shutil.which("objcopy"):
        return data
    with open("/dev/null", "wb") as quiet:
        try:
            source = os.memfd_create("luo-vm-strip")
            target = os.memfd_create("luo-vm-stripped")
            try:
                with os.fdopen(os.dup(source), "wb") as file:
                    file.write(data)
                names = [f"/proc/{os.getpid()}/fd/{fd}" for fd in (source, target)]
                done = subprocess.run(["objcopy", "--strip-debug", *names], stderr=quiet, check=False)
                stripped = b""
                if done.returncode == 0:
                    with open(names[1], "rb") as file:
                        stripped = file.read()
            finally:
                os.close(source)
                os.close(target)
        except OSError:
            return data
    return stripped or data


def _add_libraries(archive, programs, own):
    libraries, missing = elf.closure(programs, own)
    if missing:
        lines = "\n".join(f"  {name}, needed by {path}" for name, path in sorted(missing.items()))
        raise UserError(f"shared libraries are missing, both in the overlay and on this machine:\n{lines}\n"
                        "Install their packages, or add them to the overlay.")
    for path in sorted(libraries):
        archive.file(guest_path(path), files.read(path), 0o755)


def _base(out):
    busybox = _host_program("busybox", "busybox-static")
    kexec = _host_program("kexec", "kexec-tools")
    busybox_data, kexec_data = files.read(busybox), files.read(kexec)
    if elf.read(busybox_data).needed:
        raise UserError(f"cannot use {busybox} in the guest: it is not a static program.\n"
                        "Install the package busybox-static and try again.")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()

    archive = cpio.Writer(out)
    for name in _DIRECTORIES:
        archive.directory(name)
    for name in _MERGED:
        archive.symlink(name, "usr/" + name)
    # The kernel opens it for PID 1 before any file system is mounted.
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    archive.file("usr/bin/busybox", busybox_data, 0o755)
    for name in applets:
        if name != "busybox":
            archive.symlink("usr/bin/" + name, "busybox")
    archive.file("usr/sbin/kexec", kexec_data, 0o755)
    _add_libraries(archive, [(kexec, kexec_data)], set())
    archive.file("init", files.read(os.path.join(GUEST, "init")), 0o755)
    for name in ("lib.sh", "interactive", "stages"):
        archive.file("luovm/" + name, files.read(os.path.join(GUEST, name)), 0o755)
    archive.file("luovm/machine.sh", files.read(os.path.join(GUEST, "minimal.sh")))
    for name in _HELPERS:
        archive.file("usr/bin/" + name, files.read(os.path.join(GUEST, name)), 0o755)
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    archive.file("etc/hostname", b"luo-vm\n")
    archive.close()


def _overlay(out, folder):
    archive = cpio.Writer(out)
    programs, own = [], set()
    for name, path in files.walk(folder):
        kind = files.mode(path)
        place = guest_path(name)
        if ".so" in os.path.basename(place) and os.path.dirname(place) in _NOT_SEARCHED:
            archive.symlink(f"{_SEARCHED}/{os.path.basename(place)}", "/" + place)
        if stat.S_ISLNK(kind):
            archive.symlink(place, os.readlink(path))
            own.add(os.path.basename(name))
        elif stat.S_ISDIR(kind):
            archive.directory(place)
        else:
            data = files.read(path)
            if elf.is_elf(data):
                programs.append((path, data))
                own.add(os.path.basename(name))
                data = without_debug_info(data)
            archive.file(place, data, stat.S_IMODE(kind))
    _add_libraries(archive, programs, own)
    archive.close()


def empty_archive():
    out = io.BytesIO()
    cpio.Writer(out).close()
    return out.getvalue()


def tree(folder, prefix):
    """An archive (bytes) of the folder of a scenario, at `prefix` in the guest."""
    out = io.BytesIO()
    archive = cpio.Writer(out)
    archive.directory(prefix)
    for name, path, kind in files.scenario(folder):
        place = f"{prefix}/{name}"
        if stat.S_ISLNK(kind):
            archive.symlink(place, os.readlink(path))
        elif stat.S_ISDIR(kind):
            archive.directory(place)
        else:
            archive.file(place, files.read(path), stat.S_IMODE(kind))
    archive.close()
    return out.getvalue()


def revision(writers):
    digest = hashlib.sha256()
    for name in writers:
        digest.update(files.read(os.path.join(_HERE, name)))
    return digest.hexdigest()


def build_minimal(cache):
    """The path of the base archive."""
    parts = {"what": "minimal", "guest": files.digest(GUEST), "writer": revision(_WRITERS)}
    for name, package in (("busybox", "busybox-static"), ("kexec", "kexec-tools")):
        parts[name] = hashlib.sha256(files.read(_host_program(name, package))).hexdigest()
    return cache.file("images", "minimal", parts, _base)


def check_overlay(folder):
    if not os.path.isdir(folder):
        raise UserError(f"the overlay {folder} is not a directory.\n"
                        "Name a directory tree, for example one that `meson install --destdir` made.")


def build_overlay(cache, folder):
    """The path of the archive of one overlay."""
    check_overlay(folder)
    parts = {"what": "overlay", "tree": files.digest(folder), "writer": revision(_WRITERS)}
    return cache.file("images", "overlay", parts, lambda out: _overlay(out, folder))
