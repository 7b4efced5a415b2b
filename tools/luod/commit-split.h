/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_COMMIT_SPLIT_H
#define LUOD_COMMIT_SPLIT_H

/*
 * Decides which entry goes into which session.
 *
 * Entries of PID 1's fd stores go into the session that a newer systemd looks for, so that either
 * systemd or luod can give them back after the kexec. Such a systemd does not know the keys that
 * luod adds to the mapping, and frees what it does not understand. So that session has only files
 * that are restored correctly without them. The rest goes into luod's own session, and luod gives
 * it back.
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
	/* Files that a unit of luod has too: a file cannot be in two sessions. Sorted. */
	struct split_file *shared;
	size_t n_shared;
	size_t n_manager, n_own; /* how many entries go into which session */
	size_t n_managed;        /* entries of managed units, in any session */
	bool whole;              /* everything goes into luod's own session */
	/* Entries that do not fit into PID 1's session, and may fit packed into luod's own. */
	const struct luo_entry **again;
	size_t n_again;
	/* The unit of the last question, and the answer. */
	const struct luo_unit *unit;
	bool managed;
};

/* @whole: the session for PID 1 cannot be made */
int split_make(struct luo_store *const *stores, size_t n_stores, bool whole, struct split *ret);
void split_done(struct split *split);
/* Finds the entries that failed in PID 1's session and are tried again. */
int split_note_failed(struct split *split, const struct luo_commit *manager);
bool split_is_tried_again(const struct split *split, const struct luo_entry *entry);
/* For luo_commit_options: the entry goes into PID 1's session, or into luod's own. */
bool split_is_manager(const struct luo_entry *entry, void *split);
bool split_is_own(const struct luo_entry *entry, void *split);

#endif
