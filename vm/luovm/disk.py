# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The disks of a guest that has its root on a disk (debian.py).

There are three kinds. All are ext4, and the guest writes only to the first:

* the disk of this run: the scenario, the kernels, the programs of luo-vm, and what the guest writes.
  It exists from the first boot of a scenario to the last, so it survives kexecs and cold reboots;
* the roots;
* the overlays (--overlay) on one disk, which is in the cache.

The guest combines them with overlayfs, so nothing is copied and all guests share one root.
"""

import os
import shutil
import stat
import subprocess

from . import elf, files, image
from .errors import UserError

_SYSTEMD = os.path.join(image.GUEST, "systemd")
_HELPERS = ("luo-vm-mark", "luo-vm-file", "luo-vm-kexec")
# Files on the disk of a run, which is /luovm in the guest.
_OWN = {"lib.sh": "lib.sh", "stages": "stages", "interactive": "interactive", "systemd/machine.sh": "machine.sh",
        "systemd/enter": "enter", "systemd/service": "service"}
_LAYER = {"systemd/luo-vm.service": "etc/systemd/system/luo-vm.service",
          "systemd/luo-vm.target": "etc/systemd/system/luo-vm.target",
          "systemd/luovm.mount.conf": "etc/systemd/system/luovm.mount.d/90-luo-vm.conf",
          "systemd/system.conf": "etc/systemd/system.conf.d/90-luo-vm.conf",
          "systemd/journald.conf": "etc/systemd/journald.conf.d/90-luo-vm.conf"}
# A sparse file: it uses space on the host when the guest writes to it.
_RUN_SIZE = 4 << 30
_WRITERS = ("disk.py", "image.py", "files.py")


def _mkfs(folder, out, size, options):
    program = shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise UserError("cannot make the disks of the guest: mkfs.ext4 is not installed.\n"
                        "Install it (on Debian: the package e2fsprogs) and try again.")
    command = [program, "-q", "-F", "-m", "0", *options, "-d", folder, out, f"{size >> 10}k"]
    if os.geteuid() != 0:
        # Root owns all files in the guest.
        command = ["unshare", "--map-root-user", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(f"cannot make a disk for the guest: mkfs.ext4 ended with status {done.returncode}.\n"
                        f"Its output: {done.stderr.strip()}")


def _write(folder, name, data, mode=0o644):
    place = os.path.join(folder, name)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    with open(place, "wb") as out:
        out.write(data)
    os.chmod(place, mode)


def _link(folder, name, target):
    place = os.path.join(folder, name)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    os.symlink(target, place)


def _put_tree(folder, source):
    """Copy a tree as the guest has it: with /usr merged, and programs without debug information."""
    size = 0
    for name, path in files.walk(source):
        place = image.guest_path(name)
        kind = files.mode(path)
        if stat.S_ISLNK(kind):
            _link(folder, place, os.readlink(path))
        elif stat.S_ISDIR(kind):
            os.makedirs(os.path.join(folder, place), exist_ok=True)
        else:
            data = files.read(path)
            if elf.is_elf(data):
                data = image.without_debug_info(data)
            _write(folder, place, data, stat.S_IMODE(kind))
            size += len(data)
    return size


def _overlay(cache, out, folders):
    with cache.work_folder("overlay") as work:
        tree = os.path.join(work, "tree")
        os.mkdir(tree)
        size = sum(_put_tree(tree, folder) for folder in folders)
        _mkfs(tree, out.name, size * 5 // 4 + (8 << 20), ["-O", "^has_journal"])


def build_overlay(cache, folders):
    """The path of the disk with these overlays. A file of a later overlay replaces that of an earlier one."""
    for folder in folders:
        image.check_overlay(folder)
    parts = {"what": "overlay-disk", "trees": [files.digest(folder) for folder in folders],
             "writer": image.revision(_WRITERS)}
    return cache.file("images", "overlay-disk", parts, lambda out: _overlay(cache, out, folders))


def _layer(folder):
    """Write the files of luo-vm in the root of the guest."""
    for name, place in _LAYER.items():
        _write(folder, place, files.read(os.path.join(image.GUEST, name)))
    for name in _HELPERS:
        _write(folder, "usr/bin/" + name, files.read(os.path.join(image.GUEST, name)), 0o755)
    _link(folder, "etc/systemd/system/default.target", "luo-vm.target")
    for names, place in (("masked", "etc/systemd/system"), ("masked-generators", "etc/systemd/system-generators")):
        with open(os.path.join(_SYSTEMD, names), encoding="ascii") as file:
            for name in file.read().split():
                _link(folder, f"{place}/{name}", "/dev/null")


def make_run_disk(cache, path, config, scenario, guests, kernels):
    """Write the disk of a run to `path`. `config` has variables for the shell (bytes)."""
    with cache.work_folder("disk") as work:
        tree = os.path.join(work, "tree")
        os.mkdir(tree)
        os.chmod(tree, 0o755)
        for name, place in _OWN.items():
            _write(tree, place, files.read(os.path.join(image.GUEST, name)), 0o755)
        _write(tree, "config", config)
        _write(tree, "empty-initrd", image.empty_archive())
        _layer(os.path.join(tree, "layer"))
        for name in ("scenario", "mnt/overlay", "mnt/root", *(f"roots/{guest}/{part}" for guest in guests
                                                              for part in ("upper", "work"))):
            os.makedirs(os.path.join(tree, name))
        if scenario:
            _copy_scenario(os.path.join(tree, "scenario"), scenario)
        for kernel in kernels:
            _write(tree, os.path.relpath(kernel.guest_path, "/luovm"), files.read(kernel.path))
        # Few inodes and a small journal: less to write here, and no work left for the guest.
        _mkfs(tree, path, _RUN_SIZE, ["-N", "65536", "-J", "size=8", "-E", "lazy_itable_init=0,nodiscard"])


def _copy_scenario(folder, scenario):
    for name, path, kind in files.scenario(scenario):
        if stat.S_ISLNK(kind):
            _link(folder, name, os.readlink(path))
        elif stat.S_ISDIR(kind):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        else:
            _write(folder, name, files.read(path), stat.S_IMODE(kind))


def drives(writable, *shared):
    """Arguments for QEMU: /dev/vda, the only writable disk, and the others. QEMU takes a doubled comma as a comma."""
    arguments = []
    for number, path in enumerate((writable, *shared)):
        options = "readonly=on" if number else "cache=unsafe"
        # Functions of one device share an interrupt. Each interrupt costs an emulated kernel a fifth of a second.
        function = "on" if number == 0 else "off"
        arguments += ["-drive", f"id=disk{number},file={path.replace(',', ',,')},format=raw,if=none,{options}",
                      "-device", f"virtio-blk-pci,drive=disk{number},addr=0x2.{number},multifunction={function}"]
    return arguments
