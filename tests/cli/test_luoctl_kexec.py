# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luoctl kexec and check, on a machine of paper: nothing is loaded, and nobody reboots."""

import errno
import gzip
import json
import lzma
import os
import shutil
import struct
import threading
import time
import unittest

from fakeluod import Error, Hangup, Reply
from luoctltest import STATUS, LuoctlTest, entry, socket_entry

REPORT = {"sessionName": "luod", "sessions": 1, "preserved": 2, "lost": 0, "bytes": 3 << 20,
          "usec": 34000, "results": []}
CMDLINE = "BOOT_IMAGE=/vmlinuz root=/dev/sda1 kho=on liveupdate=on\n"
WARM_UP = "Warm-up: 2 fds preserved, 0 lost, 3.0 MiB, 503 ms.\n"
COMMIT = "Commit: 2 fds preserved, 0 lost, 3.0 MiB, 34 ms.\n"
GONE = 99


def bzimage(payload, magic=b"HdrS", setup=7, offset=100):
    head = bytearray((setup + 1) * 512 + offset)
    head[0x1f1] = setup
    head[0x202:0x206] = magic
    struct.pack_into("<II", head, 0x248, offset, len(payload))
    return bytes(head) + payload


def kernel(*strings):
    text = b"\0".join([b"", b"xluo-v9", b"luo-v", b"luo-v9x", b"memfd-", *strings, b"end"])
    return (b"\177ELF" + os.urandom(1000).replace(b"\0", b"x") + text + b"\0" + bytes(5000))


def zstd(data):
    """As zstd would, if it found nothing to compress but long runs of one byte."""
    blocks = []
    for i in range(0, len(data), 1 << 17):
        part = data[i:i + (1 << 17)]
        last = i + len(part) >= len(data)
        run = part == part[:1] * len(part)
        header = struct.pack("<I", len(part) << 3 | run << 1 | last)[:3]
        blocks.append(header + (part[:1] if run else part))
    # A window of 128 KiB, no checksum, size unknown.
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(blocks)


def xz_for_x86(data):
    """As scripts/xz_wrap.sh of the kernel does; the xz of busybox cannot unpack it."""
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32,
                         filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}])


UNPACKERS = os.environ["UNPACKERS"].split()
PACK = {
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": xz_for_x86,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstd,
}
PACK = {name: pack for name, pack in PACK.items() if name in UNPACKERS}
HERE = (b"kho-v4", b"luo-v5", b"memfd-v2")
NOT_ELF = "what is in it is not a kernel, or packed in an unknown way"
NOTHING_DONE = ("Choose another kernel (luoctl check --kernel FILE says whether one fits), or say "
                "--force to go there all the same, and lose it. Nothing was loaded or committed.\n")


def image_of(*strings):
    return bzimage(gzip.compress(kernel(*strings)) + b"size")


