/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_HOLDINGS_TAKE_H
#define LUOD_HOLDINGS_TAKE_H

/*
 * Takes holdings out of the kernel: for the unit that claims them, for a commit, or to drop them.
 * The cgroup of the claimer pays for the memory. An error leaves the rest in the kernel, and the
 * call can be repeated; what the kernel cannot restore becomes a lost entry.
 */

#include <stdint.h>

#include <luo/store.h>

struct luod;
struct peer;

/*
 * Claims everything of @unit (NULL name: all names) for @to. Returns the first error that can be
 * tried again. The cgroup of @claimer pays for the memory; NULL: that of luod.
 */
int holdings_claim(struct luod *l, const char *unit, const char *name, struct luo_unit *to,
		   const struct peer *claimer);
/* An fd of an entry that stays a holding. The opener pays, as for a claim. */
int holdings_open(struct luod *l, struct luo_entry *entry, const struct peer *opener, int *ret_fd);
/* Restores everything that is in the kernel into held, and finishes the session. */
int holdings_restore_all(struct luod *l);
int holdings_drop(struct luod *l, struct luo_entry *entry, uint64_t *ret_bytes);

#endif
