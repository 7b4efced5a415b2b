/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The steps of a commit: restore what is still in the kernel, preserve all entries
 * (commit-parts.h), carry unreadable sessions over, and hold all sessions (outgoing.h).
 *
 * The kernel refuses to preserve a file again before the session that it came from is finished
 * (EBUSY). So a commit restores everything that is in the kernel first, unclaimed holdings too:
 * they become held entries, which the next kernel sees as holdings again.
 */

#include "tools/luod/commit.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/mman.h>

#include <luo/handover.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "libluo/handover/incoming.h"
#include "tools/luod/commit-parts.h"
#include "tools/luod/commit-report.h"
#include "tools/luod/holdings-look.h"
#include "tools/luod/holdings-take.h"
#include "tools/luod/holdings.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/monitor.h"
#include "tools/luod/outgoing.h"
#include "tools/luod/state-record.h"

int commit_abort(struct luod *l)
{
	struct json_writer w = { 0 };

	if (!l->state.commit_name)
		return 0;
	record_abort(&w);
	journal_must_write(l, &w);
	log_info("The commit \"%s\" is undone.", l->state.commit_name);
	outgoing_release(l);
	monitor_emit(l, "aborted", NULL, NULL, NULL);
	return 1;
}

/* ---- holding the sessions -------------------------------------------------------------------- */

/* Moves the fds. */
static int append_fds(const int *fds, size_t n, int **list, size_t *n_list)
{
	int *grown = reallocarray(*list, *n_list + n + 1, sizeof(int));

	if (!grown)
		return -ENOMEM;
	memcpy(grown + *n_list, fds, n * sizeof(int));
	*list = grown;
	*n_list += n;
	return 0;
}

/*
 * Unreadable sessions are carried over as they are. If one cannot be, the commit goes on without it
 * and reports that: nothing else could ever be committed.
 */
