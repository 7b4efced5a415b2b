/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Each function here keeps the order of luod.h: keeper before log when an fd comes, log before
 * keeper when it goes.
 */

#include "tools/luod/vault.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/store.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "tools/luod/close-foreign.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/monitor.h"
#include "tools/luod/state-record.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"

/* ---- files: what the keeper has -------------------------------------------------------------- */

static struct luo_entry *same_file_in(const struct luo_store *store, const struct luo_entry *entry)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u)
			if (e != entry && e->token > 0 && e->fd >= 0 && e->inode == entry->inode &&
			    e->device == entry->device &&
			    luo_fd_same_description(e->fd, entry->fd) == 1)
				return e;
	return NULL;
}

/* systemd keeps the same open file description only once, so each description has one number. */
static int push_file(struct luod *l, struct luo_entry *entry)
{
	struct luo_entry *same = same_file_in(l->state.stored, entry);
	char name[KEEPER_NAME_SIZE];

	if (!same)
		same = same_file_in(l->state.held, entry);
	if (same) {
		entry->token = same->token;
		return 0;
	}
	entry->token = l->state.next_id++;
	return keeper_push(&l->keeper, keeper_name('e', entry->token, name), entry->fd);
}

static bool file_is_used_in(const struct luo_store *store, uint64_t file)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_ENTRY (e, u)
			if (e->token == file)
				return true;
	return false;
}

static void release_file(struct luod *l, uint64_t file)
{
	char name[KEEPER_NAME_SIZE];
	int r;

	if (file_is_used_in(l->state.stored, file) || file_is_used_in(l->state.held, file))
		return;
	r = keeper_remove(&l->keeper, keeper_name('e', file, name));
	if (r < 0)
		log_warning("Cannot remove a file at the keeper: %s. Its memory stays in use.",
			    strerror(-r));
}

/* ---- watching for POLLHUP -------------------------------------------------------------------- */

