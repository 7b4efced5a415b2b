/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/commit-parts.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>

#include <luo/handover.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/util.h"
#include "tools/luod/commit-index.h"
#include "tools/luod/commit-report.h"
#include "tools/luod/commit-split.h"
#include "tools/luod/commit.h"
#include "tools/luod/holdings.h"
#include "tools/luod/last-shutdown.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"

/* The session of PID 1 cannot have further ones, so it takes as many files as the kernel does. */
#define MANAGER_FILES_MAX 4096

static struct luo_mapping_state next_state(const struct luod *l, uint64_t started)
{
	struct luo_mapping_state state = { .struct_size = sizeof(state) };

	state.have_kexec_count = true;
	state.kexec_count = kexec_count(l);
	state.shutdown_start = shutdown_start(l);
	if (state.shutdown_start.realtime == 0) {
		state.shutdown_start.realtime = started;
		state.shutdown_start.monotonic = now_usec(CLOCK_MONOTONIC);
	}
	/*
	 * As systemd 262 means them: PID 1 has stopped all units; systemd-shutdown begins; it is
	 * about to kexec. What luod does now is a part of the last step.
	 */
	state.shutdown_finish = shutdown_finish(l);
	if (state.shutdown_finish.realtime > 0) {
		state.shutdown_late_start.realtime = started;
		state.shutdown_late_start.monotonic = now_usec(CLOCK_MONOTONIC);
		state.shutdown_late_finish = state.shutdown_late_start;
	}
	return state;
}

static int report_commit_failure(struct commit_report *report, const char *session, int r)
{
	switch (r) {
	case -EBUSY:
		return report_busy(report, DEVICE_TIMEOUT_USEC);
	case -EEXIST:
		return report_failure(
			report, r,
			"A session \"%s\" exists already, and luod did not make it. Use another session name, or end the process that made it.",
			session);
	case -EIO:
		return report_failure(
			report, r,
			"The kernel could not read what its predecessor left, and refuses every live update until a reboot.");
	default:
		return report_failure(report, r,
				      "Cannot commit into session \"%s\": %s. Nothing was changed.",
				      session, strerror(-r));
	}
}

static int put_all_into_own(struct parts *parts)
{
	split_done(&parts->split);
	return split_make(parts->stores, ELEMENTSOF(parts->stores), true, &parts->split);
}

/* The session for PID 1. If it cannot be made, everything goes into luod's own session. */
static int preserve_manager(struct parts *parts)
{
	struct luo_commit_options options = {
		.struct_size = sizeof(options),
		.session_name = MANAGER_SESSION,
		.max_files_per_session = MANAGER_FILES_MAX,
		.device_timeout_usec = DEVICE_TIMEOUT_USEC,
		.state = &parts->state,
		.flags = LUO_COMMIT_NO_PACK,
		.wants = split_is_manager,
		.userdata = &parts->split,
	};
	int r;

	if (holdings_has_unreadable(parts->luod, MANAGER_SESSION)) {
		report_note(
			parts->report,
			"Session \"" MANAGER_SESSION
			"\" of the previous kernel is unreadable and keeps its name: everything goes into luod's own session.");
		return put_all_into_own(parts);
	}
	r = luo_commit_new(parts->stores, ELEMENTSOF(parts->stores), &options, &parts->manager);
	if (r == -EEXIST) {
		report_note(
			parts->report,
			"Another process has made a session \"" MANAGER_SESSION
			"\": everything goes into luod's own session, and only luod can give it back.");
		return put_all_into_own(parts);
	}
	if (r < 0)
		return report_commit_failure(parts->report, MANAGER_SESSION, r);
	return split_note_failed(&parts->split, parts->manager);
}

/*
 * Another process has made a session of that name. If the commit has entries of PID 1, this is the
 * end of a shutdown, and there is no later time to commit: then luod uses its other name.
 */
static bool may_use_other_name(const struct parts *parts, const char *session, char *ret_other)
{
	return luo_store_n_entries(parts->stores[0]) > 0 && parts->report->managed &&
	       holdings_other_name(parts->luod, ret_other) >= 0 && !streq(ret_other, session);
}