static int append_carried(struct luod *l, struct commit_report *report, int **list, size_t *n_list)
{
	struct luo_incoming *unreadable;

	for (size_t i = 0; (unreadable = holdings_unreadable(l, i)); i++) {
		const char *name = luo_incoming_name(unreadable);
		_cleanup_free_ int *carried = NULL;
		size_t n = 0, files = 0;
		int r;

		r = luo_incoming_carry(unreadable, DEVICE_TIMEOUT_USEC, &carried, &n, &files);
		if (r >= 0)
			r = append_fds(carried, n, list, n_list);
		if (r < 0) {
			close_many(carried, n);
			log_error("Session \"%s\" is not carried over: %s.", name, strerror(-r));
		}
		r = report_add_carried(report, name, files, MIN2(r, 0));
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect_sessions(struct luod *l, const struct parts *parts, struct commit_report *report,
			    int **ret_fds, size_t *ret_n)
{
	int *fds = NULL, r;
	size_t n = 0;

	r = parts_append_sessions(parts, &fds, &n);
	if (r >= 0)
		r = append_carried(l, report, &fds, &n);
	if (r < 0) {
		close_many(fds, n);
		free(fds);
		return r;
	}
	*ret_fds = fds;
	*ret_n = n;
	return 0;
}

/* A copy of the mapping for GetMapping; without it there is none to show. */
static int copy_mapping(const struct luo_commit *commit)
{
	size_t size;
	const char *text = luo_commit_mapping(commit, &size);
	int fd = memfd_create("luod-mapping", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, text, size) != (ssize_t)size)
		fd = safe_close(fd);
	return fd;
}

static int hold_sessions(const struct parts *parts)
{
	struct commit_report *report = parts->report;
	struct luod *l = parts->luod;
	size_t n = 0;
	int *fds, r;

	r = collect_sessions(l, parts, report, &fds, &n);
	if (r >= 0) {
		report->sessions = n;
		r = outgoing_hold(l, report->session_name, parts->request->hand_over, fds, n);
	}
	if (r < 0)
		return report_failure(
			report, r,
			"Cannot hold the sessions of the commit: %s. The commit is undone.",
			strerror(-r));
	l->outgoing.mapping_fd = copy_mapping(parts->own ? parts->own : parts->manager);
	if (parts->manager)
		l->outgoing.manager_mapping_fd = copy_mapping(parts->manager);
	if (parts->request->hand_over)
		outgoing_leave_sessions_only(l);
	return 0;
}

static int preserve(struct luod *l, const struct commit_request *request, uint64_t started,
		    struct commit_report *report)
{
	struct parts parts;
	int r;

	r = parts_preserve(l, request, started, report, &parts);
	if (r < 0)
		return r;
	/* A dry run ends here: the sessions are undone when their fds are closed. */
	if (request->dry_run)
		report->sessions = parts_count_sessions(&parts);
	else
		r = hold_sessions(&parts);
	parts_done(&parts);
	return r;
}

/* ---- the steps ------------------------------------------------------------------------------- */

static const char *why_no_live_update(const struct luod *l)
{
	if (l->options.no_live_update)
		return "luod was started with --no-live-update.";
	if (l->support == LUO_SUPPORT_OFF)
		return "Live update is off in this kernel: boot it with kho=on liveupdate=on.";
	return "This kernel has no live update (CONFIG_LIVEUPDATE).";
}

static int check_request(const struct luod *l, const struct commit_request *request,
			 struct commit_report *report)
{
	if (l->support != LUO_SUPPORT_ON)
		return report_failure(report, -EOPNOTSUPP, "%s", why_no_live_update(l));
	if (request->hand_over && l->keeper.kind != KEEPER_SYSTEMD)
		return report_failure(
			report, -EINVAL,
			"Cannot hand over to systemd: systemd did not start this luod. Nothing was changed.");
	if (l->state.commit_name && request->dry_run)
		return report_failure(
			report, -EALREADY,
			"There is a commit already, and its files cannot be preserved twice. Abort it first.");
	return 0;
}

/* What is not retrieved cannot be carried over, and the kexec frees it. */
static int retrieve_incoming(struct luod *l, struct commit_report *report)
{
	int r = holdings_look(l, DEVICE_TIMEOUT_USEC);

	if (r == -EBUSY)
		return report_busy(report, DEVICE_TIMEOUT_USEC);
	if (r < 0)
		return report_failure(
			report, -EBUSY,
			"It is not known yet what the previous kernel left: %s. Nothing was changed.",
			strerror(-r));
	return 0;
}

static int restore_holdings(struct luod *l, struct commit_report *report)
{
	int r = holdings_restore_all(l);

	if (r == -EDQUOT)
		return report_no_room(report, l);
	if (r < 0)
		return report_failure(
			report, r,
			"Cannot restore what the previous kernel left: %s. Nothing was lost; commit again.",
			strerror(-r));
	return 0;
}

static int choose_session_name(const struct luod *l, const struct commit_request *request,
			       struct commit_report *report)
{
	const char *name = request->session_name ? request->session_name : l->options.session;
	int r;

	if (!holdings_has_unreadable(l, name)) {
		snprintf(report->session_name, sizeof(report->session_name), "%s", name);
		return 0;
	}
	r = holdings_other_name(l, report->session_name);
	if (r < 0)
		return report_failure(
			report, r,
			"Session \"%s\" of the previous kernel is unreadable and keeps its name, which is too long to append a suffix. Use another session name.",
			name);
	return 0;
}

static void log_commit(const struct commit_report *report, bool dry_run)
{
	log_info("%s session \"%s\": %llu %s preserved, %llu lost, %llu bytes, %llu us.",
		 dry_run ? "Dry run of" : "Committed into", report->session_name,
		 (unsigned long long)report->summary.preserved,
		 plural(report->summary.preserved, "entry", "entries"),
		 (unsigned long long)report->summary.lost,
		 (unsigned long long)report->summary.bytes,
		 (unsigned long long)report->summary.usec);
}

int commit_make(struct luod *l, const struct commit_request *request, struct commit_report *report)
{
	uint64_t started = now_usec(CLOCK_REALTIME);
	int r;

	report->session_name[0] = 0;
	r = check_request(l, request, report);
	if (r >= 0)
		r = retrieve_incoming(l, report);
	if (r < 0)
		return r;
	(void)commit_abort(l);
	r = restore_holdings(l, report);
	if (r >= 0)
		r = choose_session_name(l, request, report);
	if (r >= 0)
		r = preserve(l, request, started, report);
	if (r < 0)
		return r;
	log_commit(report, request->dry_run);
	if (!request->dry_run)
		monitor_emit(l, "committed", NULL, NULL, report->session_name);
	return 0;
}
