/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_SHUTDOWN_REPORT_H
#define SHUTDOWN_HOOK_SHUTDOWN_REPORT_H

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one line: "12 fds of 3 units, 130 MiB, preserved in 45 ms; 1 lost (a.service x: pipe)".
 * @reply: of Commit; @record: what was harvested, or NULL. False if there is nothing to say.
 */
bool report_commit(struct json_object *reply, struct json_object *record, uint64_t usec,
		   char *buffer, size_t size);

/* The same for a commit that stood already. @status: of luod */
bool report_standing(struct json_object *status, struct json_object *record, char *buffer,
		     size_t size);

#endif
