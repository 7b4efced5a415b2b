/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_HOLDINGS_H
#define LUOD_HOLDINGS_H

/*
 * What came from the previous kernel and is not claimed. It stays in the kernel until a unit claims
 * it, and the session fds stay open until nothing is left. An unreadable session stays open until
 * the next kexec: closing it would free what is in it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luo/handover.h>
#include <luo/session.h>

struct luod;

/* A session that came in, as the keeper knows it. */
struct kept_session {
	uint64_t number; /* "i<number>" */
	int fd;          /* of a session that luod does not know, and holds; else -EBADF */
	char *name;
};

/* Takes over session fds with their numbers. luod holds them, whatever is in them. */
void holdings_adopt(struct luod *l, const struct kept_session *sessions, size_t n);
void holdings_free(struct luod *l);
/*
 * The name for a commit if an unreadable session has the usual one: luod looks for both names after
 * the kexec. -ENAMETOOLONG.
 */
int holdings_other_name(const struct luod *l, char name[LUO_SESSION_NAME_MAX + 1]);
/* The unreadable sessions that came in, for i = 0, 1, ... until NULL. */
struct luo_incoming *holdings_unreadable(const struct luod *l, size_t i);
/* One of them has this name. It keeps the name in the next kernel too. */
bool holdings_has_unreadable(const struct luod *l, const char *name);
/* Gives an entry in the kernel to another unit; the entry stays in the kernel. */
int holdings_move(struct luod *l, struct luo_entry *entry, const char *unit);
/* Removes an entry from the list of what is in the kernel, and its unit with the last entry. */
void holdings_remove_entry(struct luo_entry *entry);
/* Finishes the session if nothing is left in the kernel. */
void holdings_settle(struct luod *l);

#endif
