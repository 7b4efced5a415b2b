/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_COMMIT_SPLIT_H
#define LUOD_COMMIT_SPLIT_H

/*
 * Which entry goes into which session.
 *
 * What was collected from PID 1's fd stores goes into the session that a systemd which can do it
 * itself looks for, so that either of the two may be there after the kexec. Such a systemd does not
 * know our keys of the mapping, and frees what it does not understand. So that session has only
 * what comes back right without them; the rest goes into luod's own, and luod gives it back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <luo/handover.h>

struct split_file {
	dev_t device;
	ino_t inode;
};

struct split {
	struct luo_store *const *stores;
	size_t n_stores;
	/* Files that a unit of ours has as well: no file can be in two sessions. Sorted. */
	struct split_file *shared;
	size_t n_shared;
	size_t n_manager, n_own; /* how many entries go where */
	size_t n_managed;        /* of managed units, wherever they go */
	bool whole;              /* all of it into luod's own session */
	/* What could not go into PID 1's session, and may yet go packed into ours. */
	const struct luo_entry **again;
	size_t n_again;
	/* The unit that was looked at last, and what it is. */
	const struct luo_unit *unit;
	bool managed;
};

/* @whole: PID 1's session cannot be made */
int split_make(struct luo_store *const *stores, size_t n_stores, bool whole, struct split *ret);
void split_done(struct split *split);
/* Looks at what became of PID 1's part. */
int split_note_failed(struct split *split, const struct luo_commit *manager);
bool split_is_tried_again(const struct split *split, const struct luo_entry *entry);
/* For luo_commit_options: what goes into PID 1's session, and what into luod's own. */
bool split_is_manager(const struct luo_entry *entry, void *split);
bool split_is_own(const struct luo_entry *entry, void *split);

#endif
