# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Builds kernels, and finds those in the cache."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess

from . import apt, bzimage, cache as caches, distro, step
from .errors import UserError
from .progress import Progress, duration

VERSIONS = ("7.2", "7.3")
_HERE = os.path.dirname(os.path.abspath(__file__))
FRAGMENT = os.path.join(os.path.dirname(_HERE), "kernel.config")

# Raise it when a change here makes different kernels from the same inputs.
_REVISION = 1
# Lines that make prints for a kernel of this size; only for the estimate of the remaining time.
_STEPS = 2400
_NEEDED_SPACE = 4 << 30
_ADVICE = ("A kernel build needs the packages gcc make flex bison bc libelf-dev libssl-dev rsync xz-utils.")


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _compiler():
    compiler = os.environ.get("CC", "gcc")
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UserError(f"cannot run the C compiler {compiler}.\n{_ADVICE}") from None
    return done.stdout.splitlines()[0]


def _inputs(fragments):
    """The inputs that all kernels built on this machine have in common."""
    return {"what": "kernel", "revision": _REVISION, "compiler": _compiler(),
            "config": [_digest(path) for path in [FRAGMENT, *fragments]]}


# -- building ------------------------------------------------------------------------------------


def _unpack(tarball, folder, label):
    """Unpack a kernel tarball into `folder`, without the first component of each path."""
    with open(tarball, "rb") as source, Progress(label, os.stat(tarball).st_size) as progress:
        command = ["tar", "-x", "--strip-components=1", "-C", folder]
        if tarball.endswith(".xz"):
            command.append("-J")
        elif tarball.endswith((".gz", ".tgz")):
            command.append("-z")
        elif tarball.endswith(".zst"):
            command.append("--zstd")
        done = 0
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                while block := source.read(1 << 20):
                    process.stdin.write(block)
                    done += len(block)
                    progress.update(done)
            except BrokenPipeError:
                pass
            process.stdin.close()
        if process.returncode:
            raise UserError(f"cannot unpack {tarball}: tar ended with status {process.returncode}.\n"
                            "Check that the file is complete, and a tar archive of a kernel tree.")


def _check_space(folder):
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_SPACE:
        raise UserError(f"a kernel build needs about {_NEEDED_SPACE >> 30} GiB in {folder}, and {free / (1 << 30):.1f} GiB are free.\n"
                        "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.")


def _missing_options(fragments, config):
    """Options of the fragments that the final configuration does not have."""
    with open(config, encoding="utf-8") as file:
        have = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", file.read(), re.MULTILINE))
    wanted = {}
    for path in fragments:
        with open(path, encoding="utf-8") as file:
            wanted.update(re.findall(r"^(CONFIG_\w+)=(.*)$", file.read(), re.MULTILINE))
    return sorted(name for name, value in wanted.items() if have.get(name, "n") != value)


def _compile(source, out, fragments, log, label):
    """Configure and build the tree `source` in the folder `out`; returns the path of the bzImage."""
    environment = dict(os.environ, KBUILD_BUILD_USER="luo-vm", KBUILD_BUILD_HOST="luo-vm", LC_ALL="C")
    make = ["make", "-C", source, f"O={out}"]

    def run(arguments, on_line=None):
        step.run(arguments, log, f"building {label}", _ADVICE, on_line, env=environment)

    config = os.path.join(out, ".config")
    run([*make, "tinyconfig"])
    run([os.path.join(source, "scripts/kconfig/merge_config.sh"), "-m", "-O", out, config, *fragments])
    run([*make, "olddefconfig"])
    missing = _missing_options(fragments, config)
    if missing:
        with open(log, "a", encoding="utf-8") as file:
            file.write("options that this kernel does not have, or that depend on others: " + " ".join(missing) + "\n")
    with Progress(f"building {label}", _STEPS) as progress:
        count = 0

        def step_done(_):
            nonlocal count
            count += 1
            progress.update(count)

        run([*make, f"-j{os.cpu_count() or 1}", "bzImage"], step_done)
    return os.path.join(out, "arch/x86/boot/bzImage")


def _keep(entry, image, config, log):
    shutil.copyfile(image, os.path.join(entry, "bzImage"))
    if config:
        shutil.copyfile(config, os.path.join(entry, "config"))
    if log:
        shutil.copyfile(log, os.path.join(entry, "build.log"))
    with open(os.path.join(entry, "release"), "w", encoding="ascii") as file:
        file.write(bzimage.release(image) + "\n")


def _new_log(cache, name):
    folder = cache.path("logs")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"kernel-{name}.log")
    with open(path, "w", encoding="utf-8"):
        pass
    return path


def _check_host():
    if platform.machine() != "x86_64":
        raise UserError(f"cannot build a kernel on {platform.machine()}: only x86_64 is supported.\n"
                        "Build it on another machine, and use --bzimage FILE.")


def _build_tarball(cache, entry, tarball, fragments, label):
    log = _new_log(cache, label)
    with cache.work_folder("kernel") as work:
        _check_space(work)
        source, out = os.path.join(work, "source"), os.path.join(work, "out")
        os.mkdir(source)
        os.mkdir(out)
        _unpack(tarball, source, f"unpacking Linux {label}")
        image = _compile(source, out, [FRAGMENT, *fragments], log, f"Linux {label}")
        _keep(entry, image, os.path.join(out, ".config"), log)


