/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The start after a kill joins the files that the keeper has with the entries of the log:
 *
 *  - a file that an entry of the log names belongs to it;
 *  - a file that the log does not name was never acknowledged, or was removed: luod closes it. If
 *    the log is damaged, the file may belong to any unit: it goes into a unit of its own, for root;
 *  - an entry whose file is missing is lost. That is an error of the keeper.
 */

#include "tools/luod/recover.h"

#include <fcntl.h>
#include <stdio.h>

#include <luo/session.h>
#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/holdings.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/outgoing.h"
#include "tools/luod/problem.h"
#include "tools/luod/registration.h"
#include "tools/luod/sockets.h"
#include "tools/luod/state-apply.h"
#include "tools/luod/state-log.h"
#include "tools/luod/state.h"
#include "tools/luod/vault.h"

struct recovery {
	struct kept *kept;
	size_t n;
	bool have_log, damaged;
	size_t *by_file; /* indices of the kept "e...", sorted by number */
	size_t n_files;
};

static uint64_t file_number(const struct kept *kept)
{
	uint64_t n;

	return keeper_name_parse(kept->name, 'e', &n) < 0 ? 0 : n;
}

/* ---- the log --------------------------------------------------------------------------------- */

static int read_log(struct luod *l, struct recovery *rc, struct kept *kept)
{
	struct state_log_report report;
	struct state_log log;
	int r;

	r = state_log_open(kept->fd, state_apply_record, &l->state, &log, &report);
	state_end_reading(&l->state);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		rc->damaged = true;
		problem_report(l, "Cannot read the state log: %s.", strerror(-r));
		return 0;
	}
	/* The header is the first record; a log without it has another format, or is empty. */
	if (report.damaged > 0 || l->state.ignored > 0 || l->state.started_at == 0) {
		rc->damaged = true;
		problem_report(l, "The state log is damaged: %llu invalid %s, %llu invalid %s.",
			       (unsigned long long)report.damaged,
			       plural(report.damaged, "line", "lines"),
			       (unsigned long long)l->state.ignored,
			       plural(l->state.ignored, "record", "records"));
	}
	if (report.cut > 0)
		log_debug("Cutting off an unfinished record of %llu %s.",
			  (unsigned long long)report.cut, plural(report.cut, "byte", "bytes"));
	rc->have_log = true;
	/* journal_start() writes the log anew as the next generation, and removes this one. */
	l->log = log;
	TAKE_FD(kept->fd);
	return 0;
}

static int find_log(struct luod *l, struct recovery *rc)
{
	struct kept *best = NULL;
	uint64_t best_generation = 0, generation;
	int r = 0;

	for (size_t i = 0; i < rc->n; i++)
		if (keeper_name_parse(rc->kept[i].name, 'L', &generation) >= 0 &&
		    generation >= best_generation) {
			best = &rc->kept[i];
			best_generation = generation;
		}
	if (!best)
		return 0;
	r = read_log(l, rc, best);
	l->state.generation = best_generation;
	for (size_t i = 0; i < rc->n; i++)
		if (&rc->kept[i] != best &&
		    keeper_name_parse(rc->kept[i].name, 'L', &generation) >= 0 &&
		    generation != best_generation) {
			rc->kept[i].fd = safe_close(rc->kept[i].fd);
			(void)keeper_remove(&l->keeper, rc->kept[i].name);
		}
	return r;
}

/* ---- files ----------------------------------------------------------------------------------- */

static const struct recovery *sorting;

static int compare_files(const void *a, const void *b)
{
	uint64_t x = file_number(&sorting->kept[*(const size_t *)a]);
	uint64_t y = file_number(&sorting->kept[*(const size_t *)b]);

	return x < y ? -1 : x > y;
}

static int index_files(struct recovery *rc)
{
	rc->by_file = calloc(rc->n + 1, sizeof(size_t));
	if (!rc->by_file)
		return -ENOMEM;
	for (size_t i = 0; i < rc->n; i++)
		if (rc->kept[i].name[0] == 'e' && file_number(&rc->kept[i]) > 0)
			rc->by_file[rc->n_files++] = i;
	sorting = rc;
	qsort(rc->by_file, rc->n_files, sizeof(size_t), compare_files);
	return 0;
}

static struct kept *find_file(struct recovery *rc, uint64_t file)
{
	size_t low = 0, high = rc->n_files;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (file_number(&rc->kept[rc->by_file[mid]]) < file)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == rc->n_files || file_number(&rc->kept[rc->by_file[low]]) != file)
		return NULL;
	return &rc->kept[rc->by_file[low]];
}

