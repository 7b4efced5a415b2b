/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/commit-report.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/json.h"
#include "common/log.h"
#include "common/util.h"
#include "tools/luod/commit-split.h"
#include "tools/luod/luod.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"

/* ---- results --------------------------------------------------------------------------------- */

static int add_result(struct commit_report *report, const struct luo_commit_result *result)
{
	struct json_object *o = json_object_new_object();
	char alias[2 * LUO_UNIT_NAME_MAX + 2];

	if (!o)
		return -ENOMEM;
	json_add_utf8(o, "unit", result->entry->unit->name);
	json_add_utf8(o, "name", result->entry->name);
	json_add_utf8(o, "result", luo_result_to_string(result->result));
	if (result->reason)
		json_add_utf8(o, "reason", result->reason);
	if (result->alias_of) {
		snprintf(alias, sizeof(alias), "%s/%s", result->alias_of->unit->name,
			 result->alias_of->name);
		json_add_utf8(o, "aliasOf", alias);
	}
	json_add_number(o, "bytes", result->bytes);
	json_add_number(o, "usec", result->usec);
	json_append(report->results, o);
	return 0;
}

int report_add_part(struct commit_report *report, const struct luo_commit *part,
		    const struct split *split)
{
	struct luo_commit_summary sum = { .struct_size = sizeof(sum) };
	struct luo_commit_result result = { .struct_size = sizeof(result) };
	int r;

	r = luo_commit_get_summary(part, &sum);
	if (r < 0)
		return r;
	for (size_t i = 0; luo_commit_result_at(part, i, &result) == 0; i++) {
		if (split && split_is_tried_again(split, result.entry)) {
			sum.entries--;
			sum.lost--;
			continue;
		}
		r = add_result(report, &result);
		if (r < 0)
			return r;
	}
	report->summary.entries += sum.entries;
	report->summary.preserved += sum.preserved;
	report->summary.lost += sum.lost;
	report->summary.bytes += sum.bytes;
	report->summary.usec += sum.usec;
	return 0;
}

int report_add_carried(struct commit_report *report, const char *session, size_t files, int error)
{
	struct json_object *o = json_object_new_object();
	char reason[256];

	if (!o)
		return -ENOMEM;
	if (error < 0) {
		report->summary.lost++;
		snprintf(reason, sizeof(reason),
			 "an unreadable session, which cannot be carried over: %s",
			 strerror(-error));
	} else {
		report->summary.preserved++;
		snprintf(reason, sizeof(reason), "an unreadable session with %zu %s", files,
			 plural(files, "file", "files"));
	}
	json_add_utf8(o, "unit", ORPHANS_UNIT);
	json_add_utf8(o, "name", session);
	json_add_utf8(o, "result", error < 0 ? "failed" : "copied");
	json_add_utf8(o, "reason", reason);
	json_add_number(o, "bytes", 0);
	json_add_number(o, "usec", 0);
	json_append(report->results, o);
	return 0;
}

/* ---- sentences ------------------------------------------------------------------------------- */

void report_note(struct commit_report *report, const char *format, ...)
{
	va_list ap;

	free(report->note);
	va_start(ap, format);
	if (vasprintf(&report->note, format, ap) < 0)
		report->note = NULL;
	va_end(ap);
	if (report->note)
		log_warning("%s", report->note);
}

int report_failure(struct commit_report *report, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&report->text, format, ap) < 0)
		report->text = NULL;
	va_end(ap);
	return error;
}

int report_busy(struct commit_report *report, uint64_t waited_usec)
{
	unsigned seconds = (unsigned)(waited_usec / USEC_PER_SEC);
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	if (luo_device_holder(&pid, &comm) < 0)
		return report_failure(
			report, -EBUSY,
			"Another process has had /dev/liveupdate open for %u seconds. Nothing was changed.",
			seconds);
	report->pid = pid;
	report->process = TAKE_PTR(comm);
	return report_failure(
		report, -EBUSY,
		"Process %d (%s) has had /dev/liveupdate open for %u seconds. Nothing was changed.",
		(int)pid, report->process, seconds);
}

int report_no_room(struct commit_report *report, const struct luod *l)
{
	struct luo_store *store = stores_incoming(l);
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	struct luo_entry *e;
	struct luo_unit *u;

	if (store)
		LUO_FOREACH_UNIT (u, store)
			LUO_FOREACH_ENTRY (e, u)
				report->needed += e->alias ? 0 : e->meta.size;
	(void)luo_memory_room(&room);
	report->room = room.bytes == UINT64_MAX ? 0 : room.bytes;
	return report_failure(
		report, -EDQUOT,
		"Cannot restore the unclaimed holdings for the commit: there is no room for them%s%s. Claim or drop them, or raise the limit. Nothing was lost.",
		room.limited_by[0] ? " in cgroup " : "", room.limited_by);
}

void commit_report_done(struct commit_report *report)
{
	json_object_put(report->results);
	free(report->text);
	free(report->note);
	free(report->process);
}
