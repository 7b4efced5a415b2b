/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_RESTORE_H
#define SHUTDOWN_HOOK_RESTORE_H

/*
 * What luod holds for a unit goes into the unit's fd store in PID 1, before its main process
 * starts.
 *
 *  1. is there anything? RUNTIME/units says so without a question to anybody. At most starts of a
 *     service there is nothing
 *  2. has the fd store of the unit room for it? If not, it stays held
 *  3. claim: luod retrieves it, in our cgroup, so that the unit is charged for its memory
 *  4. push what PID 1 does not have yet, in order, and wait until it has seen it
 *  5. ask PID 1 what it has; luod forgets that, and keeps the rest
 *
 * Until luod has forgotten, it has everything, and PID 1 refuses nothing that it has not got: so
 * whenever this is killed, the next run gets the same result.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <luo/client.h>

#include "manager/manager.h"
#include "common/util.h"

struct restore {
	const char *unit;
	/*
	 * In the manager of a user: its own unit in PID 1, under which luod has all that is his,
	 * and what the names begin with there, "a.service/". Else NULL.
	 */
	const char *owner, *prefix;
	const char *notify_access; /* what systemd is told at the end, or NULL; see generator.c */
	const char *runtime_dir;
	const char *fdstore;   /* $FDSTORE, or NULL */
	uint64_t timeout_usec; /* for a luod that is not there yet */
	bool required;
	/* PID 1; with another one in tests */
	int (*dump)(void *userdata, const char *unit, struct luo_manager_fd **ret, size_t *ret_n);
	void *userdata;
};

/* One fd that luod had for the unit, in order. */
struct restore_fd {
	char *name;
	int fd; /* -EBADF: lost */
	bool poll;
	bool again;   /* the same file as one before it */
	char *reason; /* why it is lost, or NULL */
	dev_t device;
	ino_t inode;
	mode_t mode;
	uint64_t size;
	char *path; /* what tells two anonymous inodes from each other, or NULL */
};

struct restore_fds {
	struct restore_fd *items;
	size_t n;
};

void restore_fds_done(struct restore_fds *fds);

/* 0, or 1 if there was something to restore and not all of it is in the fd store now. */
int restore_run(const struct restore *restore);

void restore_say(int priority, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/* So long one look at PID 1's store may take. It is tried again: what starts without its memory
 * because PID 1 had much to do would be no better than after a cold boot. */
#define RESTORE_LOOK_TIMEOUT (120 * USEC_PER_SEC)
#define RESTORE_LOOKS        5

/* So long a luod that is there and does not answer is waited for. */
#define RESTORE_PATIENCE (60 * USEC_PER_SEC)

/* ---- luod: restore-claim.c ------------------------------------------------------------------- */

/* One entry that is not lost; nothing has been retrieved yet. */
struct restore_entry {
	char *name;
	ino_t inode; /* 0: it lies in the kernel, so PID 1 cannot have it */
};

struct restore_listed {
	struct restore_entry *entries;
	size_t n;
	uint64_t bytes;
};

void restore_listed_done(struct restore_listed *listed);

/* Both wait for luod. -ENOENT if it has nothing for the unit, without a word. */
int restore_list(const struct restore *restore, struct restore_listed *ret);
int restore_claim(const struct restore *restore, const struct restore_listed *listed,
		  uint64_t timeout_usec, struct restore_fds *ret);
/* luod forgets @name, or all if it is NULL (not with an owner), of what it has handed out. */
int restore_forget(const struct restore *restore, const char *name);

/* ---- PID 1: restore-push.c ------------------------------------------------------------------- */

/* Which of them PID 1 has: sets taken[i], each of @have counts once. How many those are. */
size_t restore_match(const struct restore_fds *fds, const struct luo_manager_fd *have,
		     size_t n_have, bool *taken);
int restore_push(const struct restore_fd *fd);
/* Returns when PID 1 has seen all that was pushed. */
int restore_barrier(void);
void restore_notify(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
/* Two fds of one open file description would be one in PID 1: the second gets its own. */
int restore_separate(struct restore_fds *fds);

#endif