/* The first entry takes the fd, further ones of the same file a copy. */
static int give_fd(struct recovery *rc, struct luo_entry *entry, struct luo_entry **owners)
{
	struct kept *kept = find_file(rc, entry->token);
	size_t at;
	int fd, r;

	if (!kept)
		return -ENOENT;
	at = (size_t)(kept - rc->kept);
	if (owners[at])
		fd = fcntl(owners[at]->fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = TAKE_FD(kept->fd);
	if (fd < 0)
		return -errno;
	r = luo_entry_set_fd(entry, fd);
	if (r < 0) {
		safe_close(fd);
		return r;
	}
	if (!owners[at])
		owners[at] = entry;
	return 0;
}

static int join_store(struct luod *l, struct recovery *rc, struct luo_store *store,
		      struct luo_entry **owners)
{
	for (size_t i = 0; i < luo_store_n_units(store); i++) {
		struct luo_unit *unit = luo_store_unit_at(store, i);

		for (size_t k = 0; k < unit->n_entries;) {
			struct luo_entry *entry = unit->entries[k];
			int r = give_fd(rc, entry, owners);

			if (r >= 0) {
				if (store == l->state.stored)
					vault_watch(l, entry);
				k++;
				continue;
			}
			problem_report(
				l, "%s: \"%s\" is lost: the keeper (%s) did not give it back: %s.",
				unit->name, entry->name, keeper_to_string(&l->keeper),
				strerror(-r));
			luo_entry_remove(entry);
		}
	}
	return 0;
}

static void adopt_orphan(struct luod *l, struct kept *kept)
{
	struct luo_unit *unit;
	char name[KEEPER_NAME_SIZE + 8];
	struct luo_entry *entry;
	int r;

	snprintf(name, sizeof(name), "fd-%s", kept->name);
	r = luo_store_add_unit(l->state.stored, ORPHANS_UNIT, NULL, &unit);
	if (r >= 0)
		r = luo_unit_add_fd(unit, name, kept->fd, &entry);
	if (r < 0) {
		problem_report(l, "Cannot take \"%s\" back from the keeper: %s.", kept->name,
			       strerror(-r));
		/* It stays open: the keeper has it, and the next start may succeed. */
		TAKE_FD(kept->fd);
		return;
	}
	TAKE_FD(kept->fd);
	entry->token = file_number(kept);
	entry->id = l->state.next_id++;
	entry->poll = false;
}

static void handle_unused_files(struct luod *l, struct recovery *rc, struct luo_entry **owners)
{
	size_t orphans = 0;

	/* Before any new number is given. */
	for (size_t i = 0; i < rc->n_files; i++)
		l->state.next_id =
			MAX2(l->state.next_id, file_number(&rc->kept[rc->by_file[i]]) + 1);
	for (size_t i = 0; i < rc->n_files; i++) {
		struct kept *kept = &rc->kept[rc->by_file[i]];

		if (owners[rc->by_file[i]] || kept->fd < 0)
			continue;
		if (rc->have_log && !rc->damaged) {
			log_debug("Dropping \"%s\": it was never acknowledged, or was removed.",
				  kept->name);
			kept->fd = safe_close(kept->fd);
			(void)keeper_remove(&l->keeper, kept->name);
			continue;
		}
		adopt_orphan(l, kept);
		orphans++;
	}
	if (orphans > 0)
		problem_report(l, "Kept %zu %s whose unit is not known in the unit %s.", orphans,
			       plural(orphans, "fd", "fds"), ORPHANS_UNIT);
}

static int join_files(struct luod *l, struct recovery *rc)
{
	_cleanup_free_ struct luo_entry **owners = calloc(rc->n + 1, sizeof(*owners));
	int r;

	if (!owners)
		return -ENOMEM;
	r = index_files(rc);
	if (r >= 0)
		r = join_store(l, rc, l->state.stored, owners);
	if (r >= 0)
		r = join_store(l, rc, l->state.held, owners);
	if (r >= 0)
		handle_unused_files(l, rc, owners);
	return r;
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* A commit counts if it is in the log and all of its sessions are there. */
static void join_outgoing(struct luod *l, struct recovery *rc)
{
	uint64_t number;
	size_t n = 0;

	l->outgoing.fds = calloc(rc->n + 1, sizeof(int));
	for (uint64_t k = 0;
	     l->outgoing.fds && l->state.commit_name && k < l->state.commit_sessions; k++) {
		char name[KEEPER_NAME_SIZE];

		keeper_name2('o', l->state.commit_number, k, name);
		for (size_t i = 0; i < rc->n; i++)
			if (rc->kept[i].fd >= 0 && streq(rc->kept[i].name, name)) {
				l->outgoing.fds[n++] = TAKE_FD(rc->kept[i].fd);
				break;
			}
	}
	l->outgoing.n = n;
	if (l->state.commit_name && n < l->state.commit_sessions) {
		problem_report(
			l,
			"The commit \"%s\" is incomplete: %zu of %llu %s came back. It is undone; commit again.",
			l->state.commit_name, n, (unsigned long long)l->state.commit_sessions,
			plural(l->state.commit_sessions, "session", "sessions"));
		outgoing_release(l);
	}
	for (size_t i = 0; i < rc->n; i++)
		if (rc->kept[i].fd >= 0 && keeper_name_parse(rc->kept[i].name, 'o', &number) >= 0) {
			log_notice("A commit was not finished when luod was killed. It is undone.");
			rc->kept[i].fd = safe_close(rc->kept[i].fd);
			(void)keeper_remove(&l->keeper, rc->kept[i].name);
		}
}

static void join_incoming(struct luod *l, struct recovery *rc)
{
	_cleanup_free_ struct kept_session *sessions = calloc(rc->n + 1, sizeof(*sessions));
	uint64_t number;
	size_t n = 0;

	for (size_t i = 0; sessions && i < rc->n; i++) {
		struct kept *kept = &rc->kept[i];
		_cleanup_free_ char *name = NULL;

		if (kept->fd < 0 || keeper_name_parse(kept->name, 'i', &number) < 0)
			continue;
		/*
		 * luod was killed while it finished this session. Other sessions stay as they are.
		 */
		if (l->state.incoming_finished && l->state.incoming_name &&
		    luo_session_get_name(kept->fd, &name) >= 0 &&
		    session_is_one_of(l->state.incoming_name, name)) {
			(void)luo_session_finish(kept->fd);
			kept->fd = safe_close(kept->fd);
			(void)keeper_remove(&l->keeper, kept->name);
			continue;
		}
		sessions[n++] = (struct kept_session){ .number = number, .fd = TAKE_FD(kept->fd) };
	}
	if (n > 0)
		holdings_adopt(l, sessions, n);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void report_unknown(struct luod *l, struct recovery *rc)
{
	for (size_t i = 0; i < rc->n; i++)
		if (rc->kept[i].fd >= 0) {
			problem_report(
				l,
				"The keeper gave back \"%s\", which luod does not know. luod leaves it there.",
				rc->kept[i].name);
			rc->kept[i].fd = safe_close(rc->kept[i].fd);
		}
}

static void count_start(struct luod *l, const struct recovery *rc)
{
	if (rc->have_log)
		l->state.restarts++;
	if (l->state.started_at == 0)
		l->state.started_at = now_usec(CLOCK_REALTIME);
}

static void log_restart(const struct luod *l)
{
	size_t fds = luo_store_n_entries(l->state.stored) + luo_store_n_entries(l->state.held);
	size_t units = luo_store_n_units(l->state.stored), processes = l->state.n_registrations;

	log_info("Restarted with %zu %s of %zu %s, %zu registered %s.", fds,
		 plural(fds, "fd", "fds"), units, plural(units, "unit", "units"), processes,
		 plural(processes, "process", "processes"));
}

static int recover_all(struct luod *l, struct recovery *rc)
{
	int r;

	r = find_log(l, rc);
	if (r < 0)
		return r;
	count_start(l, rc);
	r = sockets_open(l, rc->kept, rc->n);
	if (r >= 0)
		r = join_files(l, rc);
	if (r < 0)
		return r;
	registrations_resume(l);
	join_outgoing(l, rc);
	r = journal_start(l);
	if (r < 0) {
		log_error("Cannot write the state log: %s.", strerror(-r));
		return r;
	}
	join_incoming(l, rc);
	report_unknown(l, rc);
	if (rc->have_log)
		log_restart(l);
	return 0;
}

int recover(struct luod *l)
{
	struct recovery rc = { 0 };
	int r;

	r = keeper_take(&rc.kept, &rc.n);
	if (r < 0) {
		log_error("Cannot take the fds from the keeper (%s): %s.",
			  keeper_to_string(&l->keeper), strerror(-r));
		return r;
	}
	r = recover_all(l, &rc);
	kept_free(rc.kept, rc.n);
	free(rc.by_file);
	return r;
}
