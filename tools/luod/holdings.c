/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Adopting sessions that came in, and finishing them. */

#include "tools/luod/holdings.h"

#include <fcntl.h>
#include <stdio.h>

#include <luo/handover.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "libluo/handover/incoming.h"
#include "tools/luod/commit-index.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/monitor.h"
#include "tools/luod/problem.h"
#include "tools/luod/state-record.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"
#include "tools/luod/vault.h"

/* ---- taking over ----------------------------------------------------------------------------- */

/* The number of an entry in the kernel is its place in the mapping, from 1. */
static int number_entries(struct luo_store *store, struct luo_entry ***ret, size_t *ret_n)
{
	struct luo_entry **list, *e;
	struct luo_unit *u;
	size_t n = 0;

	list = calloc(luo_store_n_entries(store) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u) {
			list[n++] = e;
			e->id = n;
		}
	*ret = list;
	*ret_n = n;
	return 0;
}

static struct luo_entry *find_id(const struct luo_store *store, uint64_t id)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u)
			if (e->id == id)
				return e;
	return NULL;
}

/* An alias of an entry that was claimed before the restart must become the same file again. */
static void remember_claimed(struct luod *l, struct luo_entry *entry, uint64_t id)
{
	struct luo_entry *claimed;

	if (id == 0 || !luo_incoming_shared_of(l->incoming, entry))
		return;
	claimed = find_id(l->state.stored, id);
	if (!claimed)
		claimed = find_id(l->state.held, id);
	if (!claimed || claimed->fd < 0)
		return;
	(void)luo_incoming_remember_fd(l->incoming, entry, claimed->fd);
}

void holdings_remove_entry(struct luo_entry *entry)
{
	struct luo_unit *unit = entry->unit;

	luo_entry_remove(entry);
	if (unit->n_entries == 0)
		luo_unit_remove(unit);
}

/* To another unit of PID 1; the entry stays in the kernel. */
static int move_in_kernel(struct luo_store *store, struct luo_entry *entry, const char *unit_name)
{
	struct luo_unit *from = entry->unit, *to;
	int r;

	r = luo_store_add_unit(store, unit_name, NULL, &to);
	if (r >= 0)
		r = unit_set_managed(to);
	if (r >= 0)
		r = luo_entry_move(entry, to);
	if (r >= 0 && from->n_entries == 0)
		luo_unit_remove(from);
	return r;
}

int holdings_move(struct luod *l, struct luo_entry *entry, const char *unit_name)
{
	struct json_writer w = { 0 };
	uint64_t holding = entry->id;
	int r;

	r = state_add_moved(&l->state, holding, unit_name);
	if (r < 0)
		return r;
	record_moved(&w, holding, unit_name);
	r = journal_write(l, &w);
	if (r < 0)
		return r;
	l->state.stale = true;
	return move_in_kernel(stores_incoming(l), entry, unit_name);
}

/*
 * A systemd >= 261 preserved these sessions as what luod.service had stored. luod has retrieved
 * them by their names, and the generator has read the index: no unit claims them.
 */
static bool is_own_session(const struct luod *l, const struct luo_entry *entry)
{
	return entry->type == LUO_ENTRY_SESSION && streq(entry->unit->name, "luod.service") &&
	       entry->session_name &&
	       (startswith(entry->session_name, l->options.session) ||
		streq(entry->session_name, INDEX_SESSION));
}

/* Removes what was claimed or dropped before the restart, according to the log. */
static int remove_gone(struct luod *l, struct luo_store *store)
{
	_cleanup_free_ struct luo_entry **list = NULL;
	size_t n;
	int r;

	r = number_entries(store, &list, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->state.n_gone; i++) {
		uint64_t holding = l->state.gone[i].holding;

		if (holding > n || !list[holding - 1])
			continue;
		remember_claimed(l, list[holding - 1], l->state.gone[i].id);
	}
	for (size_t i = 0; i < l->state.n_gone; i++) {
		uint64_t holding = l->state.gone[i].holding;

		if (holding > n || !list[holding - 1])
			continue;
		holdings_remove_entry(list[holding - 1]);
		list[holding - 1] = NULL;
	}
	for (size_t i = 0; i < l->state.n_moved; i++) {
		const struct state_moved *moved = &l->state.moved[i];

		if (moved->holding <= n && list[moved->holding - 1])
			(void)move_in_kernel(store, list[moved->holding - 1], moved->unit);
	}
	for (size_t i = 0; i < n; i++) {
		if (!list[i])
			continue;
		if (is_own_session(l, list[i]))
			holdings_remove_entry(list[i]);
		else if (list[i]->failed < 0) /* Its session did not come in. */
			(void)vault_adopt_lost(l, list[i]);
	}
	return 0;
}