def build_version(cache, version, fragments=(), refresh=False):
    """The entry of the kernel of this version from the distribution, which is built if it is missing."""
    _check_host()
    inputs = _inputs(fragments)
    if not refresh:
        entry = _newest(cache, version, inputs)
        if entry:
            return entry
    archive = apt.Archive(cache)
    with cache.locked("apt"):
        archive.refresh(refresh)
        package = f"linux-source-{version}"
        newest = archive.newest(package)
        deb = archive.download(package, newest)

    def fill(entry):
        with cache.work_folder("package") as work:
            step.run(["dpkg-deb", "-x", deb, work], _new_log(cache, f"{version}-unpack"), f"unpacking {deb}",
                     "The file may be damaged. Remove it and try again.")
            tarball = os.path.join(work, "usr/src", f"{package}.tar.xz")
            _build_tarball(cache, entry, tarball, fragments, version)

    return cache.folder("kernels", version, dict(inputs, version=version, package=f"{package} {newest}"), fill)


def _tree_key(source):
    """A digest of names, sizes and times: reading 1.5 GB to see that nothing changed takes too long."""
    digest = hashlib.sha256()
    for root, directories, names in os.walk(source):
        directories[:] = sorted(d for d in directories if d != ".git")
        for name in sorted(names):
            info = os.lstat(os.path.join(root, name))
            digest.update(f"{root}/{name}\0{info.st_size}\0{info.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def build_source(cache, source, fragments=()):
    """The entry of a kernel built from a tree or a tarball."""
    _check_host()
    source = os.path.realpath(source)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", os.path.basename(source))
    if os.path.isfile(source):
        inputs = dict(_inputs(fragments), tarball=_digest(source))
        return cache.folder("kernels", name, inputs,
                            lambda entry: _build_tarball(cache, entry, source, fragments, name))
    if not os.path.isfile(os.path.join(source, "Kconfig")):
        raise UserError(f"{source} is neither a tarball nor a kernel tree: it has no Kconfig.")
    if os.path.exists(os.path.join(source, ".config")) or os.path.isdir(os.path.join(source, "include/config")):
        raise UserError(f"cannot build {source}: it has the files of an earlier build in place, which a build would use.\n"
                        "Run `make mrproper` in it, or use its kernel: --bzimage arch/x86/boot/bzImage.")

    def fill(entry):
        # Kept between builds, so that a build after an edit takes seconds.
        out = cache.path("trees", caches.key({"source": source}))
        os.makedirs(out, exist_ok=True)
        _check_space(out)
        log = _new_log(cache, name)
        with cache.locked("tree-" + os.path.basename(out)):
            image = _compile(source, out, [FRAGMENT, *fragments], log, name)
            _keep(entry, image, os.path.join(out, ".config"), log)

    return cache.folder("kernels", name, dict(_inputs(fragments), tree=_tree_key(source)), fill)


def add_bzimage(cache, path):
    """The entry of a kernel that was built elsewhere."""
    name = bzimage.release(path)
    return cache.folder("kernels", name, {"what": "bzimage", "image": _digest(path)},
                        lambda entry: _keep(entry, path, None, None))


# -- finding -------------------------------------------------------------------------------------


def _entries(cache):
    """[(name, inputs, modification time)] of every kernel, oldest first."""
    folder = cache.path("kernels")
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            with open(os.path.join(folder, name, "inputs.json"), encoding="utf-8") as file:
                found.append((name, json.load(file), os.stat(os.path.join(folder, name)).st_mtime))
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda entry: entry[2])


def _newest(cache, version, inputs):
    """The newest build of a version with these inputs, even if the archive has newer sources."""
    for name, made_of, _ in reversed(_entries(cache)):
        if made_of.get("version") == version and all(made_of.get(k) == v for k, v in inputs.items()):
            return cache.path("kernels", name)
    return None


def listing(cache):
    """[(name, release, made of, time)] for `luo-vm kernel list`."""
    rows = []
    for name, inputs, when in _entries(cache):
        with open(cache.path("kernels", name, "release"), encoding="ascii") as file:
            release = file.read().strip()
        rows.append((name, release, inputs.get("package") or ("a tree" if "tree" in inputs else inputs["what"]), when))
    return rows


def resolve(cache, name):
    """The path of the bzImage that `name` means. A version that is missing is built."""
    if "/" in name or os.path.isfile(name):
        bzimage.release(name)
        return os.path.realpath(name)
    place = cache.path("kernels", name, "bzImage")
    if os.path.isfile(place):
        return place
    if name == distro.NAME:
        return os.path.join(distro.entry(cache), "bzImage")
    if re.fullmatch(r"\d+\.\d+", name):
        return os.path.join(build_version(cache, name), "bzImage")
    raise UserError(f"unknown kernel {name!r}.\n"
                    "Name a version (7.2), \"debian\", the path of a bzImage, or a name from `luo-vm kernel list`.")


__all__ = ["VERSIONS", "add_bzimage", "build_source", "build_version", "duration", "listing", "resolve"]
