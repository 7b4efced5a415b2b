/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_RECORD_H
#define SHUTDOWN_HOOK_RECORD_H

/*
 * A record of one harvest, a JSON object:
 *
 *   {"version":1, "when":USEC, "bootId":"...", "shutdownStart":USEC, "entries":N, "units":N,
 *    "skipped":[{"unit":"a.service","name":"x","kind":"pipe","reason":"..."}],
 *    "problems":["..."]}
 *
 * /run/luo/harvested marks the harvest of this shutdown as done, and tells luo-shutdown what else
 * was lost. /var/lib/luo/shutdown.json tells the next boot what the previous one expected to keep.
 */

#include <json-c/json_object.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_NAME     "harvested"
#define RECORD_VAR_DIR  "/var/lib/luo"
#define RECORD_VAR_FILE "shutdown.json"

/* The list contains no more than this; "skippedTotal" has the number. */
#define RECORD_SKIPPED_MAX 1000

struct json_object *record_new(void);
void record_add_skipped(struct json_object *record, const char *unit, const char *name,
			const char *kind, const char *reason);
void record_add_problem(struct json_object *record, const char *text);

/* Replaces the file in one step. */
int record_write(struct json_object *record, const char *directory, const char *name);
int record_read(const char *directory, const char *name, struct json_object **ret_record);

static inline void record_putp(struct json_object **record)
{
	json_object_put(*record);
}
#define _cleanup_record_ __attribute__((__cleanup__(record_putp)))

#endif
