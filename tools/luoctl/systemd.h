/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_SYSTEMD_H
#define LUOCTL_SYSTEMD_H

/* What is told to PID 1, through systemctl: it knows how to do it without the bus, too. */

#include <stdbool.h>

/* Its exit status, or negative errno. The arguments end with NULL; its messages are seen. */
int systemctl(const char *verb, ...) __attribute__((__sentinel__));

/* After a holding went to another unit: PID 1 below 261 needs a drop-in for it. 0 if not needed. */
int systemd_reload_for(const char *unit, bool *ret_done);

#endif