static void report_issues(struct luod *l, const struct luo_mapping *mapping)
{
	for (size_t i = 0; i < mapping->n_issues && i < 20; i++)
		log_warning("The mapping of session \"%s\": %s: %s, skipping it.",
			    luo_incoming_name(l->incoming), mapping->issues[i].where,
			    mapping->issues[i].what);
	if (mapping->n_all_issues > 0)
		problem_report(
			l,
			"Skipped %zu invalid %s in the mapping of session \"%s\"; their files are not restored.",
			mapping->n_all_issues, plural(mapping->n_all_issues, "entry", "entries"),
			luo_incoming_name(l->incoming));
}

static void keep_newest_state(struct luod *l, const struct luo_mapping_state *previous)
{
	if (!l->state.previous.have_kexec_count ||
	    previous->kexec_count > l->state.previous.kexec_count)
		l->state.previous = *previous;
}

/*
 * The names of all sessions that holdings come from: "luod/systemd". A session name has no slash.
 */
static char *joined_names(const struct luo_incoming *incoming)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < incoming->n_groups; i++)
		fprintf(f, "%s%s", i > 0 ? "/" : "", incoming->groups[i].name);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void adopt_mapping(struct luod *l, struct luo_mapping *mapping)
{
	size_t entries = luo_store_n_entries(mapping->store);
	size_t units = luo_store_n_units(mapping->store);
	_cleanup_free_ char *names = joined_names(l->incoming);
	struct json_writer w = { 0 };

	if (!names) {
		problem_report(l, "Cannot read what the previous kernel left: not enough memory.");
		return;
	}
	if (!l->state.incoming_name || !streq(l->state.incoming_name, names) ||
	    l->state.incoming_finished) {
		free(l->state.incoming_name);
		l->state.incoming_name = TAKE_PTR(names);
		l->state.incoming_finished = false;
		l->state.n_gone = 0;
		l->state.n_moved = 0;
		record_incoming(&w, &l->state);
		journal_must_write(l, &w);
		report_issues(l, mapping);
		log_info("The previous kernel left %zu file %s of %zu %s.", entries,
			 plural(entries, "descriptor", "descriptors"), units,
			 plural(units, "unit", "units"));
		monitor_emit(l, "restored", NULL, NULL, NULL);
	}
	if (remove_gone(l, mapping->store) < 0)
		problem_report(
			l,
			"Cannot compare what the previous kernel left with the state log: not enough memory.");
}

/*
 * The index is for the generator. If PID 1 retrieved it first, it comes to luod, and has no
 * entries.
 */
static bool is_index(struct luod *l, struct kept_session *session)
{
	char name[KEEPER_NAME_SIZE];

	if (!session->name || !streq(session->name, INDEX_SESSION))
		return false;
	(void)luo_session_finish(session->fd);
	session->fd = safe_close(session->fd);
	(void)keeper_remove(&l->keeper, keeper_name('i', session->number, name));
	return true;
}

static void report_unknown_session(struct luod *l, struct kept_session *session)
{
	problem_report(
		l,
		"Session \"%s\" of the previous kernel has a name that luod does not know. luod holds it and does not free it.",
		session->name ? session->name : "?");
}

