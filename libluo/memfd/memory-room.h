/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_MEMFD_MEMORY_ROOM_H
#define LIBLUO_MEMFD_MEMORY_ROOM_H

#include <luo/inspect.h>

/* As luo_memory_room(), with another root directory than "/", for tests. */
int luo_memory_room_at(const char *root, struct luo_memory_room *ret);

/*
 * Only the room that the cgroup limits leave, UINT64_MAX without a limit; /proc/meminfo is not
 * read. memory.high counts as a limit, because a retrieve beyond it takes minutes and cannot be
 * interrupted.
 */
int luo_memory_cgroup_room(uint64_t *ret_bytes);

#endif
