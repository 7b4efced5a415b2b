/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The last step before a kexec: everything into a session of the kernel.
 *
 * What was retrieved from a session that came in cannot be preserved again before that session is
 * finished (EBUSY). So everything that still lies in the kernel is restored first, unclaimed
 * holdings too: they become held entries, which the next kernel sees as holdings again.
 *
 * The sessions live as long as an fd of them is open, so the keeper gets them; the record comes
 * after that. A kill before the record leaves sessions that no record names: they are closed by the
 * next luod, which undoes the commit.
 */

#include "luod.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "json-build.h"

#define DEVICE_TIMEOUT_USEC (10 * USEC_PER_SEC)

void commit_forget(struct luod *l)
{
	char name[KEEPER_NAME_SIZE];

	for (size_t i = 0; i < l->outgoing.n; i++)
		safe_close(l->outgoing.fds[i]);
	for (uint64_t i = 0; i < l->state.commit_sessions; i++)
		(void)keeper_remove(&l->keeper, keeper_name2('o', l->state.commit_number, i, name));
	free(TAKE_PTR(l->outgoing.fds));
	l->outgoing.n = 0;
	l->outgoing.mapping_fd = safe_close(l->outgoing.mapping_fd);
	free(TAKE_PTR(l->state.commit_name));
	l->state.commit_sessions = 0;
	/* The sessions are undone when the keeper has closed its copies too, not before. */
	(void)keeper_barrier(&l->keeper);
}

int commit_abort(struct luod *l)
{
	struct json_writer w = { 0 };

	if (!l->state.commit_name)
		return 0;
	record_abort(&w);
	journal_must(l, &w);
	log_info("The commit \"%s\" is undone.", l->state.commit_name);
	commit_forget(l);
	monitor_emit(l, "aborted", NULL, NULL, NULL);
	return 1;
}

/* ---- the report ------------------------------------------------------------------------------ */

static int report_results(const struct luo_commit *commit, struct commit_report *report)
{
	const struct luo_commit_result *results;
	size_t n;

	report->results = json_object_new_array();
	if (!report->results)
		return -ENOMEM;
	results = luo_commit_results(commit, &n);
	for (size_t i = 0; i < n; i++) {
		const struct luo_commit_result *result = &results[i];
		struct json_object *o = json_object_new_object();
		char alias[2 * LUO_UNIT_NAME_MAX + 2];

		if (!o)
			return -ENOMEM;
		add_string(o, "unit", result->entry->unit->name);
		add_string(o, "name", result->entry->name);
		add_string(o, "result", luo_result_to_string(result->result));
		if (result->reason)
			add_string(o, "reason", result->reason);
		if (result->alias_of) {
			snprintf(alias, sizeof(alias), "%s/%s", result->alias_of->unit->name,
				 result->alias_of->name);
			add_string(o, "aliasOf", alias);
		}
		add_number(o, "bytes", result->bytes);
		add_number(o, "usec", result->usec);
		json_object_array_add(report->results, o);
	}
	luo_commit_summary(commit, &report->summary);
	(void)luo_commit_sessions(commit, &report->sessions);
	return 0;
}

static int say(struct commit_report *report, int r, const char *format, ...) _printf_(3, 4);
static int say(struct commit_report *report, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&report->text, format, ap) < 0)
		report->text = NULL;
	va_end(ap);
	return r;
}

static int say_busy(struct commit_report *report)
{
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	if (luo_device_holder(&pid, &comm) < 0)
		return say(report, -EBUSY,
			   "Another process has had /dev/liveupdate open for %u "
			   "seconds.",
			   (unsigned)(DEVICE_TIMEOUT_USEC / USEC_PER_SEC));
	report->pid = pid;
	report->process = TAKE_PTR(comm);
	return say(
		report, -EBUSY,
		"Process %d (%s) has had /dev/liveupdate open for %u seconds. Nothing was changed.",
		(int)pid, report->process, (unsigned)(DEVICE_TIMEOUT_USEC / USEC_PER_SEC));
}

static int say_why(struct commit_report *report, const char *session, int r)
{
	switch (r) {
	case -EBUSY:
		return say_busy(report);
	case -EEXIST:
		return say(report, r,
			   "A session \"%s\" is there already, and it is not luod's. Give another "
			   "name, or end the process that made it.",
			   session);
	case -EIO:
		return say(report, r,
			   "The kernel could not read what its predecessor left, and refuses every "
			   "live update until a reboot.");
	default:
		return say(report, r, "Cannot commit into session \"%s\": %s. Nothing was changed.",
			   session, strerror(-r));
	}
}

