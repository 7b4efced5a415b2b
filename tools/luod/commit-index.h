/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_COMMIT_INDEX_H
#define LUOD_COMMIT_INDEX_H

/*
 * The index: a small session that the generator reads early in the next boot. It says which units
 * have holdings that go back into PID 1's fd stores, and how the commit went. The generator must
 * not retrieve the sessions with the memory that early: closing one would free what is in it.
 */

#include <stddef.h>
#include <stdint.h>

#include <luo/store.h>

#define INDEX_SESSION "luo-index"

struct commit_report;
struct split;

/* Makes the session, which lives as long as the fd. -EEXIST if another process has made one. */
int index_commit(struct luo_store *const *stores, size_t n_stores, struct split *split,
		 const struct commit_report *report, uint64_t device_timeout_usec, int *ret_fd);

#endif
