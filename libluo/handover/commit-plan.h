/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_COMMIT_PLAN_H
#define LIBLUO_HANDOVER_COMMIT_PLAN_H

/*
 * The plan of a commit. It inspects every entry once, finds aliases (a file is preserved once,
 * however many units hold it), and decides for each file how it is carried. It preserves nothing.
 * Internal.
 */

#include <luo/handover.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"

/* Limit over all packed files of a commit, because the reader limits the memory of a mapping. */
#define LUO_COMMIT_EXTENTS_MAX ((size_t)65536)

/* One entry of the plan. results[i] is the public half of items[i]. */
struct luo_commit_item {
	struct luo_entry *entry;
	struct luo_commit_item *primary; /* the primary of an alias; else NULL */
	struct luo_entry_meta meta;      /* attributes for the mapping */
	dev_t device;
	ino_t inode;
	uint64_t size;
	uint64_t holes; /* bytes of holes that preserving would fill */
	unsigned seals;
	int copy_fd; /* the copy that is preserved instead; -EBADF: the file itself */
	unsigned session;
	uint64_t token;
	bool travels;            /* is in the mapping */
	struct luo_entry mapped; /* its entry there; it borrows everything from the entry and from
				    this item */
	char *session_name;      /* name of a session, for the mapping */
};

struct luo_commit_plan {
	struct luo_commit_item *items;
	struct luo_commit_result *results;
	size_t n;
};

/* Inspects every requested entry and decides. -EINVAL if one has no fd. */
int luo_commit_plan_make(struct luo_store *const *stores, size_t n_stores,
			 const struct luo_commit_options *options,
			 struct luo_commit_plan *ret_plan);

/*
 * True if the kernel can preserve the file as it is: without many holes, which would be filled, and
 * without the exec seal. Only such a file can be given to a reader that does not know our keys of
 * the mapping. True for anything that is not a file.
 */
bool luo_commit_travels_plain(int fd);

/*
 * Makes the copy for an item that cannot be preserved directly, and checks that there is enough
 * memory. Call it right before the item is preserved, so that the copy is current. @extents_left:
 * how many extents the mapping can still take, see LUO_COMMIT_EXTENTS_MAX. Returns 0, or a negative
 * errno with *ret_reason set.
 */
int luo_commit_item_prepare(struct luo_commit_item *item, unsigned flags, size_t *extents_left,
			    const char **ret_reason);

void luo_commit_plan_clear(struct luo_commit_plan *plan);

#endif