/* ---- the work -------------------------------------------------------------------------------- */

static int say_no_room(struct luod *l, struct commit_report *report)
{
	struct luo_store *store = holdings_store(l);
	struct luo_memory_room room = { 0 };
	struct luo_entry *e;
	struct luo_unit *u;

	if (store)
		LUO_FOREACH_UNIT (u, store)
			LUO_FOREACH_ENTRY (e, u)
				report->needed += e->alias ? 0 : e->meta.size;
	(void)luo_memory_room(&room);
	report->room = room.bytes == UINT64_MAX ? 0 : room.bytes;
	return say(
		report, -EDQUOT,
		"Holdings that nobody has claimed must be restored for a commit, and there is no "
		"room for them%s%s. Claim or drop them, or raise the limit. Nothing was lost.",
		room.limited_by[0] ? " in cgroup " : "", room.limited_by);
}

static int keep_mapping(const struct luo_commit *commit)
{
	size_t size;
	const char *text = luo_commit_mapping(commit, &size);
	int fd = memfd_create("luod-mapping", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, text, size) != (ssize_t)size)
		fd = safe_close(fd);
	return fd;
}

/*
 * What came in and is not understood goes along as it is. Where that cannot be done, the commit
 * goes on without it, and says so: nothing else could ever be committed.
 */
static void carry(struct luod *l, struct commit_report *report, int **fds, size_t *n)
{
	struct luo_incoming *unreadable;

	for (size_t i = 0; (unreadable = holdings_unreadable(l, i)); i++) {
		_cleanup_free_ int *carried = NULL;
		struct json_object *o = json_object_new_object();
		size_t n_carried = 0, files = 0;
		char reason[256];
		int *grown, r;

		r = luo_incoming_carry(unreadable, DEVICE_TIMEOUT_USEC, &carried, &n_carried,
				       &files);
		grown = r >= 0 ? reallocarray(*fds, *n + n_carried, sizeof(int)) : NULL;
		if (grown) {
			*fds = grown;
			memcpy(grown + *n, carried, n_carried * sizeof(int));
			*n += n_carried;
			report->summary.preserved++;
			snprintf(reason, sizeof(reason),
				 "a session that is not understood, with %zu files", files);
		} else {
			close_many(carried, n_carried);
			report->summary.lost++;
			snprintf(reason, sizeof(reason),
				 "a session that is not understood, and cannot be taken along: %s",
				 strerror(r < 0 ? -r : ENOMEM));
			log_error("Session \"%s\" does not go along: %s.",
				  luo_incoming_name(unreadable), reason);
		}
		add_string(o, "unit", ORPHANS_UNIT);
		add_string(o, "name", luo_incoming_name(unreadable));
		add_string(o, "result", grown ? "copied" : "failed");
		add_string(o, "reason", reason);
		add_number(o, "bytes", 0);
		add_number(o, "usec", 0);
		json_object_array_add(report->results, o);
	}
}

/* The sessions of the commit itself and those that are carried, all our own. */
static int collect_sessions(struct luod *l, const struct luo_commit *commit,
			    struct commit_report *report, int **ret_fds, size_t *ret_n)
{
	const int *sessions;
	size_t n;
	int *fds;

	sessions = luo_commit_sessions(commit, &n);
	fds = calloc(n + 1, sizeof(int));
	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		fds[i] = fcntl(sessions[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0) {
			int r = -errno;

			close_many(fds, i);
			free(fds);
			return r;
		}
	}
	carry(l, report, &fds, &n);
	*ret_fds = fds;
	*ret_n = n;
	return 0;
}

/* The commit stands from the record on. */
static int make_it_stand(struct luod *l, const struct luo_commit *commit, const char *session,
			 struct commit_report *report)
{
	uint64_t number = l->state.next_id++;
	struct json_writer w = { 0 };
	char name[KEEPER_NAME_SIZE];
	size_t n = 0;
	int r;

	r = collect_sessions(l, commit, report, &l->outgoing.fds, &n);
	if (r < 0)
		return r;
	l->outgoing.n = n;
	report->sessions = n;
	l->state.commit_name = strdup(session);
	if (!l->state.commit_name)
		r = -ENOMEM;
	l->state.commit_number = number;
	l->state.commit_sessions = n;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = keeper_push(&l->keeper, keeper_name2('o', number, i, name), l->outgoing.fds[i]);
	if (r >= 0)
		r = keeper_settle(&l->keeper);
	l->state.stale = false;
	if (r >= 0) {
		record_commit(&w, &l->state);
		r = journal(l, &w);
		l->state.stale = false;
	}
	if (r < 0)
		commit_forget(l);
	else
		l->outgoing.mapping_fd = keep_mapping(commit);
	return r;
}

