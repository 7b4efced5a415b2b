/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_FDSTORE_INTERNAL_H
#define LIBLUO_FDSTORE_INTERNAL_H

/*
 * The memfds that this process made and stored under a name. The manager returns them only at the
 * next start; until then they are not among the fds of $LISTEN_FDS. So they are recorded here, and
 * a second call for a name finds its memfd instead of storing another one. Internal.
 */

#include <stdbool.h>

struct luo_made {
	char *name;
	int fd;      /* open as long as the process lives */
	bool stored; /* false: the manager did not confirm it, and may or may not have it */
	struct luo_made *next;
};

/* Hold the lock from the search until the memfd is stored, so that two threads do not make two. */
void luo_made_lock(void);
void luo_made_unlock(void);

/* NULL if there is none. */
struct luo_made *luo_made_find(const char *name);

/* Takes ownership of @fd on success. */
int luo_made_add(const char *name, int fd, struct luo_made **ret_made);

/* Removes the record and closes its fd. */
void luo_made_forget(struct luo_made *made);

/*
 * Pushes the memfd to the manager, unless that is done; without a manager this succeeds. If nothing
 * was sent, the record is removed. If the manager does not answer, the record stays, and the next
 * call pushes the same file again, which a manager does not store twice.
 */
int luo_made_store(struct luo_made *made, unsigned flags);

#endif
