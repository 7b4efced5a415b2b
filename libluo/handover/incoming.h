/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HANDOVER_INCOMING_H
#define LIBLUO_HANDOVER_INCOMING_H

/* What incoming.c and its neighbours share. Internal. */

#include <luo/handover.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"

/*
 * A file that several entries share. The kernel would give the same description for the same token
 * again, but not what we made of it: a packed file is a new one, a read-only one was reopened. So
 * the first that is restored is remembered here.
 */
struct luo_shared_file {
	unsigned session;
	uint64_t token;
	struct luo_entry_meta meta; /* of the primary, which may have been dropped meanwhile */
	int fd;                     /* -EBADF: not restored yet */
};

/* A LUO session of a unit that was retrieved, and that another entry will ask for as well. */
struct luo_fetched_session {
	char *name;
	int fd;
};

/* Sessions that were made together: a main one and its spills. */
struct luo_incoming_group {
	char *name; /* of the main session */
	enum luo_mapping_generation generation;
	unsigned first, n; /* its sessions, by entry->session */
};

struct luo_incoming {
	char *name;
	/* More than one after luo_incoming_merge(). */
	struct luo_incoming_group *groups;
	size_t n_groups;
	/* By entry->session; -EBADF for one that is not there yet, -ENOENT for one that never was.
	 */
	int *sessions;
	size_t n_sessions;
	struct luo_mapping *mapping;
	char *problem;
	struct luo_shared_file *shared; /* sorted by session and token */
	size_t n_shared;
	struct luo_fetched_session *fetched;
	size_t n_fetched;
	void *places; /* which tokens the mapping names; only if it has issues, see rescue.c */
	size_t n_places;
	uint64_t room; /* what can still be charged, as of the last look, less what was restored */
	uint64_t room_at; /* when that was, microseconds of CLOCK_MONOTONIC */
	bool rescued;     /* nothing is left that a skipped entry meant */
	bool finished;
};

/*
 * The fd of a session by its index. One that could not be had at first is asked for again: -ENOENT
 * if the kernel has no such session, anything else may be tried again.
 */
int luo_incoming_session(struct luo_incoming *incoming, unsigned index);

/* Builds ->shared from the aliases in the mapping. */
int luo_incoming_find_shared(struct luo_incoming *incoming);

/* Takes down which tokens are named, while every entry is still in the mapping's store. */
int luo_incoming_note_places(struct luo_incoming *incoming);

struct luo_shared_file *luo_incoming_shared_of(struct luo_incoming *incoming,
					       const struct luo_entry *entry);

/*
 * Makes one of two: @from is used up. -EBUSY if one of them has to stay by itself: it is not
 * understood, has entries that were skipped, or sessions that are still to be had. Then, and on
 * -ENOMEM, both are as they were, but for empty units.
 */
int luo_incoming_merge(struct luo_incoming *into, struct luo_incoming *from);

/* Which of the sessions that were made one the entry came in; NULL if none. */
const struct luo_incoming_group *luo_incoming_group_of(const struct luo_incoming *incoming,
						       const struct luo_entry *entry);

/*
 * Tells that an entry was restored in an earlier life of this process, so that its aliases become
 * the same file again. The fd stays the entry's.
 */
int luo_incoming_remember(struct luo_incoming *incoming, const struct luo_entry *entry);

#endif
