# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The unchanged kernel of Debian, for tests on a kernel without LUO.

The cloud flavor is small, and has built in what a guest of luo-vm needs (serial ports, initramfs).
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
    """The newest one in the cache, even if the archive has a newer one."""
    found = sorted(glob.glob(cache.path("kernels", f"{NAME}-*", "bzImage")), key=os.path.getmtime)
    return os.path.dirname(found[-1]) if found else None


def entry(cache):
    """The cache entry with the kernel of Debian, which is downloaded if it is missing."""
    known = _known(cache)
    if known:
        return known
    archive = apt.Archive(cache)
    with cache.locked("apt"):
        archive.refresh()
        # The flavor is an empty package that depends on the current kernel. That one is empty, too, and
        # depends on the package with the image.
        image = archive.dependency(_FLAVOUR, "linux-image-")
        package = archive.dependency(image, "linux-binary-")
        version = archive.newest(package)
        deb = archive.download(package, version)

    def fill(folder):
        with cache.work_folder("package") as work:
            log = cache.path("apt", "apt.log")
            step.run(["dpkg-deb", "-x", deb, work], log, f"unpacking {deb}",
                     "The file may be damaged. Remove it and try again.")
            images = glob.glob(os.path.join(work, "**", "vmlinuz*"), recursive=True)
            if len(images) != 1:
                raise UserError(f"{package} {version} has {len(images)} kernels instead of one.\n"
                                "The packages of Debian may have changed; name a kernel instead: --kernel FILE.")
            shutil.copyfile(images[0], os.path.join(folder, "bzImage"))
        with open(os.path.join(folder, "release"), "w", encoding="ascii") as file:
            file.write(bzimage.release(os.path.join(folder, "bzImage")) + "\n")

    return cache.folder("kernels", NAME, {"what": "distribution", "revision": _REVISION,
                                          "package": f"{package} {version}"}, fill)