static int preserve_own(struct parts *parts)
{
	const char *session = parts->report->session_name;
	struct luo_commit_options options = {
		.struct_size = sizeof(options),
		.session_name = session,
		.max_files_per_session = parts->request->max_files,
		.device_timeout_usec = DEVICE_TIMEOUT_USEC,
		.state = &parts->state,
		.wants = split_is_own,
		.userdata = &parts->split,
	};
	char other[LUO_SESSION_NAME_MAX + 1];
	int r;

	r = luo_commit_new(parts->stores, ELEMENTSOF(parts->stores), &options, &parts->own);
	if (r == -EEXIST && may_use_other_name(parts, session, other)) {
		report_note(
			parts->report,
			"Another process has made a session \"%s\": luod's own session is \"%s\".",
			session, other);
		options.session_name = other;
		r = luo_commit_new(parts->stores, ELEMENTSOF(parts->stores), &options, &parts->own);
		if (r >= 0)
			snprintf(parts->report->session_name, sizeof(parts->report->session_name),
				 "%s", other);
	}
	return r < 0 ? report_commit_failure(parts->report, session, r) : 0;
}

static int preserve_parts(struct parts *parts)
{
	struct commit_report *report = parts->report;
	int r;

	r = split_make(parts->stores, ELEMENTSOF(parts->stores), false, &parts->split);
	if (r < 0)
		return r;
	report->managed = parts->split.n_managed > 0;
	if (parts->split.n_manager > 0)
		r = preserve_manager(parts);
	if (r >= 0 && (!parts->manager || parts->split.n_own + parts->split.n_again > 0))
		r = preserve_own(parts);
	if (r < 0)
		return r;
	if (!parts->own)
		snprintf(report->session_name, sizeof(report->session_name), "%s", MANAGER_SESSION);
	return 0;
}

static int report_parts(const struct parts *parts)
{
	struct commit_report *report = parts->report;
	int r = 0;

	report->results = json_object_new_array();
	if (!report->results)
		return -ENOMEM;
	if (parts->manager)
		r = report_add_part(report, parts->manager, &parts->split);
	if (r >= 0 && parts->own)
		r = report_add_part(report, parts->own, NULL);
	return r;
}

static void preserve_index(struct parts *parts)
{
	int r;

	if (!parts->report->managed)
		return;
	r = index_commit(parts->stores, ELEMENTSOF(parts->stores), &parts->split, parts->report,
			 DEVICE_TIMEOUT_USEC, &parts->index_fd);
	if (r < 0)
		report_note(
			parts->report,
			"Cannot make the index for the next boot (session \"" INDEX_SESSION
			"\"): %s. Units that start before luod there do not get their memory by themselves.",
			strerror(-r));
}

int parts_preserve(struct luod *l, const struct commit_request *request, uint64_t started,
		   struct commit_report *report, struct parts *ret)
{
	struct parts *parts = ret;
	int r;

	*parts = (struct parts){
		.luod = l,
		.request = request,
		.report = report,
		.stores = { l->state.stored, l->state.held },
		.state = next_state(l, started),
		.index_fd = -EBADF,
	};
	r = preserve_parts(parts);
	if (r >= 0)
		r = report_parts(parts);
	if (r >= 0)
		preserve_index(parts);
	else
		parts_done(parts);
	return r;
}

void parts_done(struct parts *parts)
{
	luo_commit_free(parts->own);
	luo_commit_free(parts->manager);
	safe_close(parts->index_fd);
	split_done(&parts->split);
}

/* ---- the fds --------------------------------------------------------------------------------- */

size_t parts_count_sessions(const struct parts *parts)
{
	size_t own = 0, manager = 0;

	if (parts->own)
		(void)luo_commit_sessions(parts->own, &own);
	if (parts->manager)
		(void)luo_commit_sessions(parts->manager, &manager);
	return own + manager + (parts->index_fd >= 0);
}

static int append_copies(const int *fds, size_t n, int **list, size_t *n_list)
{
	int *grown = reallocarray(*list, *n_list + n + 1, sizeof(int));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	for (size_t i = 0; i < n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return -errno;
		grown[(*n_list)++] = fd;
	}
	return 0;
}

static int append_part(const struct luo_commit *part, int **list, size_t *n_list)
{
	const int *fds;
	size_t n;

	if (!part)
		return 0;
	fds = luo_commit_sessions(part, &n);
	return append_copies(fds, n, list, n_list);
}

int parts_append_sessions(const struct parts *parts, int **list, size_t *n_list)
{
	int r;

	r = append_part(parts->own, list, n_list);
	if (r >= 0)
		r = append_part(parts->manager, list, n_list);
	if (r >= 0 && parts->index_fd >= 0)
		r = append_copies(&parts->index_fd, 1, list, n_list);
	return r;
}
