# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luo-vm shell: an interactive guest on this terminal."""

import os
import shlex
import shutil
import subprocess

from . import kernel, plan, qemu, scenario
from .errors import UserError

# The number of boots is limited, because the guest has a table with the command line of each.
_BOOTS = 50
_QUIET = "systemd.journald.forward_to_console=0 systemd.show_status=0"


def run(cache, arguments):
    if not os.isatty(0):
        raise UserError("luo-vm shell needs a terminal. To run commands in a guest, write a scenario; see luo-vm(1).")
    first = arguments.kernel or kernel.VERSIONS[0]
    following = arguments.next_kernel or (kernel.VERSIONS[1] if arguments.kernel is None else first)
    names = [first, following]
    made = {}
    for name in names:
        if name not in made:
            made[name] = plan.Kernel(name, kernel.resolve(cache, name), len(made) + 1)
    kernels = [made[names[boot % 2]] for boot in range(_BOOTS)]
    size = shutil.get_terminal_size()
    terminal = {"TERM": os.environ.get("TERM", "linux"), "LINES": size.lines, "COLUMNS": size.columns}
    variables = {
        "LUOVM_CGROUPS": 1, "LUOVM_PRELOAD": "", "LUOVM_HEARTBEAT": 3600, "LUOVM_SHELL": 1,
        "LUOVM_TERMINAL": "; ".join(f"{name}={shlex.quote(str(value))}" for name, value in terminal.items()),
        "LUOVM_ENVIRONMENT": "",
    }
    # The messages of the log of a scenario would disturb the shell.
    planned = plan.make(cache, kernels, ["kexec"] * _BOOTS, [_QUIET] * _BOOTS, variables,
                        [os.path.abspath(folder) for folder in arguments.overlay], keep_kernels=True,
                        first="loglevel=4", guests=[arguments.guest] * _BOOTS)
    buffer = qemu.SMALL_BUFFER if arguments.guest == scenario.MINIMAL else qemu.LARGE_BUFFER
    options = qemu.Options(qemu.accelerator(arguments.accel, cache), arguments.memory or "1G", arguments.cpus or 2,
                           buffer=buffer)
    print(f"Linux {kernels[0].release}; luo-vm-kexec starts {kernels[1].release}. "
          "To end the guest: exit, or Ctrl-A X.", flush=True)
    with cache.work_folder("shell") as work:
        command = qemu.command(options, kernels[0].path, planned.media(work, 1), planned.cmdlines[0],
                               "stdio,mux=on,signal=off", f"file,path={os.path.join(work, 'control')}")
        return subprocess.run(command, check=False).returncode
