/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Holdings leave the kernel: claimed, restored for a commit, or dropped. */

#include "tools/luod/holdings-take.h"

#include <sys/stat.h>

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/store.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "libluo/handover/incoming.h"
#include "tools/luod/holdings.h"
#include "tools/luod/identity.h"
#include "tools/luod/journal.h"
#include "tools/luod/luod.h"
#include "tools/luod/retrieve-in.h"
#include "tools/luod/state-record.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"
#include "tools/luod/vault.h"

/* ---- taking out ------------------------------------------------------------------------------ */

/* 0: the entry has its fd; 1: it is lost, and moved; negative: may be tried again. */
static int restore_entry(struct luod *l, struct luo_entry *entry)
{
	int r;

	if (entry->failed == 0) {
		r = luo_incoming_restore(l->incoming, entry);
		if (r >= 0)
			return 0;
		if (entry->failed == 0) {
			log_warning("%s: cannot restore \"%s\": %s. It stays in the kernel.",
				    entry->unit->name, entry->name, strerror(-r));
			return r;
		}
	}
	r = vault_adopt_lost(l, entry);
	return r < 0 ? r : 1;
}

/* In the cgroup of the claimer: see retrieve-in.h. Also 0 if that cannot be done. */
static int restore_for(struct luod *l, struct luo_entry **entries, size_t n,
		       const struct peer *claimer)
{
	_cleanup_free_ char *cgroup = NULL, *own = NULL;
	int r;

	if (!claimer || claimer->pid <= 0)
		return 0;
	r = proc_cgroup(claimer->pid, &cgroup);
	/* A claimer that ends at once would make luod pay. */
	if (!pidfd_is_running(claimer->pidfd))
		return -ESRCH;
	if (r < 0)
		return 0;
	if (proc_cgroup(getpid(), &own) >= 0 && streq(own, cgroup))
		return 0;
	r = retrieve_in(cgroup, l->incoming, entries, n, &l->room);
	return r == -EOPNOTSUPP ? 0 : r;
}

static bool is_in_kernel(const struct luo_entry *entry)
{
	return entry->type == LUO_ENTRY_FD && entry->fd < 0 && entry->failed == 0;
}

static int restore_in_cgroup(struct luod *l, struct luo_unit *unit, const char *name,
			     const struct peer *claimer)
{
	_cleanup_free_ struct luo_entry **list = NULL;
	struct luo_entry *entry;
	size_t n = 0;

	list = calloc(unit->n_entries + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	LUO_FOREACH_ENTRY (entry, unit)
		if (is_in_kernel(entry) && (!name || streq(entry->name, name)))
			list[n++] = entry;
	return n > 0 ? restore_for(l, list, n, claimer) : 0;
}

int holdings_open(struct luod *l, struct luo_entry *entry, const struct peer *opener, int *ret_fd)
{
	int r = 0;

	l->room = (struct luo_memory_room){ 0 };
	if (is_in_kernel(entry))
		r = restore_for(l, &entry, 1, opener);
	return r < 0 ? r : luo_incoming_fetch(l->incoming, entry, ret_fd);
}

static int claim_from_kernel(struct luod *l, struct luo_unit *unit, const char *name,
			     struct luo_unit *to, const struct peer *claimer)
{
	size_t i = 0, left = unit->n_entries;
	int r;

	l->room = (struct luo_memory_room){ 0 };
	r = restore_in_cgroup(l, unit, name, claimer);
	if (r < 0)
		return r;

	/* The unit is freed with its last entry, so count down instead of reading its count. */
	while (left-- > 0) {
		struct luo_entry *entry = unit->entries[i];

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = restore_entry(l, entry);
		if (r == 0)
			r = vault_adopt(l, entry, to, RECORD_STORED);
		if (r < 0)
			return r;
	}
	return 0;
}

int holdings_claim(struct luod *l, const char *unit_name, const char *name, struct luo_unit *to,
		   const struct peer *claimer)
{
	struct luo_store *incoming = stores_incoming(l);
	struct luo_unit *unit = incoming ? luo_store_find_unit(incoming, unit_name) : NULL;
	size_t left;
	int r = 0;

	if (unit)
		r = claim_from_kernel(l, unit, name, to, claimer);
	if (r < 0)
		return r;
	unit = luo_store_find_unit(l->state.held, unit_name);
	left = unit ? unit->n_entries : 0;
	for (size_t i = 0; left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = vault_move(l, entry, to);
		if (r < 0)
			return r;
	}
	holdings_settle(l);
	return 0;
}

int holdings_restore_all(struct luod *l)
{
	struct luo_store *store;

	/* When the last entry is out, the session is finished, and the next one takes its place. */
	while ((store = stores_incoming(l)) && luo_store_n_units(store) > 0) {
		struct luo_unit *unit = luo_store_unit_at(store, 0), *to;
		size_t left = unit->n_entries;
		int r;

		if (left == 0) {
			luo_unit_remove(unit);
			continue;
		}
		r = vault_unit_held(l, unit, &to);
		if (r < 0)
			return r;
		while (left-- > 0) {
			struct luo_entry *entry = unit->entries[0];

			r = restore_entry(l, entry);
			if (r == 0)
				r = vault_adopt(l, entry, to, RECORD_HELD);
			if (r < 0)
				return r;
		}
		holdings_settle(l);
	}
	/* The session is not finished, so the kernel would refuse to preserve its files again. */
	return stores_incoming(l) ? -EDQUOT : 0;
}

/* ---- dropping -------------------------------------------------------------------------------- */

static bool store_has_inode(const struct luo_store *store, const struct stat *st)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u)
			if (e->fd >= 0 && e->inode == st->st_ino && e->device == st->st_dev)
				return true;
	return false;
}

static bool others_have_token(const struct luo_store *store, const struct luo_entry *entry)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u)
			if (e != entry && e->type == entry->type && e->session == entry->session &&
			    e->token == entry->token)
				return true;
	return false;
}

/*
 * The session has a reference to the file until it is finished, and that may take long: other units
 * have entries in it. The memory is freed at once if the file is emptied.
 */
static void empty_file(struct luod *l, struct luo_entry *entry)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	if (entry->type != LUO_ENTRY_FD || others_have_token(stores_incoming(l), entry))
		return;
	r = luo_incoming_fetch(l->incoming, entry, &fd);
	if (r >= 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r >= 0 &&
	    (store_has_inode(l->state.stored, &st) || store_has_inode(l->state.held, &st)))
		return;
	if (r >= 0 && ftruncate(fd, 0) < 0)
		r = -errno;
	if (r < 0)
		log_notice(
			"%s: \"%s\" was dropped, but its memory is freed only when the rest of session \"%s\" is claimed or dropped: %s.",
			entry->unit->name, entry->name, luo_incoming_name(l->incoming),
			strerror(-r));
}

int holdings_drop(struct luod *l, struct luo_entry *entry, uint64_t *ret_bytes)
{
	struct state_gone gone = { .holding = entry->id };
	struct json_writer w = { 0 };
	int r;

	*ret_bytes = entry->alias ? 0 : entry->meta.size;
	record_gone(&w, &gone);
	r = journal_write(l, &w);
	if (r >= 0)
		r = state_add_gone(&l->state, gone.holding, 0);
	if (r < 0)
		return r;
	l->state.stale = true;
	if (luo_store_n_entries(stores_incoming(l)) > 1 && entry->failed == 0)
		empty_file(l, entry);
	holdings_remove_entry(entry);
	return 0;
}
