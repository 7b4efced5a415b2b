/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_RETRIEVE_IN_H
#define LUOD_RETRIEVE_IN_H

/*
 * Restores entries at the cost of another cgroup. The kernel charges memory to the cgroup of the
 * process that makes the ioctl. So a child makes it that is born in the cgroup of the unit and
 * shares the table of fds with luod: luod has every fd that the child gets.
 */

#include <luo/inspect.h>

#include "libluo/handover/incoming.h"

/*
 * Restores @n entries, files that are still in the kernel, in the cgroup @cgroup ("/..."). As after
 * luo_incoming_restore(), each has its fd, or entry->failed is set.
 *
 *  -EOPNOTSUPP  the cgroup cannot be used, and nothing was restored: restore without it
 *  -EDQUOT      no room under a memory limit: *ret_room says which
 *  -EAGAIN      the cgroup is frozen, or the child was stopped
 *  others       the first error that can be tried again
 */
int retrieve_in(const char *cgroup, struct luo_incoming *incoming, struct luo_entry **entries,
		size_t n, struct luo_memory_room *ret_room);

#endif
