/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_MACHINE_H
#define SHUTDOWN_MACHINE_H

/* What luo-shutdown does to the machine. The tests link another machine.c, which only says so. */

#include <sys/types.h>

/* sync(2), but not for ever, and a cold reboot. Returns only if that fails. */
void machine_reboot(void);

/* The reboot alone, in a signal handler. */
void machine_reboot_now(void);

#endif
