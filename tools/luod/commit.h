/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_COMMIT_H
#define LUOD_COMMIT_H

/*
 * The last step before a kexec: preserves every entry in sessions of the kernel. If a commit fails,
 * no entry is lost and nothing is committed. A new commit undoes the previous one first.
 */

#include <luo/handover.h>
#include <luo/session.h>

struct json_object;
struct luod;

struct commit_request {
	const char *session_name;
	bool dry_run;
	unsigned max_files;
	/* PID 1 hands over its store of luod's fds: only the sessions stay in that store. */
	bool hand_over;
};

/* The result; all texts are allocated. */
struct commit_report {
	char session_name[LUO_SESSION_NAME_MAX + 1]; /* the name that was used */
	struct luo_commit_summary summary;
	bool managed; /* it has entries of PID 1's fd stores */
	size_t sessions;
	struct json_object *results;
	char *text;            /* on failure: a sentence */
	char *note;            /* a sentence on what was done otherwise than usual; may be NULL */
	uint64_t needed, room; /* for -EDQUOT */
	pid_t pid;             /* for -EBUSY: the process that has the device; 0 if not known */
	char *process;
};

void commit_report_done(struct commit_report *report);
int commit_make(struct luod *l, const struct commit_request *request, struct commit_report *ret);
/* Undoes the commit. 1 if there was one, 0 if not. */
int commit_abort(struct luod *l);
/* Gives the sessions of the commit up without a record. */
void commit_forget(struct luod *l);

#endif
