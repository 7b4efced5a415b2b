# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""Runs one scenario: boots a guest, follows it through its kexecs, and returns the result."""

import os
import selectors
import shlex
import threading
import time

from . import control, detect, judge, ktap, plan, qemu, record

# Seconds that a kernel has to reset the machine after a panic.
_AFTER_PANIC = 5.0
_live = set()
_live_lock = threading.Lock()


def kill_all():
    """End every guest, because the user interrupted the run."""
    with _live_lock:
        for machine in _live:
            machine.kill()


class _Lines:
    """Splits the bytes of a serial port into lines."""

    def __init__(self):
        self._rest = b""

    def feed(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]

    def flush(self):
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace").rstrip("\r")] if rest else []


class Run:
    """One scenario. run() returns a ktap.Result."""

    def __init__(self, scenario, planned, options, folder, progress=None):
        self.scenario = scenario
        self._plan = planned
        self._options = options
        self._recorder = record.Recorder(folder)
        self._progress = progress or (lambda scenario, text: None)
        self._observed = []
        self._current = None
        self._case = None
        self._stop = None           # why this class ends the guest

    # -- the whole scenario ----------------------------------------------------------------------

    def run(self):
        started = time.monotonic()
        self._deadline = started + self.scenario.timeout
        stages = self.scenario.stages
        try:
            while len(self._observed) < len(stages):
                self._enter(len(self._observed) + 1)
                self._guest(self._plan.media(self._recorder.folder, self._current.stage.number))
                if not self._may_go_on():
                    break
        finally:
            self._recorder.close()
        return self._result(time.monotonic() - started)

    def _may_go_on(self):
        """Whether to start another guest for the next stage after a guest has ended."""
        last = self._observed[-1]
        if last.skipped():
            return False
        return judge.result(last).outcome != ktap.FAIL

    def _result(self, seconds):
        result = ktap.Result(self.scenario.name, ktap.PASS, seconds)
        for observed in self._observed:
            result.children.append(judge.result(observed))
        outcomes = [child.outcome for child in result.children]
        if ktap.FAIL in outcomes:
            result.outcome = ktap.FAIL
            result.notes.append(f"logs: {self._recorder.folder}")
        elif ktap.SKIP in outcomes:
            result.outcome = ktap.SKIP
            result.reason = next(c.reason for c in result.children if c.outcome == ktap.SKIP)
        for stage in self.scenario.stages[len(self._observed):]:
            why = "not reached" if result.outcome == ktap.FAIL else result.reason
            result.children.append(ktap.Result(f"stage{stage.number}", ktap.SKIP, reason=why))
        return result

    # -- one guest -------------------------------------------------------------------------------

    def _enter(self, number):
        self._leave()
        self._current = judge.Observed(self.scenario.stages[number - 1])
        self._current.entered = time.monotonic()
        self._booted = False
        self._ended = None          # the end that the harness in the guest announced
        self._observed.append(self._current)
        self._progress(self.scenario, f"stage {number} of {len(self.scenario.stages)}")

    def _leave(self):
        if self._current is not None and self._current.seconds is None:
            self._current.seconds = time.monotonic() - self._current.entered
            self._case = None

    def _guest(self, media):
        number = self._current.stage.number
        kernel, cmdline = self._plan.kernels[number - 1], self._plan.cmdlines[number - 1]
        self._save_command(kernel, media, cmdline)
        self._recorder.next_boot()
        self._recorder.event("qemu-start", stage=number, kernel=kernel.release)
        self._fresh = True
        self._shutdown = None
        self._stop = None
        machine = qemu.Machine(self._options, kernel.path, media, cmdline)
        with _live_lock:
            _live.add(machine)
        try:
            self._follow(machine)
            message = machine.wait()
        finally:
            with _live_lock:
                _live.discard(machine)
            machine.close()
        self._recorder.event("qemu-end", reason=self._shutdown or self._stop,
                             processor_seconds=round(machine.processor_seconds, 2))
        if message:
            self._problem("error", f"{qemu.PROGRAM}: {message}")
        elif self._stop is None:
            self._machine_ended()
        self._leave()

    def _save_command(self, kernel, media, cmdline):
        """Save the command that starts the same guest by hand (with --keep)."""
        path = os.path.join(self._recorder.folder, "qemu-command")
        with open(path, "w", encoding="utf-8") as out:
            out.write(shlex.join(qemu.command(self._options, kernel.path, media, cmdline,
                                              "stdio,mux=on", "file,path=/dev/null")) + "\n")

    def _follow(self, machine):
        """Read all three sockets until QEMU closes them."""
        console, messages, monitor = _Lines(), control.Demultiplexer(), _Lines()
        self._heard = time.monotonic()
        self._panic_deadline = None
        with selectors.DefaultSelector() as selector:
            for name in ("console", "control", "monitor"):
                selector.register(getattr(machine, name), selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select(self._patience()):
                    try:
                        data = key.fileobj.recv(65536)
                    except ConnectionResetError:
                        data = b""
                    if not data:
                        selector.unregister(key.fileobj)
                        continue
                    if key.data == "console":
                        self._heard = time.monotonic()
                        for line in console.feed(data):
                            self._console_line(line)
                    elif key.data == "control":
                        self._heard = time.monotonic()
                        self._control(messages.feed(data))
                    else:
                        for line in monitor.feed(data):
                            self._shutdown = qemu.shutdown_reason(line) or self._shutdown
                self._check_clocks()
                if self._stop is not None:
                    machine.kill()
        for line in console.flush():
            self._console_line(line)
        self._control(messages.flush())

    def _patience(self):
        deadlines = [self._deadline, self._heard + self.scenario.hang]
        if self._panic_deadline:
            deadlines.append(self._panic_deadline)
        return max(0.05, min(deadlines) - time.monotonic())

    def _check_clocks(self):
        now = time.monotonic()
        if self._stop is not None:
            return
        if self._panic_deadline and now > self._panic_deadline:
            self._stop = "panic"
        elif now > self._heard + self.scenario.hang:
            self._end_with("hang", f"no sign of life for {self.scenario.hang} seconds {self._where()}")
        elif now > self._deadline:
            self._end_with("timeout", f"not finished after {self.scenario.timeout} seconds {self._where()}")

    def _where(self):
        if not self._booted:
            return "while the kernel was booting"
        if self._case is not None and self._case.status is None:
            return f"in {self._case.name}"
        if self._ended:
            return f"after the programs of the stage, before the {self._ended}"
        return "between programs"

    def _problem(self, kind, text):
        self._recorder.event("problem", kind=kind, text=text)
        self._current.add_problem(kind, text)
        if self._current.has_expected_lockup():
            self._stop = kind

    def _end_with(self, kind, text):
        self._problem(kind, text)
        self._stop = kind

    # -- messages of the guest -------------------------------------------------------------------

    def _console_line(self, line):
        if detect.starts_a_boot(line):
            if not self._fresh:
                self._recorder.next_boot()
            self._fresh = False
            self._recorder.event("kernel-start")
        self._recorder.log(line)
        found = detect.kernel_line(line)
        if found:
            self._problem(*found)
            if found[0] == "panic":
                self._panic_deadline = self._panic_deadline or time.monotonic() + _AFTER_PANIC

    def _control(self, events):
        for kind, value in events:
            if kind == "message":
                self._message(value)
                continue
            self._recorder.log(value)
            found = detect.output_line(value)
            if found:
                self._problem(*found)
            if self._case is not None:
                self._case.tap.line(value)

    def _message(self, message):
        kind = message["type"]
        handler = getattr(self, "_on_" + kind.replace("-", "_"), None)
        if handler is None:
            self._problem("error", f"unknown message from the guest: {kind}")
            return
        if kind not in ("alive", "file"):
            self._recorder.event(kind, **{k: v for k, v in message.items() if k not in ("type", "time", "boot")})
        handler(message)

    def _on_alive(self, message):
        pass

    def _on_mark(self, message):
        pass

    def _on_file(self, message):
        complaint = self._recorder.file_part(message)
        if complaint:
            self._problem("error", complaint)

    def _on_error(self, message):
        self._end_with("error", str(message.get("text")))

    def _on_lost(self, message):
        self._end_with("lost", f"the runner of the stage in the guest ended with status {message.get('status')}")

    def _on_boot(self, message):
        number, release = message.get("stage"), str(message.get("release"))
        soft = bool(message.get("soft"))
        if soft:
            # No kernel starts, so no line of the console marks it.
            self._recorder.next_boot()
        if self._booted and not self._may_enter(number, "soft-reboot" if soft else "kexec"):
            return
        self._booted = True
        self._current.notes.append(f"Linux {release}")
        expected = self._plan.kernels[self._current.stage.number - 1].release
        if release != expected:
            self._problem("wrong-kernel", f"this stage runs on {release} instead of {expected}")

    def _may_enter(self, number, how):
        """Enter the next stage after a boot that QEMU did not start, if the current stage ends this way."""
        stage = self._current.stage
        done = len(self._current.cases)
        if stage.end == how and self._ended != how or stage.end not in (how, "self-" + how):
            self._end_with(f"unexpected-{how}", f"a {how} {self._where()}; the scenario has end = \"{stage.end}\"")
            return False
        if done < len(stage.programs):
            self._end_with(f"unexpected-{how}", f"a {how} {self._where()}, before {stage.programs[done]} could run")
            return False
        if number != stage.number + 1:
            self._end_with(f"unexpected-{how}", f"stage {number} followed stage {stage.number}: "
                           "the kexec did not use the command line of the next stage (LUOVM_NEXT_CMDLINE)")
            return False
        self._left_by_itself()
        if self._failed_now():
            return False
        self._enter(number)
        return True

    def _left_by_itself(self):
        if self._case is not None and self._case.status is None:
            self._case.left_by_itself = True
            self._case.seconds = time.monotonic() - self._case.started

    def _on_start(self, message):
        self._case = judge.Case(str(message.get("case")), time.monotonic())
        self._current.cases.append(self._case)
        self._progress(self.scenario, f"stage {self._current.stage.number}: {self._case.name}")

    def _on_exit(self, message):
        if self._case is None:
            return
        self._case.status = message.get("status")
        self._case.seconds = time.monotonic() - self._case.started
        if len(self._current.cases) == len(self._current.stage.programs):
            self._failed_now()
            if self._current.skipped():
                self._stop = "skipped"

    def _failed_now(self):
        """End the guest if this stage has failed, because the results of the next one would be misleading."""
        if judge.result(self._current).outcome == ktap.FAIL and self._current.stage.expect == "pass":
            self._stop = self._stop or "failed"
            return True
        return False

    def _on_end(self, message):
        self._ended = message.get("how")

    def _machine_ended(self):
        """Check whether the end of QEMU is the end of the stage."""
        end, current = self._current.stage.end, self._current
        if "panic" in current.kinds():
            return
        how = {"guest-reset": "reboot", "guest-shutdown": "poweroff"}.get(self._shutdown)
        if how is None:
            self._problem("error", f"{qemu.PROGRAM} ended and gave no reason ({self._shutdown})")
            return
        done = len(current.cases) == len(current.stage.programs)
        if end == how and self._ended == how:
            return
        if end == "self-" + how and done:
            self._left_by_itself()
            return
        self._problem(f"unexpected-{how}", f"a {how} {self._where()}; the scenario has end = \"{end}\"")


def prepare(cache, scenario, kernels, overlays):
    """The plan of a scenario; `kernels` is a list of (name, path)."""
    known = {}
    for name, path in kernels:
        if path not in known:
            known[path] = plan.Kernel(name, path, len(known) + 1)
    return plan.for_scenario(cache, scenario, [known[path] for _, path in kernels], overlays)