static struct luo_mapping_state next_state(const struct luod *l, uint64_t begin)
{
	struct luo_mapping_state state = { 0 };

	state.have_kexec_count = true;
	state.kexec_count = l->state.previous.kexec_count + 1;
	state.shutdown_start.realtime = begin;
	state.shutdown_start.monotonic = now_usec(CLOCK_MONOTONIC);
	return state;
}

static int preserve(struct luod *l, const struct commit_request *request, const char *session,
		    uint64_t begin, struct commit_report *report)
{
	struct luo_store *stores[] = { l->state.stored, l->state.held };
	struct luo_mapping_state state = next_state(l, begin);
	struct luo_commit_options options = {
		.session_name = session,
		.max_files_per_session = request->max_files,
		.device_timeout_usec = DEVICE_TIMEOUT_USEC,
		.state = &state,
	};
	struct luo_commit *commit;
	int r;

	r = luo_commit_new(stores, ELEMENTSOF(stores), &options, &commit);
	if (r < 0)
		return say_why(report, session, r);
	r = report_results(commit, report);
	if (r >= 0 && !request->dry_run)
		r = make_it_stand(l, commit, session, report);
	luo_commit_free(commit);
	if (r < 0)
		return say(report, r, "Cannot hold the sessions of the commit: %s. It is undone.",
			   strerror(-r));
	return 0;
}

/* The name belongs to a session that goes along untouched. */
static bool is_held(const struct luod *l, const char *session)
{
	struct luo_incoming *unreadable;

	for (size_t i = 0; (unreadable = holdings_unreadable(l, i)); i++)
		if (streq(luo_incoming_name(unreadable), session))
			return true;
	return false;
}

int commit_make(struct luod *l, const struct commit_request *request, struct commit_report *report)
{
	const char *session = request->session_name ? request->session_name : l->options.session;
	uint64_t begin = now_realtime();
	int r;

	report->session_name[0] = 0;
	if (l->support != LUO_SUPPORT_ON)
		return say(report, -EOPNOTSUPP, "%s",
			   l->options.no_live_update ? "luod was started with --no-live-update."
			   : l->support == LUO_SUPPORT_OFF
				   ? "Live update is off in this kernel: boot it with kho=on "
				     "liveupdate=on."
				   : "This kernel has no live update (CONFIG_LIVEUPDATE).");
	if (l->state.commit_name && request->dry_run)
		return say(report, -EALREADY,
			   "A commit stands, and its files cannot be preserved twice. Abort it "
			   "first.");
	/* What is not retrieved cannot go along, and the kexec frees it. */
	r = holdings_look(l, DEVICE_TIMEOUT_USEC);
	if (r == -EBUSY)
		return say_busy(report);
	if (r < 0)
		return say(report, -EBUSY,
			   "What the previous kernel left could not be looked for yet: %s. Nothing "
			   "was changed.",
			   strerror(-r));
	(void)commit_abort(l);
	r = holdings_restore_all(l);
	if (r == -EDQUOT)
		return say_no_room(l, report);
	if (r < 0)
		return say(report, r,
			   "Cannot take what the previous kernel left out of the kernel: %s. It "
			   "may be "
			   "tried again.",
			   strerror(-r));
	if (is_held(l, session)) {
		r = holdings_other_name(l, report->session_name);
		if (r < 0)
			return say(report, r,
				   "Session \"%s\" came from the previous kernel and is not "
				   "understood, "
				   "and its name is too long to be made a second one of.",
				   session);
		session = report->session_name;
	} else
		snprintf(report->session_name, sizeof(report->session_name), "%s", session);
	r = preserve(l, request, session, begin, report);
	if (r < 0)
		return r;
	log_info("%s session \"%s\": %llu entries preserved, %llu lost, %llu bytes, %llu us.",
		 request->dry_run ? "Dry run of" : "Committed into", session,
		 (unsigned long long)report->summary.preserved,
		 (unsigned long long)report->summary.lost,
		 (unsigned long long)report->summary.bytes,
		 (unsigned long long)report->summary.usec);
	if (!request->dry_run)
		monitor_emit(l, "committed", NULL, NULL, session);
	return 0;
}

void commit_report_done(struct commit_report *report)
{
	json_object_put(report->results);
	free(report->text);
	free(report->process);
}
