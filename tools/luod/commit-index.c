/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/commit-index.h"

#include <json-c/json.h>
#include <stdio.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/json.h"
#include "common/util.h"
#include "libluo/store/internal.h"
#include "tools/luod/commit-report.h"
#include "tools/luod/commit-split.h"
#include "tools/luod/managed.h"

#define INDEX_VERSION 1
#define PROBLEMS_MAX  20

/* -1: no entry is carried over; 0: some are in luod's own session; 1: all are in that of PID 1. */
static int is_native(const struct luo_unit *unit, struct split *split)
{
	struct luo_entry *entry;

	LUO_FOREACH_ENTRY (entry, unit)
		if (!split_is_manager(entry, split) || split_is_tried_again(split, entry))
			return 0;
	return unit->n_entries > 0 ? 1 : -1;
}

static struct json_object *list_units(struct luo_store *const *stores, size_t n_stores,
				      struct split *split)
{
	struct json_object *list = json_object_new_array();
	struct luo_unit *unit;

	for (size_t i = 0; i < n_stores; i++)
		LUO_FOREACH_UNIT (unit, stores[i]) {
			struct json_object *o;
			int native;

			if (!unit_is_managed(unit))
				continue;
			native = is_native(unit, split);
			if (native < 0)
				continue;
			o = json_object_new_object();
			json_add_utf8(o, "name", unit->name);
			json_add_bool(o, "native", native);
			json_append(list, o);
		}
	return list;
}

/* Entries that are not carried over, with their reasons, as far as there is room. */
static struct json_object *list_problems(const struct commit_report *report)
{
	struct json_object *list = json_object_new_array();
	size_t n = report->results ? json_object_array_length(report->results) : 0;

	if (report->note)
		json_append_string(list, report->note);
	for (size_t i = 0; i < n && json_object_array_length(list) < PROBLEMS_MAX; i++) {
		struct json_object *o = json_object_array_get_idx(report->results, i), *v;
		const char *result, *unit, *name, *reason = "";
		char text[1024];

		json_object_object_get_ex(o, "result", &v);
		result = json_object_get_string(v);
		if (!streq(result, "not-preservable") && !streq(result, "failed"))
			continue;
		json_object_object_get_ex(o, "unit", &v);
		unit = json_object_get_string(v);
		json_object_object_get_ex(o, "name", &v);
		name = json_object_get_string(v);
		if (json_object_object_get_ex(o, "reason", &v))
			reason = json_object_get_string(v);
		snprintf(text, sizeof(text), "%s: \"%s\" is not carried over: %s", unit, name,
			 reason);
		json_append_string(list, text);
	}
	return list;
}

static char *index_text(struct luo_store *const *stores, size_t n_stores, struct split *split,
			const struct commit_report *report)
{
	struct json_object *o = json_object_new_object(), *r = json_object_new_object();
	const char *complete;
	char *text;

	json_add_number(r, "entries", report->summary.entries);
	json_add_number(r, "preserved", report->summary.preserved);
	json_add_number(r, "lost", report->summary.lost);
	json_add_number(r, "bytes", report->summary.bytes);
	json_add_number(r, "usec", report->summary.usec);
	json_add_number(r, "when", now_usec(CLOCK_REALTIME));
	json_add(r, "problems", list_problems(report));
	json_add_number(o, "version", INDEX_VERSION);
	json_add(o, "units", list_units(stores, n_stores, split));
	json_add(o, "report", r);
	complete = json_to_text(o);
	text = complete ? strdup(complete) : NULL;
	json_object_put(o);
	return text;
}

int index_commit(struct luo_store *const *stores, size_t n_stores, struct split *split,
		 const struct commit_report *report, uint64_t device_timeout_usec, int *ret_fd)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, fd = -EBADF;
	_cleanup_free_ char *text = index_text(stores, n_stores, split, report);
	int r;

	if (!text)
		return -ENOMEM;
	r = luo_memfd_new_sealed(INDEX_SESSION, text, strlen(text), &fd);
	if (r >= 0)
		r = luo_device_open(device_timeout_usec, &device);
	if (r >= 0)
		r = luo_session_create(device, INDEX_SESSION, &session);
	if (r >= 0)
		r = luo_session_preserve_fd(session, fd, LUO_TOKEN_MAPPING);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(session);
	return 0;
}