/* Takes the sessions of one group out of the list, the main session first. */
static size_t take_group(struct luod *l, const char *main_name, int *ret_fds)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_sessions && n == 0; i++)
		if (l->sessions[i].fd >= 0 && l->sessions[i].name &&
		    streq(l->sessions[i].name, main_name))
			ret_fds[n++] = TAKE_FD(l->sessions[i].fd);
	for (size_t i = 0; n > 0 && i < l->n_sessions; i++) {
		const char *name = l->sessions[i].name;

		if (l->sessions[i].fd >= 0 && name && luo_session_is_further(name, main_name))
			ret_fds[n++] = TAKE_FD(l->sessions[i].fd);
	}
	return n;
}

static struct luo_incoming *adopt_group(struct luod *l, const char *name)
{
	_cleanup_free_ int *fds = calloc(l->n_sessions + 1, sizeof(int));
	struct luo_incoming *incoming = NULL;
	size_t n;
	int r;

	if (!fds)
		return NULL;
	n = take_group(l, name, fds);
	if (n == 0)
		return NULL;
	r = luo_incoming_adopt(fds, n, &incoming);
	if (r < 0) {
		problem_report(
			l, "Cannot read session \"%s\": %s. luod holds it and does not free it.",
			name, strerror(-r));
		return NULL;
	}
	if (luo_incoming_problem(incoming))
		problem_report(
			l, "Session \"%s\" is unreadable: %s. luod holds it and does not free it.",
			name, luo_incoming_problem(incoming));
	return incoming;
}

int holdings_other_name(const struct luod *l, char name[LUO_SESSION_NAME_MAX + 1])
{
	int n = snprintf(name, LUO_SESSION_NAME_MAX + 1, "%s-live", l->options.session);

	return n > LUO_SESSION_NAME_MAX ? -ENAMETOOLONG : 0;
}

struct luo_incoming *holdings_unreadable(const struct luod *l, size_t i)
{
	for (size_t k = 0; k < ELEMENTSOF(l->waiting); k++)
		if (l->waiting[k] && luo_incoming_problem(l->waiting[k]) && i-- == 0)
			return l->waiting[k];
	return NULL;
}

bool holdings_has_unreadable(const struct luod *l, const char *name)
{
	struct luo_incoming *unreadable;

	for (size_t i = 0; (unreadable = holdings_unreadable(l, i)); i++)
		if (streq(luo_incoming_name(unreadable), name))
			return true;
	return false;
}

/*
 * Merges the readable sessions into one. A session that cannot be merged (see luo_incoming_merge())
 * comes when the others are finished.
 */
static void merge_waiting(struct luod *l)
{
	if (l->incoming)
		return;
	for (size_t i = 0; i < ELEMENTSOF(l->waiting); i++) {
		if (!l->waiting[i] || !luo_incoming_mapping(l->waiting[i]))
			continue;
		if (!l->incoming)
			l->incoming = TAKE_PTR(l->waiting[i]);
		else if (luo_incoming_merge(l->incoming, l->waiting[i]) >= 0)
			l->waiting[i] = NULL;
	}
	if (l->incoming)
		adopt_mapping(l, luo_incoming_mapping(l->incoming));
}

/* Units of PID 1's session go back to PID 1. The mapping says so only if luod wrote it. */
static void mark_managed(struct luod *l, const struct luo_incoming *incoming)
{
	struct luo_mapping *mapping = luo_incoming_mapping(incoming);
	struct luo_unit *unit;

	if (!mapping)
		return;
	LUO_FOREACH_UNIT (unit, mapping->store)
		if (unit_set_managed(unit) < 0)
			problem_report(l,
				       "Cannot note that %s belongs to PID 1: not enough memory.",
				       unit->name);
}