class Kexec(LuoctlTest):
    STANDS = "As long as it stands, its files cannot change: undo it with luoctl abort.\n"

    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.Commit"] = lambda p: dict(
            REPORT, usec=503000 if p.get("dryRun") else 34000)
        self.luod.answers["io.luo.Abort"] = {"aborted": True}
        self.file("/proc/cmdline", CMDLINE)
        self.file("/sys/kernel/kexec_loaded", "1\n")
        self.kernel = self.file("/bzImage", image_of(*HERE))
        self.file("/sys/kernel/debug/kho/out/fdt", b"\0compatible\0kho-v4\0")
        self.file("/sys/kernel/debug/kho/out/sub_fdts/LUO", b"luo-v5\0\0")
        self.initrd = self.file("/initrd", "initrd")

    def methods(self):
        return [(method, parameters.get("dryRun", False)) for method, parameters in
                self.luod.calls]

    def test_loaded_already(self):
        self.check(["kexec"], WARM_UP + COMMIT + "Going to the new kernel.\n", code=GONE)
        self.assertEqual(self.methods(), [("io.luo.Commit", True), ("io.luo.Commit", False)])
        self.assertEqual(self.logged(), ["sync", "reboot"])

    def under_systemd(self, status=0):
        self.environment["LUO_MANAGER_VERSION"] = "257"
        self.environment["PATH"] = os.path.join(self.root, "bin") + ":" + os.environ["PATH"]
        script = self.file("/bin/systemctl", f"""#!/bin/sh
            echo "systemctl $*" >>"$FAKE_LOG"
            exit {status}
            """)
        os.chmod(script, 0o755)

    def test_systemd_stops_the_services(self):
        self.under_systemd()
        self.check(["kexec"], "Going to the new kernel: systemctl kexec.\n")
        self.assertEqual(self.methods(), [])
        self.assertEqual(self.logged(), ["systemctl -q --no-ask-password kexec"])

    def test_systemd_refuses(self):
        self.under_systemd(1)
        self.check(["kexec"], "Going to the new kernel: systemctl kexec.\n", code=1,
                   stderr="luoctl: cannot go to the new kernel: systemctl has failed\n")

    def test_systemd_none_loaded(self):
        self.under_systemd()
        self.file("/sys/kernel/kexec_loaded", "0\n")
        self.assertEqual(self.luoctl("kexec").returncode, 1)
        self.assertEqual(self.logged(), [])

    def test_systemd_at_once(self):
        self.under_systemd()
        self.check(["kexec", "--now"], WARM_UP + COMMIT + "Going to the new kernel.\n", code=GONE)
        self.assertEqual(self.logged(), ["sync", "reboot"])

    def test_load(self):
        p = self.luoctl("kexec", "--kernel", self.kernel, "--initrd", self.initrd)
        self.assertEqual(p.returncode, GONE)
        self.assertRegex(p.stdout, rf"^Loaded {self.kernel}, [0-9.]+ (us|ms|s)\.\n{WARM_UP}"
                                   rf"{COMMIT}Going to the new kernel\.\n$")
        self.assertEqual(self.logged(), ["load-with-initrd root=/dev/sda1 kho=on liveupdate=on",
                                         "sync", "reboot"])

    def test_json(self):
        p = self.luoctl("kexec", "--kernel", self.kernel, "--json", "--session", "s")
        report = json.loads(p.stdout)
        self.assertEqual(report["load"]["kernel"], self.kernel)
        self.assertEqual(report["formats"], "same")
        self.assertEqual(report["commit"]["usec"], 34000)
        self.assertEqual(report["warmUp"]["usec"], 503000)
        self.assertEqual([c[1]["sessionName"] for c in self.luod.calls], ["s", "s"])

    def test_cmdline(self):
        on = "kho=on liveupdate=on"
        for arguments, expected in (
                (["--cmdline", f"a=b {on}"], f"load a=b {on}"),
                (["--reuse-cmdline", "--append", "c  d"], f"load root=/dev/sda1 {on} c  d"),
                (["--append", "init=\"/a b\""], f"load root=/dev/sda1 {on} init=\"/a b\""),
                (["--cmdline", "kho=0 liveupdate=1 kho=y"], "load kho=0 liveupdate=1 kho=y"),
                (["--cmdline", "", "--force"], "load")):
            if os.path.exists(self.log):
                os.unlink(self.log)
            p = self.luoctl("kexec", "--kernel", self.kernel, "--load-only", *arguments)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            self.assertEqual([line.rstrip() for line in self.logged()], [expected])
        self.assertEqual(self.luod.calls, [])

    def test_cmdline_that_forgets_all(self):
        for cmdline in ("", "quiet", "liveupdate=off", "liveupdate=on kho=off",
                        "liveupdate=on liveupdate=0", "xliveupdate=on"):
            self.check(["kexec", "--kernel", self.kernel, "--cmdline", cmdline], code=1,
                       stderr="luoctl: the new kernel would let everything go that is preserved: "
                              "its command line does not have kho=on liveupdate=on\n"
                              "Add it with --append, or say --force. Nothing was loaded or "
                              "committed.\n")
        self.assertEqual((self.luod.calls, self.logged()), ([], []))

    def test_no_warm_up(self):
        self.check(["kexec", "--no-warm-up"], COMMIT + "Going to the new kernel.\n", code=GONE)
        self.assertEqual(self.methods(), [("io.luo.Commit", False)])

    # ---- what goes wrong

    def test_no_luod(self):
        self.luod.stop()
        self.assertEqual(self.luoctl("kexec", "--kernel", self.kernel).returncode, 3)
        self.assertEqual(self.logged(), [])

    def test_none_loaded(self):
        self.file("/sys/kernel/kexec_loaded", "0\n")
        self.check(["kexec"], code=1, stderr="luoctl: no kernel is loaded to go to\nSay which "
                   "with --kernel FILE, or load one before. Nothing was committed.\n")
        self.assertEqual((self.luod.calls, self.logged()), ([], []))

    def test_none_loaded_at_the_last_step(self):
        self.file("/sys/kernel/kexec_loaded", "0\n")
        self.environment["FAKE_REBOOT"] = str(errno.EINVAL)
        self.check(["kexec", "--force"], WARM_UP + COMMIT + "Going to the new kernel.\n", code=1,
                   stderr="luoctl: cannot go to the new kernel: Invalid argument\n"
                          "Probably none is loaded.\n"
                          "The commit is undone, the services have what they had.\n")
        self.assertEqual(self.methods()[-1], ("io.luo.Abort", False))

    def test_not_permitted(self):
        self.environment["FAKE_REBOOT"] = str(errno.EPERM)
        self.assertEqual(self.luoctl("kexec").returncode, 5)
        self.assertEqual(self.methods()[-1], ("io.luo.Abort", False))

    def test_cannot_undo(self):
        self.environment["FAKE_REBOOT"] = str(errno.EINVAL)
        self.luod.answers["io.luo.Abort"] = Error("io.luo.Failed", {"text": "odd", "errno": 5})
        p = self.luoctl("kexec")
        self.assertEqual(p.returncode, 1)
        self.assertTrue(p.stderr.endswith("luoctl: cannot undo the commit: odd\n" + self.STANDS))

    def test_cannot_open(self):
        self.check(["kexec", "--kernel", "/nowhere/k"], code=1,
                   stderr="luoctl: cannot open /nowhere/k: No such file or directory\n")
        self.check(["kexec", "--kernel", self.kernel, "--initrd", "/nowhere/i"], code=1,
                   stderr="luoctl: cannot open /nowhere/i: No such file or directory\n")
        self.assertEqual((self.luod.calls, self.logged()), ([], []))

    def test_cannot_load(self):
        for error, code, text, advice in (
                (errno.EPERM, 5, "Operation not permitted",
                 "It takes root, and a kernel that allows it: see kernel.kexec_load_disabled.\n"),
                (errno.EINVAL, 1, "Invalid argument",
                 "Is it a kernel image for this machine?\n"),
                (errno.EKEYREJECTED, 1, "Key was rejected by service", "The kernel is locked "
                 "down and takes only images with a signature it knows.\n"),
                (errno.ENOMEM, 1, "Cannot allocate memory", "")):
            self.environment["FAKE_LOAD"] = str(error)
            self.check(["kexec", "--kernel", self.kernel], code=code,
                       stderr=f"luoctl: cannot load {self.kernel}: {text}\n{advice}Nothing was "
                              "committed.\n")
        self.assertEqual(self.luod.calls, [])
        self.assertNotIn("kexec-tools", "".join(self.logged()))

    def test_kexec_tools(self):
        self.environment["FAKE_LOAD"] = str(errno.ENOEXEC)
        self.assertEqual(self.luoctl("kexec", "--kernel", self.kernel).returncode, GONE)
        self.assertEqual([line.split()[0] for line in self.logged()],
                         ["load", "kexec-tools", "sync", "reboot"])
        self.environment["FAKE_KEXEC_TOOLS"] = "1"
        self.check(["kexec", "--kernel", self.kernel], code=1,
                   stderr=f"luoctl: cannot load {self.kernel}: Exec format error\n"
                          "Is it a kernel image for this machine?\nNothing was committed.\n")

    # ---- a kernel that does not understand this one

    def refused(self, why, danger, *arguments):
        for how in ([], ["--load-only"], ["--no-warm-up"]):
            self.check(["kexec", "--kernel", self.kernel, *how, *arguments], code=1,
                       stderr=f"luoctl: {self.kernel} {why}\nIt would {danger}. {NOTHING_DONE}")
        self.assertEqual((self.luod.calls, self.logged()), ([], []))

    def forced(self, why):
        warning = (f"luoctl: warning: {self.kernel} {why}; going on with --force, which loses "
                   "what is preserved\n")
        p = self.luoctl("kexec", "--kernel", self.kernel, "--load-only", "--force")
        self.assertEqual((p.returncode, p.stderr), (0, warning))
        self.assertEqual([line.split()[0] for line in self.logged()], ["load"])
        p = self.luoctl("kexec", "--kernel", self.kernel, "--force")
        self.assertEqual((p.returncode, p.stderr), (GONE, warning))

    def test_other_formats(self):
        for strings, differences in (
                ((b"kho-v5", b"luo-v5"), "here kho-v4, there kho-v5"),
                ((b"kho-v5", b"luo-v6"), "here kho-v4, there kho-v5; here luo-v5, there luo-v6"),
                ((b"luo-v5", b"memfd-v2"), "here kho-v4, there nothing of that kind")):
            self.file("/bzImage", image_of(*strings))
            self.refused(f"does not understand this kernel: {differences}",
                         "panic at boot, or lose everything that is preserved")
        self.forced(f"does not understand this kernel: {differences}")

    def test_other_format_of_files(self):
        self.file(f"/lib/modules/{os.uname().release}/vmlinuz", image_of(*HERE))
        self.file("/bzImage", image_of(b"kho-v4", b"luo-v5", b"memfd-v3"))
        self.refused("does not understand this kernel: here memfd-v2, there memfd-v3",
                     "panic at boot, or lose everything that is preserved")

    def test_without_luo(self):
        self.file("/bzImage", image_of(b"kho-v4"))
        self.refused("knows nothing of live updates: it was built without CONFIG_LIVEUPDATE",
                     "lose everything that is preserved")
        self.forced("knows nothing of live updates: it was built without CONFIG_LIVEUPDATE")

    def test_formats_json(self):
        self.file("/bzImage", image_of(b"kho-v5", b"luo-v5"))
        p = self.luoctl("kexec", "--kernel", self.kernel, "--load-only", "--force", "--json")
        self.assertEqual(json.loads(p.stdout)["formats"], "different")

    def test_speaks_both(self):
        self.file("/bzImage", image_of(b"kho-v5", b"kho-v4", b"luo-v4", b"luo-v5"))
        p = self.luoctl("kexec", "--kernel", self.kernel, "--load-only")
        self.assertEqual((p.returncode, p.stderr), (0, ""))

    def unknown(self, reason, *arguments):
        self.check(["kexec", "--no-warm-up", "--kernel", self.kernel, *arguments],
                   stdout=None, code=GONE,
                   stderr=f"luoctl: warning: cannot tell whether {self.kernel} understands this "
                          f"kernel: {reason}\n")

    def test_cannot_look_into_it(self):
        self.environment["PATH"] = "/nowhere"
        lz4 = bzimage(b"\x02\x21\x4c\x18" + bytes(100))
        for image, reason in (
                (b"kernel", "it is not a bzImage of x86"),
                (lz4, "it is packed with lz4, which is not installed"),
                (lz4[:-1], "the file is shorter than its header says"),
                (bzimage(b"y" * 100), NOT_ELF)):
            self.file("/bzImage", image)
            self.unknown(reason)
            self.unknown(reason, "--force")

    def test_cannot_look_at_this_one(self):
        shutil.rmtree(self.root + "/sys/kernel/debug")
        self.unknown("which formats this kernel uses is neither in debugfs nor in an image of it "
                     "in /boot or /lib/modules")

    def test_commit_fails(self):
        self.luod.answers["io.luo.Commit"] = lambda p: REPORT if p.get("dryRun") else Error(
            "io.luo.Busy", {"text": "process 7 (test) has the device"})
        self.check(["kexec"], WARM_UP.replace("503", "34"), code=1,
                   stderr="luoctl: cannot commit: process 7 (test) has the device\n")
        self.assertEqual(self.logged(), [])

    # ---- luod is lost during the commit, which may stand

    UNKNOWN = "Whether the commit stands is not known, so it is undone.\n"
    UNDONE = "The commit is undone, the services have what they had.\n"
    WENT_AWAY = ("luoctl: cannot commit: luod went away in the middle of the call; it may be "
                 "restarting, try again\n")

    def commit_is(self, answer):
        self.luod.answers["io.luo.Commit"] = answer

    def undone(self, stderr, *arguments, code=3):
        self.check(["kexec", "--no-warm-up", *arguments], stderr=stderr, code=code)
        self.assertEqual(self.methods()[-1], ("io.luo.Abort", False))
        self.assertEqual(self.logged(), [])

    def test_connection_lost(self):
        self.commit_is(Hangup())
        self.undone(self.WENT_AWAY + self.UNKNOWN + self.UNDONE)
        self.luod.answers["io.luo.Abort"] = {"aborted": False}
        self.undone(self.WENT_AWAY + self.UNKNOWN +
                    "No commit stands, the services have what they had.\n")

    def test_no_answer_in_time(self):
        self.commit_is(lambda parameters: time.sleep(2) or REPORT)
        self.undone("luoctl: cannot commit: luod did not answer in time; see --timeout\n" +
                    self.UNKNOWN + self.UNDONE, "--timeout", "1")

    def test_lost_and_back(self):
        def restart(parameters):
            self.luod.stop()
            timer = threading.Timer(1, self.luod.listen)
            timer.start()
            self.addCleanup(timer.join)
            return Hangup()

        aborts = [Hangup(), {"aborted": True}]
        self.luod.answers["io.luo.Abort"] = lambda parameters: aborts.pop(0)
        self.commit_is(restart)
        self.undone(self.WENT_AWAY + self.UNKNOWN + self.UNDONE)
        self.assertEqual(aborts, [])

    def test_lost_for_good(self):
        def stop(parameters):
            self.luod.stop()
            return Hangup()

        self.commit_is(stop)
        self.check(["kexec", "--no-warm-up"], code=3,
                   stderr=self.WENT_AWAY + self.UNKNOWN +
                   "luoctl: cannot undo the commit: No such file or directory\n" +
                   self.STANDS)
        self.assertEqual(self.logged(), [])

    def test_lost_in_the_warm_up(self):
        self.commit_is(Hangup())
        self.check(["kexec"], code=3, stderr=self.WENT_AWAY.replace("commit", "preserve"))
        self.assertEqual(self.methods(), [("io.luo.Commit", True)])

    def test_some_fail(self):
        result = {"unit": "a", "name": "x", "result": "failed", "reason": "no memory",
                  "aliasOf": None, "bytes": 0, "usec": 1}
        self.luod.answers["io.luo.Commit"] = dict(REPORT, lost=1, results=[result])
        text = ("{} 2 fds preserved, 1 lost, 3.0 MiB, 34 ms.\n"
                "UNIT  NAME  RESULT  SIZE  TIME  NOTE\n"
                "a     x     failed   0 B  1 us  no memory\n\n"
                "2 preserved, 1 lost, 3.0 MiB in 1 session, 34 ms\n")
        stderr = ("luoctl: 1 fd could not be preserved, though it is of a kind that can be\n"
                  "Say --force to go without.\n")
        self.check(["kexec"], text.format("Warm-up:"), stderr, code=1)
        self.assertEqual(self.methods(), [("io.luo.Commit", True)])
        self.check(["kexec", "--no-warm-up"], text.format("Commit:"),
                   stderr + "The commit is undone, the services have what they had.\n", code=1)
        self.assertEqual(self.methods()[1:], [("io.luo.Commit", False), ("io.luo.Abort", False)])
        self.assertEqual(self.logged(), [])
        self.assertEqual(self.luoctl("kexec", "--force").returncode, GONE)
        # What can never be preserved is only reported.
        self.luod.answers["io.luo.Commit"] = dict(
            REPORT, lost=1, results=[dict(result, result="not-preservable")])
        self.assertEqual(self.luoctl("kexec").returncode, GONE)


