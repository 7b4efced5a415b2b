/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_RETRIEVE_IN_H
#define LUOD_RETRIEVE_IN_H

/*
 * Getting entries out of an incoming session at somebody else's cost.
 *
 * The kernel charges the memory to the cgroup of whoever makes the ioctl. So a child makes it that
 * was born in the cgroup of the unit, and shares our table of fds: what it gets, we have.
 */

#include <luo/inspect.h>

#include "libluo/handover/incoming.h"

/*
 * Restores @n entries, files that still lie in the kernel, in the cgroup @cgroup ("/...").
 * As after luo_incoming_restore() each has its fd, or entry->failed set.
 *
 *  -EOPNOTSUPP  it cannot be done from there, and nothing was: do it here
 *  -EDQUOT      no room under a memory limit: *ret_room says which
 *  -EAGAIN      the cgroup is frozen, or the child was stopped
 *  others       the first that can be tried again
 */
int retrieve_in(const char *cgroup, struct luo_incoming *incoming, struct luo_entry **entries,
		size_t n, struct luo_memory_room *ret_room);

#endif
