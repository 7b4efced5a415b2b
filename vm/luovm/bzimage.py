# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The header of an x86 kernel image."""

import struct

from .errors import UserError


def release(path):
    """The kernel release of a bzImage, as `uname -r` prints it."""
    try:
        with open(path, "rb") as file:
            head = file.read(64 * 1024)
    except OSError as error:
        raise UserError(f"cannot read the kernel {path}: {error.strerror}") from None
    if head[0x202:0x206] != b"HdrS":
        raise UserError(f"{path} is not a bzImage (it has no x86 boot header).\n"
                        "Give arch/x86/boot/bzImage of a kernel build, or a distribution's vmlinuz.")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    text = head[offset + 0x200:]
    return text[:text.index(b"\0")].decode().split()[0]