class Check(LuoctlTest):
    def setUp(self):
        super().setUp()
        self.luod.answers["io.luo.Status"] = STATUS
        self.luod.answers["io.luo.ListEntries"] = {"entries": []}
        self.config("KEXEC_FILE=y", "KEXEC_HANDOVER=y", "LIVEUPDATE=y")
        self.file("/proc/cmdline", CMDLINE)
        self.file("/sys/kernel/kexec_loaded", "1\n")

    def config(self, *lines):
        text = "# a comment\nCONFIG_OTHER=y\n" + "".join(f"CONFIG_{line}\n" for line in lines)
        self.file("/proc/config.gz", gzip.compress(text.replace(
            "CONFIG_# ", "# CONFIG_").encode()))

    def item(self, name, *arguments):
        p = self.luoctl("check", "--json", *arguments)
        report = json.loads(p.stdout)
        self.assertEqual(p.returncode, 0 if report["ready"] else 6)
        self.assertEqual(report["ready"], all(i["result"] != "failed" for i in report["checks"]))
        for item in report["checks"]:
            if item["check"] == name:
                return item
        return None

    def test_ready(self):
        self.check(["check"], """\
ok    kernel: built for live updates (/proc/config.gz)
ok    command line: live update is switched on
ok    device: /dev/liveupdate can be opened
ok    kexec: a kernel is loaded
ok    luod: version 0.1.0, pid 42
ok    fds: 0, all of them of kinds that are kept

Ready.
""")

    def test_nothing_there(self):
        self.luod.stop()
        self.config("KEXEC_FILE=y", "LIVEUPDATE_MORE=y", "# LIVEUPDATE_MEMFD is not set")
        self.file("/proc/cmdline", "kho=on liveupdate=off\n")
        self.file("/sys/kernel/kexec_loaded", "0\n")
        self.file("/proc/sys/kernel/kexec_load_disabled", "1\n")
        self.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        self.environment["FAKE_SUPPORT"] = "off"
        self.check(["check"], """\
FAIL  kernel: built without what a live update needs (/proc/config.gz)
        CONFIG_KEXEC_HANDOVER
        CONFIG_LIVEUPDATE
        CONFIG_LIVEUPDATE_MEMFD
      -> Build it with these, or boot another one.
FAIL  command line: liveupdate=on is missing
      -> Add it to the command line of this kernel, and of the next.
FAIL  device: /dev/liveupdate is not there, because live update is switched off
FAIL  kexec: no kernel is loaded
      -> luoctl kexec --kernel FILE loads one and goes there; with --load-only it only loads it.
FAIL  kexec: kernel.kexec_load_disabled is set: no kernel can be loaded
      -> Only a reboot switches it on again.
warn  lockdown: the kernel is locked down: it loads signed kernels only
FAIL  luod: not reachable: No such file or directory
      -> Start it.

Not ready: 6 checks failed.
""", code=6)

    def test_cmdline(self):
        self.environment["FAKE_SUPPORT"] = "none"
        for cmdline, text in (("", "kho=on liveupdate=on are missing"),
                              ("liveupdate=1", "kho=on is missing"),
                              ("kho=y", "liveupdate=on is missing"),
                              ("kho=on liveupdate=on", "kho=on liveupdate=on")):
            self.file("/proc/cmdline", cmdline)
            self.assertEqual(self.item("command line")["text"], text)

    def test_config_in_boot(self):
        os.unlink(self.root + "/proc/config.gz")
        self.assertEqual(self.item("kernel")["result"], "unknown")
        self.file(f"/boot/config-{os.uname().release}",
                  "CONFIG_KEXEC_FILE=y\nCONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\n"
                  "CONFIG_LIVEUPDATE_MEMFD=y\n")
        self.assertEqual(self.item("kernel")["result"], "ok")

    def test_device(self):
        for error, result in ((errno.EBUSY, "warning"), (errno.EACCES, "unknown"),
                              (errno.EIO, "failed"), (errno.ENXIO, "failed")):
            self.environment["FAKE_DEVICE"] = str(error)
            self.assertEqual(self.item("device")["result"], result)
        self.environment["FAKE_SUPPORT"] = "none"
        self.assertEqual(self.item("device")["text"], "this kernel has no live update")

    def test_luod(self):
        self.luod.answers["io.luo.Status"] = dict(
            STATUS, liveUpdate="off", problems=["a\x1b"], lost=2, sessions=[
                {"name": "s", "state": "unreadable", "reason": "version 99"},
                {"name": "t", "state": "ok", "issues": [{}, {}]}])
        p = self.luoctl("check")
        self.assertEqual(p.returncode, 6)
        self.assertIn("""\
FAIL  luod: runs as a plain fd store, without live update
warn  luod: has problems
        a\\x1b
warn  lost: 2 fds could not be restored by the kernel
      -> luoctl list --state lost names them.
warn  session: s is unreadable (version 99): it is held, and carried along
warn  session: t: 2 entries were skipped
      -> luoctl status lists them.
""", p.stdout)
        self.luod.answers["io.luo.Status"] = Error("io.luo.Failed", {"text": "odd", "errno": 5})
        self.assertEqual(self.item("luod")["text"], "Status fails: odd")

    def test_what_will_be_lost(self):
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "x", where="kernel"),
            *[socket_entry("b", f"s{i}") for i in range(22)],
            entry("b", "gone", state="lost", preservable=False)]}
        p = self.luoctl("check")
        self.assertEqual(p.returncode, 0)
        self.assertIn("warn  fds: 22 of 23 will be lost\n"
                      "        b \"s0\": a socket cannot be preserved\n", p.stdout)
        self.assertIn("        b \"s19\": a socket cannot be preserved\n"
                      "        and 2 more\n", p.stdout)
        self.assertTrue(p.stdout.endswith("\nReady, with 1 warning.\n"))

    def test_memory(self):
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "full", where="kernel", size=8 << 20, allocated=8 << 20),
            entry("a", "sparse", where="kernel", size=8 << 30, allocated=1 << 20),
            entry("a", "same", where="kernel", size=8 << 30, allocated=1 << 20, alias=True),
            entry("a", "exec", where="kernel", size=4096, allocated=4096, seals=["exec"])]}
        item = self.item("memory")
        self.assertEqual(item["result"], "ok")
        self.assertEqual(item["neededBytes"], 3 * 13312 + (1 << 20) + 4096)
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "huge", where="kernel", size=1 << 60, allocated=1 << 50)]}
        self.assertEqual(self.item("memory")["result"], "failed")

    def test_runs(self):
        fds = []
        for n in (1, 3):
            fds.append(os.memfd_create("test"))
            os.write(fds[-1], bytes(n * 4096))
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "x"), entry("a", "x"), entry("a", "y", alias=True),
            entry("a", "z", where="kernel")]}
        self.luod.answers["io.luo.OpenEntry"] = lambda p: Reply(
            {"entry": entry("a", "x", fileDescriptor=0)}, [fds[p["nth"]]])
        item = self.item("early boot")
        if item["result"] == "unknown":
            self.skipTest(item["text"])
        self.assertEqual(item["result"], "ok")
        self.assertEqual(item["pages"], 4)
        self.assertIn(item["runs"], (1, 2, 3, 4))
        self.assertEqual(item["details"], ["1 fds were not counted: they still lie in the kernel, "
                                           "or cannot be looked at"])

    def test_speed(self):
        small, sparse = os.memfd_create("small"), os.memfd_create("sparse")
        for _ in range(17):
            os.write(small, bytes(1 << 20))
        os.truncate(sparse, 2 << 30)
        self.luod.answers["io.luo.ListEntries"] = {"entries": [
            entry("a", "x"), entry("a", "y"), entry("a", "z", where="kernel")]}
        fds = {"x": small, "y": sparse}
        self.luod.answers["io.luo.OpenEntry"] = lambda p: Reply(
            {"entry": entry("a", p["name"], fileDescriptor=0)}, [fds[p["name"]]])
        item = self.item("speed")
        self.assertEqual(item["result"], "warning")
        self.assertEqual(item["hugeBytes"] + item["smallBytes"], 17 << 20)
        self.assertEqual(item["holeBytes"], 2 << 30)
        self.assertIn('a "y": its holes will be filled with memory: shrink it, or fill them '
                      'before', item["details"])
        if item["smallBytes"] == 17 << 20:
            self.assertIn('a "x": much of it is in small pages: huge ones are preserved 100 times '
                          'faster', item["details"])
        self.assertEqual(os.fstat(sparse).st_blocks, 0)
        os.truncate(sparse, 4096)
        item = self.item("speed")
        self.assertEqual(item["result"], "ok")

    # ---- the kernel that is to come

    def next_kernel(self, image):
        return self.item("next kernel", "--kernel", self.file("/k", image) and "/k")

    def running(self, *strings, where="/boot/vmlinuz-{}"):
        self.file(where.format(os.uname().release), image_of(*strings))

    def test_same(self):
        self.file("/sys/kernel/kexec_loaded", "0\n")
        self.running(*HERE)
        item = self.next_kernel(image_of(b"luo-v5", b"kho-v4", b"memfd-v2", b"luo-session-v1"))
        self.assertEqual((item["result"], item["text"]), (
            "ok", "/k speaks as this one does (3 of 4 formats compared)"))

    def test_other(self):
        self.running(b"kho-v4", b"luo-v5", b"luo-session-v1", b"memfd-v2")
        item = self.next_kernel(image_of(b"kho-v4", b"luo-v6", b"luo-session-v1"))
        self.assertEqual((item["result"], item["text"]), (
            "failed", "/k does not understand this one"))
        self.assertEqual(item["details"], ["this kernel: luo-v5; that one: luo-v6",
                                           "this kernel: memfd-v2; that one: nothing of that "
                                           "kind"])

    def debugfs(self):
        self.file("/sys/kernel/debug/kho/out/fdt", b"\0compatible\0kho-v4\0")
        self.file("/sys/kernel/debug/kho/out/sub_fdts/LUO", b"\0luo-v5\0")

    def test_debugfs(self):
        self.debugfs()
        item = self.next_kernel(image_of(*HERE))
        self.assertEqual((item["result"], item["text"]), (
            "ok", "/k speaks as this one does (2 of 3 formats compared)"))

    def test_debugfs_and_image(self):
        self.debugfs()
        self.running(*HERE, where="/lib/modules/{}/vmlinuz")
        self.assertEqual(self.next_kernel(image_of(*HERE))["text"],
                         "/k speaks as this one does (3 of 3 formats compared)")
        # Not the kernel that runs: the package was updated.
        self.running(b"kho-v5", b"luo-v5", b"memfd-v2", where="/lib/modules/{}/vmlinuz")
        self.assertEqual(self.next_kernel(image_of(*HERE))["text"],
                         "/k speaks as this one does (2 of 3 formats compared)")

    def test_unknown_here(self):
        item = self.next_kernel(image_of(*HERE))
        self.assertEqual((item["result"], item["text"]), (
            "unknown", "cannot tell whether /k understands this one: which formats this kernel "
                       "uses is neither in debugfs nor in an image of it in /boot or "
                       "/lib/modules"))

    def test_without_luo(self):
        for strings in ((), (b"kho-v4",)):
            item = self.next_kernel(image_of(*strings))
            self.assertEqual((item["result"], item["text"]), (
                "failed", "/k knows nothing of live updates"))

    # ---- how it is packed

    def cannot(self, image, reason):
        item = self.next_kernel(image)
        self.assertEqual((item["result"], item["text"]), (
            "unknown", f"cannot tell whether /k understands this one: {reason}"))

    def test_not_packed(self):
        self.running(*HERE)
        self.assertEqual(self.next_kernel(bzimage(kernel(*HERE)))["result"], "ok")

    def test_libraries(self):
        self.running(*HERE)
        self.environment["PATH"] = "/nowhere"
        # more than one round of the buffer
        unpacked = kernel(*HERE) + bytes(5 << 20) + b"end"
        for name, pack in PACK.items():
            for behind in (b"", b"size", bytes(100), pack(b"x" * 10)):
                with self.subTest(name=name, behind=behind):
                    item = self.next_kernel(bzimage(pack(unpacked) + behind))
                    self.assertEqual(item["result"], "ok")

    def test_full_to_the_brim(self):
        """Rooms of the buffer that are just large enough, and one byte too small."""
        self.running(*HERE)
        for name, pack in PACK.items():
            for size in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1):
                with self.subTest(name=name, size=size):
                    unpacked = kernel(b"kho-v4", b"luo-v5").ljust(size - 10, b"\0")
                    item = self.next_kernel(bzimage(pack(unpacked + b"\0memfd-v2\0")))
                    self.assertEqual(item["result"], "ok")

    def test_cut_off(self):
        for name, pack in PACK.items():
            packed = pack(kernel(*HERE))
            for size in (len(packed) // 2, len(packed) - 1):
                with self.subTest(name=name, size=size):
                    self.cannot(bzimage(packed[:size]),
                                f"it is packed with {name}, and the packed data ends too early")

    def test_damaged(self):
        for name, pack in PACK.items():
            with self.subTest(name=name):
                self.cannot(bzimage(pack(b"")[:6] + b"\xff" * 500),
                            f"it is packed with {name}, and cannot be unpacked")

    def test_bomb(self):
        for name, pack in PACK.items():
            with self.subTest(name=name):
                self.cannot(bzimage(pack(b"\177ELF" + bytes(17 << 20))),
                            f"it is packed with {name}, and takes more than 16 MiB to unpack")

    @unittest.skipUnless("lzma" in UNPACKERS, "built without liblzma")
    def test_dictionary_bomb(self):
        packed = bytearray(PACK["lzma"](kernel(*HERE)))
        struct.pack_into("<I", packed, 1, 3 << 30)
        self.cannot(bzimage(bytes(packed)),
                    "it is packed with lzma, and takes more than 16 MiB to unpack")

    def program(self, name, text):
        os.chmod(self.file(f"/bin/{name}", f"#!/bin/sh\n{text}\n"), 0o755)
        self.environment["PATH"] = self.root + "/bin:/usr/bin:/bin"

    def test_programs(self):
        self.running(*HERE)
        for name, magic in (("lz4", b"\x02\x21\x4c\x18"), ("lz4", b"\x04\x22\x4d\x18"),
                            ("bzip2", b"BZh"), ("lzop", b"\x89LZO\0\r")):
            # Some fail at the size that stands behind the payload.
            self.program(name, f'[ "$*" = -dc ] || exit 1\ntail -c +{len(magic) + 1}\nexit 1')
            item = self.next_kernel(bzimage(magic + kernel(*HERE)))
            self.assertEqual(item["result"], "ok")

    def test_program_missing(self):
        self.environment["PATH"] = "/nowhere"
        self.cannot(bzimage(b"BZh" + bytes(100)), "it is packed with bzip2, which is not installed")

    def test_program_fails(self):
        self.program("lz4", "cat >/dev/null\nexit 1")
        image = bzimage(b"\x02\x21\x4c\x18" + bytes(100))
        self.cannot(image, "it is packed with lz4, and cannot be unpacked")
        self.program("lz4", "exec cat /dev/zero")
        self.cannot(image, "it is packed with lz4, and takes more than 16 MiB to unpack")

    def test_not_a_kernel(self):
        for image in (b"", b"x" * 4096, bzimage(b"x", magic=b"HdrX")):
            self.cannot(image, "it is not a bzImage of x86")
        for image in (bzimage(b"x"), bzimage(gzip.compress(b"x")), bzimage(b"")):
            self.cannot(image, NOT_ELF)
        for size in (2000, -1):
            self.cannot(image_of(*HERE)[:size], "the file is shorter than its header says")
        item = self.item("next kernel", "--kernel", "/nowhere")
        self.assertEqual((item["result"], item["text"]), (
            "failed", "cannot read /nowhere: No such file or directory"))


if __name__ == "__main__":
    unittest.main()
