/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_COMMIT_REPORT_H
#define LUOD_COMMIT_REPORT_H

/*
 * What the caller of a commit learns: the result for each entry, the sums, and on failure a
 * sentence that says why, and what to do. These functions only write the report.
 */

#include <stdint.h>
#include <sys/types.h>

#include <luo/handover.h>
#include <luo/session.h>

#include "common/util.h"

struct json_object;
struct luod;
struct split;

/* The texts are allocated. */
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

/* Appends the results of one part. A result that @split tries again in a later part is left out. */
int report_add_part(struct commit_report *report, const struct luo_commit *part,
		    const struct split *split);
/* Appends the result for a session that is carried over as it is; -errno in @error if it is not. */
int report_add_carried(struct commit_report *report, const char *session, size_t files, int error);
/* Sets the note, and logs it as a warning. */
void report_note(struct commit_report *report, const char *format, ...) _printf_(2, 3);

/* These set the text, and return @error. */
int report_failure(struct commit_report *report, int error, const char *format, ...) _printf_(3, 4);
int report_busy(struct commit_report *report, uint64_t waited_usec);
int report_no_room(struct commit_report *report, const struct luod *l);
void commit_report_done(struct commit_report *report);

#endif
