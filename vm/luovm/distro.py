# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's own kernel, as it comes: for tests of what happens where LUO is not built in.

The cloud flavour has what a guest of luo-vm needs built in (serial ports, initramfs) and is small.
"""

import glob
import os
import shutil

from . import apt, bzimage, step
from .errors import UserError

NAME = "debian"
_FLAVOUR = "linux-image-cloud-amd64"
_REVISION = 1


def _known(cache):
    """The last one taken over, whatever the archive may have by now."""
    found = sorted(glob.glob(cache.path("kernels", f"{NAME}-*", "bzImage")), key=os.path.getmtime)
    return os.path.dirname(found[-1]) if found else None


def entry(cache):
    """The cache entry with Debian's kernel in it, fetched if need be."""
    known = _known(cache)
    if known:
        return known
    archive = apt.Archive(cache)
    with cache.locked("apt"):
        archive.refresh()
        # The flavour is an empty package that depends on the kernel of the day, and so is that one
        # for the signed image.
        image = archive.dependency(_FLAVOUR, "linux-image-")
        package = archive.dependency(image, "linux-binary-")
        version = archive.newest(package)
        deb = archive.download(package, version)

    def fill(folder):
        with cache.work_folder("package") as work:
            log = cache.path("apt", "apt.log")
            step.run(["dpkg-deb", "-x", deb, work], log, f"unpacking {deb}",
                     "The file may be damaged: remove it and try again.")
            images = glob.glob(os.path.join(work, "**", "vmlinuz*"), recursive=True)
            if len(images) != 1:
                raise UserError(f"{package} {version} has {len(images)} kernels in it, and should have one.\n"
                                "Debian may have changed its packages; give a kernel instead: --kernel FILE.")
            shutil.copyfile(images[0], os.path.join(folder, "bzImage"))
        with open(os.path.join(folder, "release"), "w", encoding="ascii") as file:
            file.write(bzimage.release(os.path.join(folder, "bzImage")) + "\n")

    return cache.folder("kernels", NAME, {"what": "distribution", "revision": _REVISION,
                                          "package": f"{package} {version}"}, fill)
