/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_COMMIT_PARTS_H
#define LUOD_COMMIT_PARTS_H

/*
 * The sessions that one commit makes in the kernel: luod's own, the one that a newer systemd looks
 * for (commit-split.h), and the index (commit-index.h). If one of the latter two cannot be made,
 * the commit goes on without it, and the note of the report says so. All of them are undone when
 * the parts are freed, unless another fd of them is open.
 */

#include <stddef.h>
#include <stdint.h>

#include <luo/handover.h>
#include <luo/store.h>

#include "common/util.h"
#include "tools/luod/commit-split.h"

#define DEVICE_TIMEOUT_USEC (10 * USEC_PER_SEC)

struct commit_report;
struct commit_request;
struct luod;

struct parts {
	struct luod *luod;
	const struct commit_request *request;
	struct commit_report *report;
	struct luo_store *stores[2];
	struct luo_mapping_state state; /* for the mappings */
	struct split split;
	struct luo_commit *own, *manager; /* one of them may be missing */
	int index_fd;                     /* < 0: no index */
};

/* Preserves all entries. report->session_name is the name to use, and becomes the one used. */
int parts_preserve(struct luod *l, const struct commit_request *request, uint64_t started,
		   struct commit_report *report, struct parts *ret);
void parts_done(struct parts *parts);
size_t parts_count_sessions(const struct parts *parts);
/* Appends copies of the fds of all sessions to an allocated list, the main session first. */
int parts_append_sessions(const struct parts *parts, int **list, size_t *n_list);

#endif
