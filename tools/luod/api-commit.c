/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Commit, Abort, GetMapping: for root. */

#include "common/json.h"
#include "tools/luod/api.h"

#include <stdio.h>

#include <luo/handover.h>
#include <luo/session.h>

#include "common/json-writer.h"
#include "common/read-file.h"
#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/commit-report.h"
#include "tools/luod/commit.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/mapping-preview.h"

static int reply_commit_failed(struct call *call, const char *session, int error,
			       const struct commit_report *report)
{
	const char *text = report->text ? report->text : strerror(-error);
	struct json_object *o;

	switch (error) {
	case -EOPNOTSUPP:
		return call_error_text(call, "io.luo.NoLiveUpdate", text);
	case -EALREADY:
		return call_error_text(call, "io.luo.Busy", text);
	case -EBUSY:
		o = json_object_new_object();
		json_add_utf8(o, "text", text);
		if (report->pid > 0) {
			json_add_number(o, "pid", (uint64_t)report->pid);
			json_add_utf8(o, "process", report->process);
		}
		return call_error(call, "io.luo.Busy", o);
	case -EEXIST:
		o = json_object_new_object();
		json_add_utf8(o, "sessionName", session);
		json_add_utf8(o, "text", text);
		return call_error(call, "io.luo.NameTaken", o);
	case -EDQUOT:
		o = json_object_new_object();
		json_add_utf8(o, "text", text);
		json_add_number(o, "needed", report->needed);
		json_add_number(o, "room", report->room);
		return call_error(call, "io.luo.NoRoom", o);
	default:
		return call_failed(call, error, "%s", text);
	}
}

int api_commit(struct call *call)
{
	struct commit_request request = { 0 };
	struct commit_report report = { 0 };
	uint64_t max_files = 0;
	struct parameter table[] = {
		{ "sessionName", PARAMETER_STRING, false, &request.session_name, NULL, true },
		{ "dryRun", PARAMETER_BOOL, false, &request.dry_run, NULL, true },
		{ "maxFilesPerSession", PARAMETER_NUMBER, false, &max_files, NULL, true },
		{ "handOver", PARAMETER_BOOL, false, &request.hand_over, NULL, true },
	};
	const char *session;
	struct json_object *o;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r != 0)
		return r < 0 ? r : 0;
	if (request.session_name && !luo_session_name_is_valid(request.session_name))
		return call_invalid(call, "sessionName");
	if (max_files > UINT32_MAX)
		return call_invalid(call, "maxFilesPerSession");
	request.max_files = (unsigned)max_files;
	session = request.session_name ? request.session_name : call->luod->options.session;

	r = commit_make(call->luod, &request, &report);
	if (r < 0)
		r = reply_commit_failed(call, session, r, &report);
	else {
		o = json_object_new_object();
		json_add_utf8(o, "sessionName", report.session_name);
		if (report.note)
			json_add_utf8(o, "note", report.note);
		json_add_number(o, "sessions", report.sessions);
		json_add_number(o, "preserved", report.summary.preserved);
		json_add_number(o, "lost", report.summary.lost);
		json_add_number(o, "bytes", report.summary.bytes);
		json_add_number(o, "usec", report.summary.usec);
		json_add(o, "results", TAKE_PTR(report.results));
		r = call_reply(call, o);
	}
	commit_report_done(&report);
	return r;
}

int api_abort(struct call *call)
{
	struct json_object *o;
	int r;

	r = call_parameters(call, NULL, 0);
	if (r != 0)
		return r < 0 ? r : 0;
	r = commit_abort(call->luod);
	if (r < 0)
		return r;
	o = json_object_new_object();
	json_add_bool(o, "aborted", r > 0);
	return call_reply(call, o);
}

/* ---- GetMapping ------------------------------------------------------------------------------ */

static int read_text(int fd, char **ret)
{
	size_t size;

	return read_file_fd(fd, LUO_MAPPING_SIZE_MAX, ret, &size);
}

static int find_session(const struct luo_incoming *incoming, const char *name)
{
	const int *fds;
	size_t n;

	if (!incoming)
		return -ENOENT;
	fds = luo_incoming_sessions(incoming, &n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *its = NULL;

		if (fds[i] >= 0 && luo_session_get_name(fds[i], &its) >= 0 && streq(its, name))
			return fds[i];
	}
	return -ENOENT;
}

/* The mapping of an incoming session as it is, even if the session is unreadable. */
static int incoming_text(struct luod *l, const char *session, char **ret)
{
	_cleanup_close_ int fd = -EBADF;
	int session_fd = find_session(l->incoming, session), r;

	for (size_t i = 0; session_fd < 0 && i < ELEMENTSOF(l->waiting); i++)
		session_fd = find_session(l->waiting[i], session);
	if (session_fd < 0)
		return session_fd;
	r = luo_session_retrieve_fd(session_fd, LUO_TOKEN_MAPPING, &fd);
	return r < 0 ? r : read_text(fd, ret);
}

int api_get_mapping(struct call *call)
{
	const char *session = NULL;
	struct parameter table[] = {
		{ "session", PARAMETER_STRING, false, &session, NULL, true },
	};
	_cleanup_free_ char *text = NULL;
	struct luod *l = call->luod;
	struct json_object *o;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r != 0)
		return r < 0 ? r : 0;
	if (session && streq(session, MANAGER_SESSION) && l->outgoing.manager_mapping_fd >= 0)
		r = read_text(l->outgoing.manager_mapping_fd, &text);
	else if (session)
		r = incoming_text(l, session, &text);
	else if (l->outgoing.mapping_fd >= 0)
		r = read_text(l->outgoing.mapping_fd, &text);
	else
		r = mapping_preview(l, &text);
	if (r == -ENOENT)
		return call_failed(
			call, r,
			"There is no session \"%s\" of the previous kernel: it is finished, or did not come in.",
			session);
	if (r < 0)
		return r;
	if (!utf8_is_valid(text))
		return call_failed(call, -EBADMSG,
				   "Cannot show the mapping: it is not valid UTF-8.");
	o = json_object_new_object();
	json_add_utf8(o, "mapping", text);
	return call_reply(call, o);
}
