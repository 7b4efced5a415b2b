/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_FDSTORE_INTERNAL_H
#define LIBLUO_FDSTORE_INTERNAL_H

/*
 * What this process made and stored under a name. The manager has it, but gives it back only to the
 * next start: until then it is not among the fds of $LISTEN_FDS. So it is remembered here, and a
 * second call for the name finds it instead of storing another one. Internal.
 */

#include <stdbool.h>

struct luo_made {
	char *name;
	int fd;      /* ours, as long as the process lives */
	bool stored; /* false: the manager did not confirm it. It may have it or not. */
	struct luo_made *next;
};

/* Held from the look until the thing is stored, so that two threads do not make two. */
void luo_made_lock(void);
void luo_made_unlock(void);

/* NULL if there is none. */
struct luo_made *luo_made_find(const char *name);

/* Takes over @fd on success. */
int luo_made_add(const char *name, int fd, struct luo_made **ret_made);

/* Closes the fd. */
void luo_made_forget(struct luo_made *made);

/*
 * Pushes it, if that is not done yet; without a manager that is a success. If nothing was sent, the
 * entry is forgotten. If the manager does not answer it stays, and the next call pushes the same
 * file again, which a manager does not store twice.
 */
int luo_made_store(struct luo_made *made, unsigned flags);

#endif
