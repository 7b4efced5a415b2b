/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_OUTGOING_H
#define LUOD_OUTGOING_H

/*
 * The sessions of the current commit. A session lives as long as an fd of it is open, so luod and
 * its keeper hold the fds until the commit is undone or the kernel is replaced. The commit counts
 * from the moment at which its record is in the state log: after a kill before it, the next luod
 * undoes the commit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct luod;

struct outgoing {
	int *fds; /* the main session first */
	size_t n;
	int mapping_fd;         /* a memfd with a copy of the mapping; < 0 after a restart */
	int manager_mapping_fd; /* the same for the session of PID 1 */
	bool handed_over;       /* PID 1 brings the sessions into the next kernel */
	uint64_t first;         /* if it does: the number of the first session, "i<number>" */
};

/*
 * Holds the sessions @fds, which are taken over in any case, as the commit into @session, and
 * records it.
 * @hand_over: PID 1 brings them into the next kernel
 */
int outgoing_hold(struct luod *l, const char *session, bool hand_over, int *fds, size_t n);
/* Leaves only the sessions at the keeper, for a PID 1 that hands over what it keeps for luod. */
void outgoing_leave_sessions_only(struct luod *l);
/* Gives the sessions of the commit up, at the keeper too. Writes no record. */
void outgoing_release(struct luod *l);
void outgoing_free(struct luod *l);

#endif
