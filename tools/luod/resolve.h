/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_RESOLVE_H
#define LUOD_RESOLVE_H

/*
 * Which unit does a process belong to? Only the kernel and the registrations are asked, never the
 * process. A process cannot get the fds of a unit of another user.
 */

struct luod;
struct peer;

/* -ESRCH: the unit is not known; -ESTALE: the process is gone. @ret_cgroup may be NULL. */
int resolve_unit(struct luod *l, const struct peer *peer, char **ret_unit, char **ret_cgroup);

#endif
