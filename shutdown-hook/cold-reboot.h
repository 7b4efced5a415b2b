/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_COLD_REBOOT_H
#define SHUTDOWN_HOOK_COLD_REBOOT_H

/* What luo-shutdown does to the machine. The tests link another cold-reboot.c, which only logs it.
 */

/* Does a sync(2) with a timeout, then a cold reboot. Returns only if the reboot fails. */
void cold_reboot(void);

/* Only reboots. Safe in a signal handler. */
void cold_reboot_now(void);

#endif
