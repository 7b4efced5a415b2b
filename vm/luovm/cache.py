# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The cache of everything that is built once. The key of an entry is a digest of its inputs.

An entry appears complete or not at all: it is written in a work folder and then renamed. A lock for each
entry lets two runs on one machine share a build.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time

_ABANDONED_AFTER = 60.0


def default_root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "luo-vm")


def key(parts):
    """A short name for a dictionary of inputs. Equal inputs have equal names on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Cache:
    def __init__(self, root=None):
        self.root = root or default_root()

    def path(self, *names):
        return os.path.join(self.root, *names)

    @contextlib.contextmanager
    def locked(self, name):
        """Hold the lock `name`. Another process that takes it waits."""
        folder = self.path("locks")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def work_folder(self, name):
        """A temporary folder on the file system of the cache. It is removed at the end."""
        folder = self.path("work")
        os.makedirs(folder, exist_ok=True)
        self._remove_abandoned(folder)
        path = tempfile.mkdtemp(prefix=name + ".", dir=folder)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Marks the folder as in use. The kernel releases the lock when this process ends, even by SIGKILL.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)

    @staticmethod
    def _remove_abandoned(folder):
        """Remove the work folders of killed processes: a kernel build leaves gigabytes."""
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            try:
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                # Another process may have created a young folder and not locked it yet.
                if time.time() - os.fstat(handle).st_mtime > _ABANDONED_AFTER:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            except BlockingIOError:
                pass
            finally:
                os.close(handle)

    def place(self, kind, name, parts):
        """The path of an entry, whether it exists or not."""
        return self.path(kind, f"{name}-{key(parts)}")

    def file(self, kind, name, parts, write, rebuild=False):
        """The path of an entry that is a file. `write(file)` makes it if it is missing, or if `rebuild` is set."""
        place = self.place(kind, name, parts)
        if os.path.exists(place) and not rebuild:
            return place
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with self.locked(os.path.basename(place)):
            if rebuild or not os.path.exists(place):
                with self.work_folder(name) as work:
                    fresh = os.path.join(work, "entry")
                    with open(fresh, "wb") as out:
                        write(out)
                    os.rename(fresh, place)
        return place

    def folder(self, kind, name, parts, fill):
        """The path of an entry that is a folder. `fill(folder)` makes it if it is missing."""
        place = self.place(kind, name, parts)
        if os.path.isdir(place):
            return place
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with self.locked(os.path.basename(place)):
            if not os.path.isdir(place):
                with self.work_folder(name) as work:
                    fresh = os.path.join(work, "entry")
                    os.mkdir(fresh)
                    fill(fresh)
                    with open(os.path.join(fresh, "inputs.json"), "w", encoding="utf-8") as out:
                        json.dump(parts, out, indent=2, sort_keys=True)
                    os.rename(fresh, place)
        return place
