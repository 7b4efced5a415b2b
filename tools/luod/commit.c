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

#include "tools/luod/luod.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "tools/luod/commit-index.h"
#include "tools/luod/commit-split.h"
#include "tools/luod/json-build.h"

/* In PID 1's session, which can have no further ones: as long as the kernel takes them. */
#define MANAGER_FILES_MAX 4096

#define DEVICE_TIMEOUT_USEC (10 * USEC_PER_SEC)

/*
 * What PID 1 brings into the next kernel by itself has come in there, and there is no log that
 * could tell: so it is called what it will be. Numbers from here on, or from behind those of what
 * came in the same way and is still there: what has one name with PID 1 goes together.
 */
#define HANDED_OVER_FROM UINT64_C(4096)

static uint64_t free_number(const struct luod *l)
{
	uint64_t n = HANDED_OVER_FROM;

	for (size_t i = 0; i < l->n_sessions; i++)
		n = MAX2(n, l->sessions[i].number + 1);
	return n;
}

static char *outgoing_name(const struct luod *l, uint64_t i, char name[KEEPER_NAME_SIZE])
{
	if (l->outgoing.handed_over)
		return keeper_name('i', l->outgoing.first + i, name);
	return keeper_name2('o', l->state.commit_number, i, name);
}

void commit_forget(struct luod *l)
{
	char name[KEEPER_NAME_SIZE];

	for (size_t i = 0; i < l->outgoing.n; i++)
		safe_close(l->outgoing.fds[i]);
	for (uint64_t i = 0; i < l->state.commit_sessions; i++)
		(void)keeper_remove(&l->keeper, outgoing_name(l, i, name));
	free(TAKE_PTR(l->outgoing.fds));
	l->outgoing.n = 0;
	l->outgoing.handed_over = false;
	l->outgoing.mapping_fd = safe_close(l->outgoing.mapping_fd);
	l->outgoing.manager_mapping_fd = safe_close(l->outgoing.manager_mapping_fd);
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

static int report_result(const struct luo_commit_result *result, struct commit_report *report)
{
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
	return 0;
}

/* One of the parts; what a later part tries again is not reported twice. */
static int report_part(const struct luo_commit *part, const struct split *split,
		       struct commit_report *report)
{
	struct luo_commit_result result = { .struct_size = sizeof(result) };
	struct luo_commit_summary sum = { .struct_size = sizeof(sum) };
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
		r = report_result(&result, report);
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
	struct luo_memory_room room = { .struct_size = sizeof(room) };
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

/* What a commit is made of; the last two may be missing. */
struct parts {
	struct split split;
	struct luo_commit *own, *manager;
	int index_fd;
};

static void parts_done(struct parts *parts)
{
	luo_commit_free(parts->own);
	luo_commit_free(parts->manager);
	safe_close(parts->index_fd);
	split_done(&parts->split);
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

/* The sessions of the commit itself and those that are carried, all our own. */
static int collect_sessions(struct luod *l, const struct parts *parts, struct commit_report *report,
			    int **ret_fds, size_t *ret_n)
{
	int *fds = NULL, r;
	size_t n = 0;

	r = append_part(parts->own, &fds, &n);
	if (r >= 0)
		r = append_part(parts->manager, &fds, &n);
	if (r >= 0 && parts->index_fd >= 0)
		r = append_copies(&parts->index_fd, 1, &fds, &n);
	if (r < 0) {
		close_many(fds, n);
		free(fds);
		return r;
	}
	carry(l, report, &fds, &n);
	*ret_fds = fds;
	*ret_n = n;
	return 0;
}

/* The commit stands from the record on. */
static int make_it_stand(struct luod *l, const struct parts *parts, const char *session,
			 bool hand_over, struct commit_report *report)
{
	uint64_t number = l->state.next_id++;
	struct json_writer w = { 0 };
	char name[KEEPER_NAME_SIZE];
	size_t n = 0;
	int r;

	r = collect_sessions(l, parts, report, &l->outgoing.fds, &n);
	if (r < 0)
		return r;
	l->outgoing.n = n;
	report->sessions = n;
	l->state.commit_name = strdup(session);
	if (!l->state.commit_name)
		r = -ENOMEM;
	l->state.commit_number = number;
	l->outgoing.handed_over = hand_over;
	l->outgoing.first = free_number(l);
	l->state.commit_sessions = n;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = keeper_push(&l->keeper, outgoing_name(l, i, name), l->outgoing.fds[i]);
	if (r >= 0)
		r = keeper_settle(&l->keeper);
	l->state.stale = false;
	if (r >= 0) {
		record_commit(&w, &l->state);
		r = journal(l, &w);
		l->state.stale = false;
	}
	if (r < 0) {
		commit_forget(l);
		return r;
	}
	l->outgoing.mapping_fd = keep_mapping(parts->own ? parts->own : parts->manager);
	if (parts->manager)
		l->outgoing.manager_mapping_fd = keep_mapping(parts->manager);
	return 0;
}

static struct luo_mapping_state next_state(const struct luod *l, uint64_t begin)
{
	struct luo_mapping_state state = { .struct_size = sizeof(state) };

	state.have_kexec_count = true;
	state.kexec_count = kexec_count(l);
	state.shutdown_start = shutdown_start(l);
	if (state.shutdown_start.realtime == 0) {
		state.shutdown_start.realtime = begin;
		state.shutdown_start.monotonic = now_usec(CLOCK_MONOTONIC);
	}
	/*
	 * As systemd 262 means them: PID 1 has stopped all units; systemd-shutdown begins; and is
	 * about to kexec. What comes next here is our part of the last.
	 */
	state.shutdown_finish = shutdown_finish(l);
	if (state.shutdown_finish.realtime > 0) {
		state.shutdown_late_start.realtime = begin;
		state.shutdown_late_start.monotonic = now_usec(CLOCK_MONOTONIC);
		state.shutdown_late_finish = state.shutdown_late_start;
	}
	return state;
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

struct work {
	struct luod *luod;
	const struct commit_request *request;
	struct luo_store *stores[2];
	struct luo_mapping_state state;
	struct parts parts;
	struct commit_report *report;
};

static void note(struct commit_report *report, const char *format, ...) _printf_(2, 3);
static void note(struct commit_report *report, const char *format, ...)
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

static int split_again(struct work *work, bool whole)
{
	split_done(&work->parts.split);
	return split_make(work->stores, ELEMENTSOF(work->stores), whole, &work->parts.split);
}

/* PID 1's part. Where its session cannot be made, everything goes into ours. */
static int preserve_manager(struct work *work)
{
	struct luo_commit_options options = {
		.struct_size = sizeof(options),
		.session_name = MANAGER_SESSION,
		.max_files_per_session = MANAGER_FILES_MAX,
		.device_timeout_usec = DEVICE_TIMEOUT_USEC,
		.state = &work->state,
		.flags = LUO_COMMIT_NO_PACK,
		.wants = split_is_manager,
		.userdata = &work->parts.split,
	};
	int r;

	if (is_held(work->luod, MANAGER_SESSION)) {
		note(work->report,
		     "Session \"" MANAGER_SESSION "\" came from the previous kernel, is not "
		     "understood and keeps its name: all goes into luod's own session.");
		return split_again(work, true);
	}
	r = luo_commit_new(work->stores, ELEMENTSOF(work->stores), &options, &work->parts.manager);
	if (r == -EEXIST) {
		note(work->report,
		     "Somebody has made a session \"" MANAGER_SESSION "\": all goes into luod's "
		     "own, and only luod can give it back.");
		return split_again(work, true);
	}
	if (r < 0)
		return say_why(work->report, MANAGER_SESSION, r);
	return split_note_failed(&work->parts.split, work->parts.manager);
}

static int preserve_own(struct work *work, const char *session)
{
	struct luo_commit_options options = {
		.struct_size = sizeof(options),
		.session_name = session,
		.max_files_per_session = work->request->max_files,
		.device_timeout_usec = DEVICE_TIMEOUT_USEC,
		.state = &work->state,
		.wants = split_is_own,
		.userdata = &work->parts.split,
	};
	char other[LUO_SESSION_NAME_MAX + 1];
	int r;

	r = luo_commit_new(work->stores, ELEMENTSOF(work->stores), &options, &work->parts.own);
	/* With what is PID 1's this is the end of a shutdown: there is no other time to do it. */
	if (r == -EEXIST && luo_store_n_entries(work->stores[0]) > 0 && work->report->managed &&
	    holdings_other_name(work->luod, other) >= 0 && !streq(other, session)) {
		note(work->report, "Somebody has made a session \"%s\"; luod's own is \"%s\".",
		     session, other);
		options.session_name = other;
		r = luo_commit_new(work->stores, ELEMENTSOF(work->stores), &options,
				   &work->parts.own);
		if (r >= 0)
			snprintf(work->report->session_name, sizeof(work->report->session_name),
				 "%s", other);
	}
	return r < 0 ? say_why(work->report, session, r) : 0;
}

static int preserve_parts(struct work *work, const char *session)
{
	struct parts *parts = &work->parts;
	struct commit_report *report = work->report;
	int r;

	r = split_make(work->stores, ELEMENTSOF(work->stores), false, &parts->split);
	if (r < 0)
		return r;
	report->managed = parts->split.n_managed > 0;
	if (parts->split.n_manager > 0)
		r = preserve_manager(work);
	if (r >= 0 && (!parts->manager || parts->split.n_own + parts->split.n_again > 0))
		r = preserve_own(work, session);
	if (r < 0)
		return r;
	if (!parts->own)
		snprintf(report->session_name, sizeof(report->session_name), "%s", MANAGER_SESSION);
	report->results = json_object_new_array();
	if (!report->results)
		return -ENOMEM;
	if (parts->manager)
		r = report_part(parts->manager, &parts->split, report);
	if (r >= 0 && parts->own)
		r = report_part(parts->own, NULL, report);
	report->sessions = 0;
	return r;
}

static void preserve_index(struct work *work)
{
	int r;

	if (!work->report->managed)
		return;
	r = index_commit(work->stores, ELEMENTSOF(work->stores), &work->parts.split, work->report,
			 DEVICE_TIMEOUT_USEC, &work->parts.index_fd);
	if (r < 0)
		note(work->report,
		     "Cannot make the index for the next boot (session \"" INDEX_SESSION
		     "\"): %s. Units that start before luod there do not get their memory by "
		     "themselves.",
		     strerror(-r));
}

/*
 * PID 1 (systemd >= 261) preserves what is in its store of ours. The sessions are all it needs: the
 * files are in them already, and would be refused; the log and the sockets are about this boot.
 */
static void leave_sessions_only(struct luod *l)
{
	struct luo_store *stores[] = { l->state.stored, l->state.held };
	char name[KEEPER_NAME_SIZE];
	struct luo_entry *entry;
	struct luo_unit *unit;

	for (size_t i = 0; i < ELEMENTSOF(stores); i++)
		LUO_FOREACH_UNIT (unit, stores[i])
			LUO_FOREACH_ENTRY (entry, unit)
				(void)keeper_remove(&l->keeper,
						    keeper_name('e', entry->token, name));
	/* What came in and is not understood goes along as a copy of the same name. */
	for (size_t i = 0; i < l->n_sessions; i++)
		(void)keeper_remove(&l->keeper, keeper_name('i', l->sessions[i].number, name));
	(void)keeper_remove(&l->keeper, keeper_name('L', l->state.generation, name));
	(void)keeper_remove(&l->keeper, "notify");
	(void)keeper_remove(&l->keeper, "varlink");
	(void)keeper_barrier(&l->keeper);
}

static size_t count_sessions(const struct parts *parts)
{
	size_t n = 0, all = 0;

	if (parts->own)
		(void)luo_commit_sessions(parts->own, &n);
	all = n;
	n = 0;
	if (parts->manager)
		(void)luo_commit_sessions(parts->manager, &n);
	return all + n + (parts->index_fd >= 0);
}

static int preserve(struct luod *l, const struct commit_request *request, const char *session,
		    uint64_t begin, struct commit_report *report)
{
	struct work work = {
		.luod = l,
		.request = request,
		.stores = { l->state.stored, l->state.held },
		.state = next_state(l, begin),
		.parts.index_fd = -EBADF,
		.report = report,
	};
	int r;

	r = preserve_parts(&work, session);
	if (r >= 0)
		preserve_index(&work);
	if (r >= 0 && request->dry_run)
		report->sessions = count_sessions(&work.parts);
	else if (r >= 0) {
		r = make_it_stand(l, &work.parts, report->session_name, request->hand_over, report);
		if (r < 0)
			r = say(report, r,
				"Cannot hold the sessions of the commit: %s. It is undone.",
				strerror(-r));
		else if (request->hand_over)
			leave_sessions_only(l);
	}
	parts_done(&work.parts);
	return r;
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
	if (request->hand_over && l->keeper.kind != KEEPER_SYSTEMD)
		return say(report, -EINVAL,
			   "systemd has not started this luod, so there is nobody to hand over to. "
			   "Nothing was changed.");
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
	session = report->session_name;
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
	free(report->note);
	free(report->process);
}