struct hangup {
	struct luod *luod;
	struct luo_entry *entry;
	sd_event_source *source;
};

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct hangup *hangup = userdata;
	struct luo_entry *entry = hangup->entry;
	struct luod *l = hangup->luod;

	log_info("%s: the other end of \"%s\" has hung up, removing it.", entry->unit->name,
		 entry->name);
	if (vault_remove(l, entry) < 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

void vault_watch(struct luod *l, struct luo_entry *entry)
{
	struct hangup *hangup;

	if (!entry->poll || entry->fd < 0 || entry->userdata)
		return;
	hangup = calloc(1, sizeof(*hangup));
	if (!hangup)
		return;
	/* POLLHUP and POLLERR are always reported. Memory cannot be polled: -EPERM. */
	if (sd_event_add_io(l->event, &hangup->source, entry->fd, 0, on_hangup, hangup) < 0) {
		free(hangup);
		return;
	}
	hangup->luod = l;
	hangup->entry = entry;
	entry->userdata = hangup;
}

void vault_unwatch(struct luo_entry *entry)
{
	struct hangup *hangup = TAKE_PTR(entry->userdata);

	if (!hangup)
		return;
	sd_event_source_disable_unref(hangup->source);
	free(hangup);
}

/* ---- units ----------------------------------------------------------------------------------- */

static bool unit_is_registered(const struct luod *l, const char *name)
{
	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (streq(l->state.registrations[i].unit, name))
			return true;
	return false;
}

static int write_unit(struct luod *l, struct luo_unit *unit, enum record_place place)
{
	struct json_writer w = { 0 };

	record_unit(&w, unit, place);
	return journal_write(l, &w);
}

int vault_unit_changed(struct luod *l, struct luo_unit *unit)
{
	return write_unit(l, unit, RECORD_STORED);
}

/* Copies the limit and the further keys. */
static int copy_unit(struct luo_unit *to, const struct luo_unit *from)
{
	if (!from)
		return 0;
	if (to->fdstore_max == 0)
		to->fdstore_max = from->fdstore_max;
	if (!to->extra && from->extra) {
		to->extra = strdup(from->extra);
		if (!to->extra)
			return -ENOMEM;
	}
	return 0;
}

static int find_or_add_unit(struct luod *l, struct luo_store *store, enum record_place place,
			    const char *name, const struct luo_unit *like, struct luo_unit **ret)
{
	struct luo_unit *unit = luo_store_find_unit(store, name);
	int r;

	if (unit && (!like || like == unit)) {
		*ret = unit;
		return 0;
	}
	if (!unit && luo_store_n_units(store) >= LUO_MAPPING_UNITS_MAX)
		return -ENOSPC;
	r = luo_store_add_unit(store, name, like && !(unit && unit->cgroup) ? like->cgroup : NULL,
			       &unit);
	if (r >= 0)
		r = copy_unit(unit, like);
	if (r >= 0)
		r = write_unit(l, unit, place);
	if (r < 0)
		return r;
	*ret = unit;
	return 0;
}

int vault_unit(struct luod *l, const char *name, struct luo_unit **ret)
{
	return find_or_add_unit(l, l->state.stored, RECORD_STORED, name, NULL, ret);
}

int vault_unit_like(struct luod *l, const char *name, const struct luo_unit *like,
		    struct luo_unit **ret)
{
	return find_or_add_unit(l, l->state.stored, RECORD_STORED, name, like, ret);
}

int vault_unit_held(struct luod *l, const struct luo_unit *like, struct luo_unit **ret)
{
	return find_or_add_unit(l, l->state.held, RECORD_HELD, like->name, like, ret);
}

void vault_unit_release(struct luod *l, const char *name)
{
	struct luo_unit *unit = luo_store_find_unit(l->state.stored, name);
	struct json_writer w = { 0 };

	if (!unit || unit->n_entries > 0 || unit_is_registered(l, name))
		return;
	record_unit_gone(&w, name);
	journal_must_write(l, &w);
	state_unit_remove(unit);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void remove_entry(struct luo_entry *entry)
{
	int fd = luo_entry_take_fd(entry);

	if (fd >= 0)
		close_foreign(fd);
	else
		luo_entry_remove(entry);
}

/* Undoes what a new entry has changed so far, and closes its fd. */
static void undo_add(struct luod *l, struct luo_entry *entry)
{
	uint64_t file = entry->token;

	vault_unwatch(entry);
	remove_entry(entry);
	if (file > 0)
		release_file(l, file);
}

/*
 * Entries in the kernel count too: a claim or a commit restores them, whatever is stored by then,
 * and the names of all must fit into the environment of the next luod.
 */
static bool luod_is_full(const struct luod *l)
{
	struct luo_store *incoming = stores_incoming(l);
	size_t n = luo_store_n_entries(l->state.stored) + luo_store_n_entries(l->state.held);

	return n + (incoming ? luo_store_n_entries(incoming) : 0) > l->options.fdstore_max_total;
}

static int secure_entry(struct luod *l, struct luo_entry *entry, enum record_place place,
			uint64_t holding)
{
	struct json_writer w = { 0 };
	int r;

	r = push_file(l, entry);
	if (r < 0) {
		log_error("Cannot hand \"%s\" of %s to the keeper (%s): %s.", entry->name,
			  entry->unit->name, keeper_to_string(&l->keeper), strerror(-r));
		return r;
	}
	/* Before the log, so that the log is right even if luod is killed now. */
	r = keeper_settle(&l->keeper);
	if (r < 0)
		log_limited(LOG_WARNING, "The keeper (%s) does not answer: %s.",
			    keeper_to_string(&l->keeper), strerror(-r));
	entry->id = l->state.next_id++;
	record_add(&w, entry, place, holding);
	r = journal_write(l, &w);
	if (r < 0)
		entry->id = 0; /* not in the log: the next call tries again */
	return r;
}

static int add_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd, bool poll,
		  bool from_manager)
{
	_cleanup_close_ int owned = fd;
	struct luo_entry *entry;
	int r;

	r = luo_unit_add_fd(unit, name, owned, &entry);
	if (r == -EEXIST)
		return VAULT_EXISTED;
	fd = TAKE_FD(owned);
	if (r < 0) {
		close_foreign(fd);
		return r;
	}
	entry->poll = poll;
	entry->meta.stored_at = now_usec(CLOCK_REALTIME);
	entry->meta.known |= LUO_META_STORED_AT;
	if (unit->n_entries > (from_manager ? l->options.fdstore_max_total : unit_max(l, unit))) {
		undo_add(l, entry);
		return -EDQUOT;
	}
	if (luod_is_full(l)) {
		undo_add(l, entry);
		return -ENOSPC;
	}
	r = secure_entry(l, entry, RECORD_STORED, 0);
	if (r < 0) {
		undo_add(l, entry);
		return r;
	}
	l->state.stale = true;
	vault_watch(l, entry);
	monitor_emit(l, "stored", unit->name, name, NULL);
	return VAULT_ADDED;
}

int vault_add_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd, bool poll)
{
	return add_fd(l, unit, name, fd, poll, false);
}

int vault_add_manager_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd, bool poll)
{
	return add_fd(l, unit, name, fd, poll, true);
}

static void unit_remove_if_empty(struct luod *l, struct luo_unit *unit)
{
	if (unit->n_entries > 0 || unit->store == l->state.stored)
		return;
	state_unit_remove(unit);
}

