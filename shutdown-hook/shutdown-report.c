/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* What luod and the harvest have to say, in one line. Both are read without trusting their form. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/format.h"
#include "common/json.h"
#include "common/util.h"
#include "shutdown-hook/shutdown-report.h"

/* More than these few would not be read. */
#define NAMED_MAX 3

struct text {
	char *buffer;
	size_t size, n;
};

static void _printf_(2, 3) append(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->buffer + t->n, t->size - t->n, format, ap);
	va_end(ap);
	if (n > 0)
		t->n = MIN2(t->n + (size_t)n, t->size - 1);
}

static bool is_lost(struct json_object *result)
{
	const char *s = json_string(result, "result");

	return !s || !(streq(s, "preserved") || streq(s, "copied") || streq(s, "alias") ||
		       streq(s, "session"));
}

/* Those of which at least one fd is preserved. */
static size_t count_units(struct json_object *results)
{
	_cleanup_json_ struct json_object *units = json_object_new_object();

	for (size_t i = 0; i < json_length(results); i++) {
		struct json_object *e = json_at(results, i);
		const char *unit = json_string(e, "unit");

		if (unit && !is_lost(e))
			json_object_object_add(units, unit, NULL);
	}
	return (size_t)json_object_object_length(units);
}

static void name_lost(struct text *t, struct json_object *e, const char *why, size_t *n)
{
	if ((*n)++ >= NAMED_MAX)
		return;
	append(t, "%s%.60s %.40s: %.60s", *n == 1 ? " (" : ", ", json_string(e, "unit") ?: "?",
	       json_string(e, "name") ?: "?", why ?: "?");
}

/* "; 3 lost (...)" */
static void append_lost(struct text *t, struct json_object *reply, struct json_object *record)
{
	struct json_object *results = json_child(reply, "results");
	struct json_object *skipped = json_child(record, "skipped");
	uint64_t all = (uint64_t)json_int(reply, "lost") + (uint64_t)json_int(record, "lost");
	size_t named = 0;

	if (all == 0)
		return;
	append(t, "; %" PRIu64 " lost", all);
	for (size_t i = 0; i < json_length(results); i++)
		if (is_lost(json_at(results, i)))
			name_lost(t, json_at(results, i),
				  json_string(json_at(results, i), "reason"), &named);
	for (size_t i = 0; i < json_length(skipped); i++)
		name_lost(t, json_at(skipped, i), json_string(json_at(skipped, i), "kind"), &named);
	if (named > 0 && all > NAMED_MAX)
		append(t, ", and %" PRIu64 " more", all - MIN2(named, (size_t)NAMED_MAX));
	if (named > 0)
		append(t, ")");
}

static void append_kept(struct text *t, uint64_t fds, uint64_t units, uint64_t bytes)
{
	char size[FORMAT_MAX];

	append(t, "%" PRIu64 " fd%s of %" PRIu64 " unit%s, %s, ", fds, fds == 1 ? "" : "s", units,
	       units == 1 ? "" : "s", format_size(size, bytes));
}

bool report_commit(struct json_object *reply, struct json_object *record, uint64_t usec,
		   char *buffer, size_t size)
{
	struct text t = { .buffer = buffer, .size = size };
	uint64_t preserved = (uint64_t)json_int(reply, "preserved");
	char time[FORMAT_MAX];

	if (preserved == 0 && json_int(reply, "lost") == 0 && json_int(record, "lost") == 0)
		return false;
	if (preserved > 0) {
		append_kept(&t, preserved, count_units(json_child(reply, "results")),
			    (uint64_t)json_int(reply, "bytes"));
		append(&t, "preserved in %s", format_usec(time, usec));
	} else {
		append(&t, "nothing preserved");
	}
	append_lost(&t, reply, record);
	if (json_string(reply, "note"))
		append(&t, "; %.200s", json_string(reply, "note"));
	return true;
}

bool report_standing(struct json_object *status, struct json_object *record, char *buffer,
		     size_t size)
{
	struct text t = { .buffer = buffer, .size = size };
	uint64_t fds = (uint64_t)json_int(status, "stored") + (uint64_t)json_int(status, "held");

	if (fds == 0)
		return false;
	append_kept(&t, fds, (uint64_t)json_int(status, "units"),
		    (uint64_t)json_int(status, "bytes"));
	append(&t, "were committed already");
	append_lost(&t, NULL, record);
	return true;
}
