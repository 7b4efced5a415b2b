/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HANDOVER_COMMIT_PLAN_H
#define LIBLUO_HANDOVER_COMMIT_PLAN_H

/*
 * The plan of a commit: every entry looked at once, aliases found, and a decision for each file on
 * how it travels. Nothing is preserved here. Internal.
 */

#include <luo/handover.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"

/* Of all packed files of a commit: the reader has a limit to the memory that a mapping may take. */
#define LUO_COMMIT_EXTENTS_MAX ((size_t)65536)

/* One entry on its way. results[i] of the plan is the public half of items[i]. */
struct luo_commit_item {
	struct luo_entry *entry;
	struct luo_commit_item *primary; /* of an alias; else NULL */
	struct luo_entry_meta meta;      /* what goes into the mapping */
	dev_t device;
	ino_t inode;
	uint64_t size;
	uint64_t holes; /* bytes that preserving would fill */
	unsigned seals;
	int copy_fd; /* what is preserved instead; -EBADF: the file itself */
	unsigned session;
	uint64_t token;
	bool travels;            /* has a place in the mapping */
	struct luo_entry mapped; /* its place there; what it points to is the entry's and ours */
	char *session_name;      /* of a session, for the mapping */
};

struct luo_commit_plan {
	struct luo_commit_item *items;
	struct luo_commit_result *results;
	size_t n;
};

/* Looks at every entry that is wanted and decides. -EINVAL if one has no fd. */
int luo_commit_plan_make(struct luo_store *const *stores, size_t n_stores,
			 const struct luo_commit_options *options,
			 struct luo_commit_plan *ret_plan);

/*
 * Whether a file comes back as what it was if the kernel preserves it as it is: without many holes
 * that would be filled, and not sealed against exec. Only such a file can be handed to a reader
 * that does not know our keys of the mapping. True for what is no file at all.
 */
bool luo_commit_travels_plain(int fd);

/*
 * Makes the copy for an item that must not travel as it is, and checks that memory is enough for
 * it. Called right before the item is preserved, so that the copy is as fresh as can be.
 * @extents_left: how many the mapping can still take, see LUO_COMMIT_EXTENTS_MAX
 * Returns 0, or a negative errno with *ret_reason set.
 */
int luo_commit_item_prepare(struct luo_commit_item *item, unsigned flags, size_t *extents_left,
			    const char **ret_reason);

void luo_commit_plan_clear(struct luo_commit_plan *plan);

#endif