int vault_remove(struct luod *l, struct luo_entry *entry)
{
	_cleanup_free_ char *unit_name = strdup(entry->unit->name), *name = strdup(entry->name);
	struct luo_unit *unit = entry->unit;
	struct json_writer w = { 0 };
	uint64_t file = entry->token;
	int r;

	if (!unit_name || !name)
		return -ENOMEM;
	record_delete(&w, entry->id);
	r = journal_write(l, &w);
	if (r < 0)
		return r;
	l->state.stale = true;
	vault_unwatch(entry);
	remove_entry(entry);
	unit_remove_if_empty(l, unit);
	release_file(l, file);
	monitor_emit(l, "removed", unit_name, name, NULL);
	return 0;
}

int vault_move(struct luod *l, struct luo_entry *entry, struct luo_unit *to)
{
	struct luo_unit *from = entry->unit;
	struct json_writer w = { 0 };
	int r;

	r = luo_entry_move(entry, to);
	if (r < 0)
		return r;
	record_move(&w, entry->id, to->name);
	journal_must_write(l, &w);
	l->state.stale = true;
	unit_remove_if_empty(l, from);
	vault_watch(l, entry);
	return 0;
}

/*
 * The restore has put right what the kernel dropped, and the file itself shows it now. So only what
 * no file can show is kept. @before gets the rest.
 */
static void clear_travel_data(struct luo_entry *entry, struct luo_entry *before)
{
	*before = *entry;
	entry->meta.extents = NULL;
	entry->meta.n_extents = 0;
	entry->meta.packed = false;
	entry->meta.known &= LUO_META_FILE_NAME | LUO_META_STORED_AT;
	entry->alias = false;
	entry->session = 0;
	entry->token = 0;
}

/*
 * The entry was not made safe, so it is in the kernel as before, and the session must not be
 * finished: the next claim tries again. It has its fd already.
 */
static void undo_adopt(struct luod *l, struct luo_entry *entry, const struct luo_entry *before)
{
	uint64_t file = entry->token;

	entry->meta = before->meta;
	entry->alias = before->alias;
	entry->session = before->session;
	entry->token = before->token;
	entry->id = before->id;
	/* There is room for it, because it comes from there. */
	(void)luo_entry_move(entry, before->unit);
	if (file > 0)
		release_file(l, file);
}

int vault_adopt(struct luod *l, struct luo_entry *entry, struct luo_unit *to,
		enum record_place place)
{
	struct luo_unit *from = entry->unit;
	struct luo_entry before;
	int r;

	clear_travel_data(entry, &before);
	r = luo_entry_move(entry, to);
	if (r >= 0) {
		if (!(entry->meta.known & LUO_META_STORED_AT)) {
			entry->meta.stored_at = now_usec(CLOCK_REALTIME);
			entry->meta.known |= LUO_META_STORED_AT;
		}
		r = secure_entry(l, entry, place, before.id);
	}
	if (r < 0) {
		undo_adopt(l, entry, &before);
		return r;
	}
	free(before.meta.extents);
	r = state_add_gone(&l->state, before.id, entry->id);
	if (r < 0)
		return r;
	l->state.stale = true;
	unit_remove_if_empty(l, from);
	if (place == RECORD_STORED)
		vault_watch(l, entry);
	return 0;
}

int vault_adopt_lost(struct luod *l, struct luo_entry *entry)
{
	struct luo_unit *from = entry->unit, *to;
	uint64_t holding = entry->id;
	struct json_writer w = { 0 };
	int r;

	r = luo_store_add_unit(l->state.lost, from->name, NULL, &to);
	if (r >= 0)
		r = luo_entry_move(entry, to);
	if (r < 0)
		return r;
	log_error("%s: \"%s\" is lost: the kernel could not restore it: %s.", to->name, entry->name,
		  strerror(-entry->failed));
	/* There is no file of this number; it only has to be unique. */
	entry->token = entry->id = l->state.next_id++;
	record_add(&w, entry, RECORD_LOST, holding);
	journal_must_write(l, &w);
	r = state_add_gone(&l->state, holding, entry->id);
	unit_remove_if_empty(l, from);
	return r;
}

int vault_secure_unit(struct luod *l, struct luo_unit *unit)
{
	struct luo_entry *entry;

	LUO_FOREACH_ENTRY (entry, unit) {
		int r;

		if (entry->id > 0)
			continue;
		r = secure_entry(l, entry, RECORD_STORED, 0);
		if (r < 0)
			return r;
		l->state.stale = true;
	}
	return 0;
}
