# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Files of the host that go into a guest: regular files, folders and symbolic links.

A socket, a named pipe, a device or an unreadable file is an error that names the file: to leave it out
silently would give a guest that differs from its folder.
"""

import errno
import hashlib
import os
import stat

from .errors import UserError

_UNSUPPORTED = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISCHR, "device"),
                (stat.S_ISBLK, "device"))


def read(path):
    """The contents of a file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _cannot_list(error):
    raise UserError(f"cannot read the folder {error.filename}: {error.strerror}") from None


def walk(folder):
    """(relative name, path) of everything below a folder except folders that have contents.

    The order does not depend on the file system.
    """
    for root, directories, names in os.walk(folder, onerror=_cannot_list):
        directories.sort()
        links = [name for name in directories if os.path.islink(os.path.join(root, name))]
        for name in sorted(names + links):
            path = os.path.join(root, name)
            yield os.path.relpath(path, folder), path
        if not directories and not names:
            yield os.path.relpath(root, folder), root


def mode(path):
    """The mode of a file that a guest can have; a link is not followed."""
    try:
        found = os.lstat(path).st_mode
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    for is_kind, kind in _UNSUPPORTED:
        if is_kind(found):
            raise UserError(f"cannot copy {path} into the guest: a {kind} is not supported\n"
                            "Remove it, or keep it outside of this folder.")
    return found


def _scenario_mode(folder, path):
    """The mode with which a scenario's file arrives in the guest.

    A link to a regular file arrives as that file, since scenarios share files that lie outside of their
    folders. Every other link stays a link, a dangling one too: its target may exist in the guest.
    """
    found = mode(path)
    if not stat.S_ISLNK(found):
        return found
    try:
        target = os.stat(path).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return found
        raise UserError(f"cannot follow the link {path}: {error.strerror}") from None
    if stat.S_ISREG(target):
        return target
    top = os.path.realpath(folder)
    if (stat.S_ISDIR(target) and not os.path.isabs(os.readlink(path))
            and os.path.commonpath((top, os.path.realpath(path))) != top):
        raise UserError(f"cannot copy {path} into the guest: it is a link to a folder outside of the scenario\n"
                        "Copy that folder, or link to each of its files.")
    return found


def scenario(folder):
    """(relative name, path, mode) of everything in a scenario's folder, as it arrives in the guest."""
    return [(name, path, _scenario_mode(folder, path)) for name, path in walk(folder)]


def digest(folder):
    """A digest of names, modes and contents of a tree."""
    total = hashlib.sha256()
    for name, path in walk(folder):
        found = mode(path)
        total.update(os.fsencode(name) + f"\0{found:o}\0".encode())
        if stat.S_ISLNK(found):
            total.update(os.fsencode(os.readlink(path)))
        elif stat.S_ISREG(found):
            total.update(hashlib.sha256(read(path)).digest())
    return total.hexdigest()