void holdings_adopt(struct luod *l, const struct kept_session *sessions, size_t n)
{
	char other[LUO_SESSION_NAME_MAX + 1];

	l->sessions = calloc(n + 1, sizeof(*l->sessions));
	if (!l->sessions) {
		problem_report(
			l,
			"Cannot read what the previous kernel left: not enough memory. luod holds it.");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		l->sessions[i] = sessions[i];
		l->sessions[i].name = NULL;
		(void)luo_session_get_name(sessions[i].fd, &l->sessions[i].name);
	}
	l->n_sessions = n;
	if (holdings_other_name(l, other) >= 0)
		l->waiting[0] = adopt_group(l, other);
	l->waiting[1] = adopt_group(l, l->options.session);
	if (!streq(l->options.session, MANAGER_SESSION)) {
		l->waiting[2] = adopt_group(l, MANAGER_SESSION);
		if (l->waiting[2])
			mark_managed(l, l->waiting[2]);
	}
	for (size_t i = 0; i < ELEMENTSOF(l->waiting); i++)
		if (l->waiting[i] && luo_incoming_mapping(l->waiting[i]))
			keep_newest_state(l, &luo_incoming_mapping(l->waiting[i])->state);
	for (size_t i = 0; i < n; i++)
		if (l->sessions[i].fd >= 0 && !is_index(l, &l->sessions[i]))
			report_unknown_session(l, &l->sessions[i]);
	merge_waiting(l);
	holdings_settle(l);
}

void holdings_free(struct luod *l)
{
	l->incoming = luo_incoming_free(l->incoming);
	for (size_t i = 0; i < ELEMENTSOF(l->waiting); i++)
		l->waiting[i] = luo_incoming_free(l->waiting[i]);
	for (size_t i = 0; i < l->n_sessions; i++) {
		safe_close(l->sessions[i].fd);
		free(l->sessions[i].name);
	}
	free(TAKE_PTR(l->sessions));
	l->n_sessions = 0;
}

/* ---- finishing ------------------------------------------------------------------------------- */

static void remove_at_keeper(struct luod *l, const char *names)
{
	size_t left = 0;

	for (size_t i = 0; i < l->n_sessions; i++) {
		char name[KEEPER_NAME_SIZE];

		if (l->sessions[i].fd >= 0 || !session_is_one_of(names, l->sessions[i].name)) {
			l->sessions[left++] = l->sessions[i];
			continue;
		}
		(void)keeper_remove(&l->keeper, keeper_name('i', l->sessions[i].number, name));
		free(l->sessions[i].name);
	}
	l->n_sessions = left;
}

/* Restores the files that invalid entries may have meant, before the kernel frees them. */
static int rescue_unnamed_files(struct luod *l)
{
	struct luo_unit *unit;
	size_t n;
	int r;

	if (luo_incoming_mapping(l->incoming)->n_all_issues == 0)
		return 0;
	r = vault_unit(l, ORPHANS_UNIT, &unit);
	if (r >= 0)
		r = luo_incoming_rescue(l->incoming, unit, &n);
	if (r >= 0)
		r = vault_secure_unit(l, unit);
	vault_unit_release(l, ORPHANS_UNIT);
	if (r >= 0 && n > 0)
		log_notice(
			"Moved %zu %s of session \"%s\" that no valid entry names to the unit %s.",
			n, plural(n, "file", "files"), luo_incoming_name(l->incoming),
			ORPHANS_UNIT);
	return r;
}

static int finish_session(struct luod *l)
{
	_cleanup_free_ char *name = joined_names(l->incoming);
	struct json_writer w = { 0 };
	int r;

	if (!name)
		return -ENOMEM;
	r = rescue_unnamed_files(l);
	if (r < 0) {
		log_limited(
			LOG_WARNING,
			"Session \"%s\" stays open: cannot restore the files of its invalid entries: %s.",
			name, strerror(-r));
		return r;
	}
	/*
	 * Record first that nothing in the session is needed: after a kill in the middle of
	 * finishing, its content would be misleading.
	 */
	record_finished(&w);
	journal_must_write(l, &w);
	l->state.incoming_finished = true;
	l->state.n_gone = 0;
	l->state.n_moved = 0;
	r = luo_incoming_finish(l->incoming);
	if (r < 0)
		log_warning("Cannot finish session \"%s\": %s. Closing it instead.", name,
			    strerror(-r));
	log_info("Session \"%s\" is finished: nothing of it is left in the kernel.", name);
	l->incoming = luo_incoming_free(l->incoming);
	remove_at_keeper(l, name);
	return 0;
}

void holdings_settle(struct luod *l)
{
	struct luo_store *store;

	while ((store = stores_incoming(l)) && luo_store_n_entries(store) == 0) {
		if (finish_session(l) < 0)
			return;
		merge_waiting(l);
	}
}
