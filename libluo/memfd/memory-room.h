/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_MEMFD_MEMORY_ROOM_H
#define LIBLUO_MEMFD_MEMORY_ROOM_H

#include <luo/inspect.h>

/* luo_memory_room() with another root directory than "/", for tests. */
int luo_memory_room_at(const char *root, struct luo_memory_room *ret);

/*
 * Only what the limits of the cgroups leave, UINT64_MAX without any; /proc/meminfo is not read.
 * memory.high is a limit here: retrieving beyond it takes minutes, and cannot be interrupted.
 */
int luo_memory_cgroup_room(uint64_t *ret_bytes);

#endif
