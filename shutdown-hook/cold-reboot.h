/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_HOOK_COLD_REBOOT_H
#define SHUTDOWN_HOOK_COLD_REBOOT_H

/* What luo-shutdown does to the machine. The tests link another cold-reboot.c, which only says so.
 */

/* sync(2), but not for ever, and a cold reboot. Returns only if that fails. */
void cold_reboot(void);

/* The reboot alone, in a signal handler. */
void cold_reboot_now(void);

#endif
