# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""A writer for initramfs archives ("newc" cpio).

The kernel unpacks any number of archives one after another, so an image is a concatenation: base, overlays,
scenario, kernels. cpio(1) is not used for two reasons: it needs root for a device node, and the same input
must give the same bytes, without times and inode numbers of the build host.
"""

import os
import stat

# The kernel accepts a further archive only at a multiple of 4. cpio(1) pads to 512, too.
BLOCK = 512


def _pad(size, to):
    return b"\0" * (-size % to)


class Writer:
    def __init__(self, out):
        self._out = out
        self._size = 0
        self._inode = 0
        self._directories = set()

    def _write(self, data):
        self._out.write(data)
        self._size += len(data)

    def _entry(self, name, mode, data=b"", device=(0, 0), links=1):
        self._inode += 1
        encoded = os.fsencode(name) + b"\0"
        fields = (
            self._inode, mode, 0, 0, links, 0, len(data), 0, 0, device[0], device[1], len(encoded), 0,
        )
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._write(_pad(self._size, 4))
        self._write(data)
        self._write(_pad(self._size, 4))

    def directory(self, name, mode=0o755):
        """Add a directory and its parents, because the kernel does not make missing ones."""
        name = name.strip("/")
        if not name or name in self._directories:
            return
        self.directory(os.path.dirname(name))
        self._directories.add(name)
        self._entry(name, stat.S_IFDIR | mode, links=2)

    def file(self, name, data, mode=0o644):
        name = name.strip("/")
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        name = name.strip("/")
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def character_device(self, name, major, minor, mode=0o600):
        name = name.strip("/")
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | mode, device=(major, minor))

    def close(self):
        self._entry("TRAILER!!!", 0)
        self._write(_pad(self._size, BLOCK))
