/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_COMMIT_H
#define LUOD_COMMIT_H

/*
 * The last step before a kexec: preserves every entry in sessions of the kernel. If a commit fails,
 * no entry is lost and nothing is committed. A new commit undoes the previous one first.
 */

#include <stdbool.h>

struct commit_report;
struct luod;

struct commit_request {
	const char *session_name;
	bool dry_run;
	unsigned max_files;
	/* PID 1 hands over its store of luod's fds: only the sessions stay in that store. */
	bool hand_over;
};

int commit_make(struct luod *l, const struct commit_request *request, struct commit_report *ret);
/* Undoes the commit. 1 if there was one, 0 if not. */
int commit_abort(struct luod *l);

#endif
