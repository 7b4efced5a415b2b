/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_INCOMING_H
#define LIBLUO_HANDOVER_INCOMING_H

/*
 * Shared by incoming.c, incoming-merge.c, restore.c, rescue.c, carry.c and shared-file.c. Internal.
 */

#include <luo/handover.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"

/*
 * A file that several entries share. For the same token the kernel returns the same description,
 * but not the file that we made from it (a packed file is new, a read-only one was reopened). So
 * the first restored fd is remembered here.
 */
struct luo_shared_file {
	unsigned session;
	uint64_t token;
	struct luo_entry_meta meta; /* of the primary, which may have been dropped */
	int fd;                     /* -EBADF: not restored yet */
};

/* A LUO session of a unit that was retrieved and that another entry requests too. */
struct luo_fetched_session {
	char *name;
	int fd;
};

/* Sessions that one commit made: a main session and its spill sessions. */
struct luo_incoming_group {
	char *name; /* of the main session */
	enum luo_mapping_generation generation;
	unsigned first, n; /* its sessions, indexed by entry->session */
};

struct luo_incoming {
	char *name;
	/* More than one after luo_incoming_merge(). */
	struct luo_incoming_group *groups;
	size_t n_groups;
	/* Indexed by entry->session; -EBADF: not retrieved yet, -ENOENT: does not exist. */
	int *sessions;
	size_t n_sessions;
	struct luo_mapping *mapping;
	char *problem;
	struct luo_shared_file *shared; /* sorted by session and token */
	size_t n_shared;
	struct luo_fetched_session *fetched;
	size_t n_fetched;
	void *places; /* tokens that the mapping names; only if it has issues, see rescue.c */
	size_t n_places;
	/* Only during luo_incoming_retrieve(). */
	luo_incoming_session_fn on_session;
	void *on_session_userdata;
	uint64_t room;    /* memory that can still be charged, as of the last look, minus what was
			     restored since */
	uint64_t room_at; /* time of that look, microseconds of CLOCK_MONOTONIC */
	bool rescued;     /* nothing that a skipped entry named is left */
	bool finished;
};

/*
 * The fd of a session by its index. A session that could not be retrieved before is requested
 * again. -ENOENT if the kernel has no such session; any other error may go away.
 */
int luo_incoming_session(struct luo_incoming *incoming, unsigned index);

/*
 * Whether the session @name is a further one of @main_name: "MAIN.1", "MAIN.2" and so on, as
 * spill.c numbers them. Any other suffix is a session of its own.
 */
bool luo_session_is_further(const char *name, const char *main_name);

/*
 * As luo_incoming_free(), but leaves the session fds open, because the callback gave them to the
 * caller.
 */
struct luo_incoming *luo_incoming_free_keep_sessions(struct luo_incoming *incoming);

/* Builds ->shared from the aliases in the mapping. */
int luo_incoming_find_shared(struct luo_incoming *incoming);

/* Records which tokens are named, while every entry is still in the mapping's store. */
int luo_incoming_note_places(struct luo_incoming *incoming);

struct luo_shared_file *luo_incoming_shared_of(struct luo_incoming *incoming,
					       const struct luo_entry *entry);

/*
 * Merges @from into @to and frees @from. -EBUSY if one of them must stay separate: it is not
 * understood, has skipped entries, or has missing sessions. After -EBUSY and -ENOMEM both are
 * unchanged, except for empty units.
 */
int luo_incoming_merge(struct luo_incoming *into, struct luo_incoming *from);

/* The set of sessions that the entry came in; NULL if none. */
const struct luo_incoming_group *luo_incoming_group_of(const struct luo_incoming *incoming,
						       const struct luo_entry *entry);

/*
 * The bytes that a memory cgroup is charged when the file is restored, with pages of @page bytes.
 */
uint64_t luo_restore_charge(const struct luo_entry_meta *meta, uint64_t page);

/*
 * Records that an entry was restored before this process restarted, as @fd, so that its aliases
 * become the same file again. The caller keeps ownership of the fd.
 */
int luo_incoming_remember_fd(struct luo_incoming *incoming, const struct luo_entry *entry, int fd);

#endif
