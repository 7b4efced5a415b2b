# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Finds the shared libraries of a program by reading its ELF file.

ldd(1) does not help: it runs the loader of the program and searches only the directories of the host. An
overlay has libraries of its own, and its programs must not run on the host.
"""

import functools
import os
import struct
import subprocess

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29


class Dynamic:
    """The loader, the needed libraries and the search path of one ELF file."""

    def __init__(self, interpreter, needed, search):
        self.interpreter = interpreter
        self.needed = needed
        self.search = search


def is_elf(data):
    return data[:4] == b"\x7fELF" and data[4:6] == b"\x02\x01"


def _text(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


def read(data):
    """Parse a 64-bit little-endian ELF file. A static program has an empty Dynamic."""
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads, dynamic, interpreter = [], None, None
    for index in range(count):
        kind, _, offset, address, _, file_size = struct.unpack_from("<IIQQQQ", data, headers + index * size)
        if kind == _PT_LOAD:
            loads.append((address, file_size, offset))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, file_size)
        elif kind == _PT_INTERP:
            interpreter = _text(data, offset)
    if dynamic is None:
        return Dynamic(interpreter, [], [])

    entries = []
    for offset in range(dynamic[0], dynamic[0] + dynamic[1], 16):
        tag, value = struct.unpack_from("<QQ", data, offset)
        if tag == 0:
            break
        entries.append((tag, value))
    table = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
    strings = next((table - address + offset for address, length, offset in loads
                    if address <= table < address + length), table)
    needed = [_text(data, strings + value) for tag, value in entries if tag == _DT_NEEDED]
    search = [path for tag, value in entries if tag in (_DT_RPATH, _DT_RUNPATH)
              for path in _text(data, strings + value).split(":") if path]
    return Dynamic(interpreter, needed, search)


@functools.lru_cache(maxsize=None)
def _host_libraries():
    """The libraries that the loader of the host finds: {soname: path}."""
    found = {}
    for program in ("ldconfig", "/sbin/ldconfig"):
        try:
            listing = subprocess.run([program, "-p"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        for line in listing.splitlines():
            name, arrow, path = line.strip().partition(" => ")
            if arrow and "x86-64" in name:
                found.setdefault(name.split()[0], path)
        break
    return found


def closure(programs, own):
    """Files of the host that `programs`, a list of (path, contents), need in the guest.

    `own` is the set of sonames in the overlay. Returns ({path}, {missing soname: path of a program}).
    """
    wanted, missing = set(), {}
    queue = list(programs)
    while queue:
        path, data = queue.pop()
        dynamic = read(data)
        names = list(dynamic.needed)
        found = []
        if dynamic.interpreter:
            found.append(dynamic.interpreter)
        for name in names:
            if name in own:
                continue
            local = [os.path.join(folder.replace("$ORIGIN", os.path.dirname(path)), name)
                     for folder in dynamic.search]
            place = next((p for p in local if os.path.exists(p)), None) or _host_libraries().get(name)
            if place is None:
                missing.setdefault(name, path)
            else:
                found.append(place)
        for place in found:
            if place not in wanted and os.path.exists(place):
                wanted.add(place)
                with open(place, "rb") as file:
                    queue.append((place, file.read()))
    return wanted, missing
