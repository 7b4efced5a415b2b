/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_OUTGOING_H
#define LUOD_OUTGOING_H

/*
 * The sessions of the current commit. A session lives as long as an fd of it is open, so luod and
 * its keeper hold the fds until the commit is undone or the kernel is replaced. The commit counts
 * from the moment at which its record is in the state log.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outgoing {
	int *fds; /* the main session first */
	size_t n;
	int mapping_fd;         /* a memfd with a copy of the mapping; < 0 after a restart */
	int manager_mapping_fd; /* the same for the session of PID 1 */
	bool handed_over;       /* PID 1 brings the sessions into the next kernel */
	uint64_t first;         /* if it does: the number of the first session, "i<number>" */
};

#endif
