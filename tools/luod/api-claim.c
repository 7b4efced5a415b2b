/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Claim and OpenEntry: fds go out to their unit. */

#include "common/json.h"
#include "tools/luod/api.h"

#include <fcntl.h>
#include <stdio.h>

#include <luo/inspect.h>
#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/connection.h"
#include "tools/luod/entry-object.h"
#include "tools/luod/holdings-look.h"
#include "tools/luod/holdings-take.h"
#include "tools/luod/holdings.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/monitor.h"
#include "tools/luod/publish.h"
#include "tools/luod/stores.h"
#include "tools/luod/stream.h"
#include "tools/luod/vault.h"

static int reply_no_such_unit(struct call *call, const char *unit)
{
	struct json_object *o = json_object_new_object();

	json_add_utf8(o, "unit", unit);
	return call_error(call, "io.luo.NoSuchUnit", o);
}

static int reply_no_such_entry(struct call *call, const char *unit, const char *name)
{
	struct json_object *o = json_object_new_object();

	json_add_utf8(o, "unit", unit);
	json_add_utf8(o, "name", name);
	return call_error(call, "io.luo.NoSuchEntry", o);
}

static int reply_no_room(struct call *call, const char *unit)
{
	struct json_object *o = json_object_new_object();
	struct luo_store *store = stores_incoming(call->luod);
	struct luo_unit *u = store ? luo_store_find_unit(store, unit) : NULL;
	/* The room of the claimer, if the claim was made in its cgroup. */
	struct luo_memory_room room = call->luod->room;
	struct luo_entry *e;
	const char *limit = "memory.max";
	bool has_sizes = true;
	uint64_t needed = 0;
	char text[1024];

	if (u)
		LUO_FOREACH_ENTRY (e, u) {
			needed += e->alias ? 0 : e->meta.size;
			has_sizes = has_sizes && (e->type != LUO_ENTRY_FD || e->meta.packed ||
						  (e->meta.known & LUO_META_SIZE));
		}
	room.struct_size = sizeof(room);
	if (room.bytes == 0 && !room.limited_by[0])
		(void)luo_memory_room(&room);
	if (room.high_bytes < room.bytes) {
		room.bytes = room.high_bytes;
		snprintf(room.limited_by, sizeof(room.limited_by), "%s", room.slowed_by);
		limit = "memory.high";
	}
	snprintf(
		text, sizeof(text),
		"There is no room to restore the holding of %s%s%s%s%.200s; nothing was touched. %s and try again.",
		unit, room.limited_by[0] ? " under " : "", room.limited_by[0] ? limit : "",
		room.limited_by[0] ? " of cgroup " : "", room.limited_by,
		has_sizes
			? "Raise the limit"
			: "Its size is not known, because systemd preserved it: remove the limit");
	json_add_utf8(o, "text", text);
	json_add_number(o, "needed", needed);
	json_add_number(o, "room", room.bytes == UINT64_MAX ? 0 : room.bytes);
	return call_error(call, "io.luo.NoRoom", o);
}

/* ---- Claim ----------------------------------------------------------------------------------- */

static uint64_t count_in(const struct luo_store *store, const char *unit_name, const char *name)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, unit_name) : NULL;
	struct luo_entry *e;
	uint64_t n = 0;

	if (unit)
		LUO_FOREACH_ENTRY (e, unit)
			n += !name || streq(e->name, name);
	return n;
}

/* The unit of the store, with the cgroup and the limit that the previous kernel knew. */
static int unit_for_claim(struct luod *l, const char *from, const char *to, struct luo_unit **ret)
{
	struct luo_store *incoming = stores_incoming(l);
	struct luo_unit *like = incoming ? luo_store_find_unit(incoming, from) : NULL;

	if (!like)
		like = luo_store_find_unit(l->state.held, from);
	return vault_unit_like(l, to, streq(from, to) ? like : NULL, ret);
}

/* Moves the holding into the store. 0: the reply can go out; 1: answered with an error. */
static int take_holding(struct call *call, const char *from, const char *name, const char *to)
{
	struct luod *l = call->luod;
	struct luo_unit *unit;
	int r;

	r = unit_for_claim(l, from, to, &unit);
	if (r < 0)
		return r;
	r = holdings_claim(l, from, name, unit, &call->connection->peer);
	if (r < 0)
		vault_unit_release(l, to);
	if (r == -EDQUOT)
		r = reply_no_room(call, from);
	else if (r < 0)
		r = call_failed(
			call, r,
			"Cannot restore the holding of %s: %s. Nothing was lost; claim again.",
			from, strerror(-r));
	else
		return 0;
	return r < 0 ? r : 1;
}

/* With the answer "nothing" the service would start without its state. */
static int reply_not_retrieved(struct call *call, const char *unit)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "It is not known yet what the previous kernel left for %s: %s. Try again.", unit,
		 strerror(-call->luod->look_error));
	return call_error_text(call, "io.luo.Busy", text);
}

static int reply_needs_more(struct call *call, uint64_t entries)
{
	struct json_object *o = json_object_new_object();

	json_add_number(o, "entries", entries);
	return call_error(call, "io.luo.NeedsMore", o);
}

static int claim_holding(struct call *call, const char *from, const char *name, const char *to,
			 bool keep)
{
	struct luod *l = call->luod;
	uint64_t held =
		count_in(stores_incoming(l), from, name) + count_in(l->state.held, from, name);
	uint64_t stored = count_in(l->state.stored, to, name);
	int r;

	if (!call->more && held + stored > REPLY_FDS_MAX)
		return reply_needs_more(call, held + stored);
	if (held > 0) {
		r = take_holding(call, from, name, to);
		if (r != 0)
			return r < 0 ? r : 0;
		log_info("%s: claimed %llu %s from the previous kernel.", to,
			 (unsigned long long)held, plural(held, "fd", "fds"));
		monitor_emit(l, "claimed", to, name, NULL);
	}
	return call->oneway ? 0 : stream_start(call, to, name, keep);
}

/* ---- giving to another unit of PID 1's ------------------------------------------------------- */

static bool holding_is_managed(const struct luod *l, const char *name)
{
	return unit_is_managed_in(stores_incoming(l), name) ||
	       unit_is_managed_in(l->state.held, name);
}

static int give_from_kernel(struct luod *l, const char *from, const char *name, const char *to,
			    struct json_object *entries)
{
	struct luo_store *store = stores_incoming(l);
	struct luo_unit *unit = store ? luo_store_find_unit(store, from) : NULL;
	size_t left = unit ? unit->n_entries : 0;

	for (size_t i = 0; left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];
		int r;

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = holdings_move(l, entry, to);
		if (r < 0)
			return r;
		json_append(entries, entry_to_object(entry, ENTRY_HELD));
	}
	return 0;
}

static int give_held(struct luod *l, const char *from, const char *name, const char *to,
		     struct json_object *entries)
{
	struct luo_unit *unit = luo_store_find_unit(l->state.held, from), *target;
	size_t left = unit ? unit->n_entries : 0;
	int r;

	if (left == 0)
		return 0;
	r = vault_unit_like(l, to, unit, &target);
	/* The unit may have further keys already. */
	if (r >= 0)
		r = unit_set_managed(target);
	if (r > 0)
		r = vault_unit_changed(l, target);
	for (size_t i = 0; r >= 0 && left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = vault_move(l, entry, target);
		if (r >= 0)
			json_append(entries, entry_to_object(entry, ENTRY_STORED));
	}
	return r;
}

/* The memory stays in the kernel until the unit starts; then its cgroup is charged. */
static int give_holding(struct call *call, const char *from, const char *name, const char *to)
{
	struct json_object *o = json_object_new_object(), *entries = json_object_new_array();
	struct luod *l = call->luod;
	int r;

	r = give_from_kernel(l, from, name, to, entries);
	if (r >= 0)
		r = give_held(l, from, name, to, entries);
	publish_now(l);
	json_add(o, "entries", entries);
	if (r < 0) {
		json_object_put(o);
		return call_failed(
			call, r,
			"Cannot give the holding of %s to %s: %s. Nothing was lost; try again.",
			from, to, strerror(-r));
	}
	log_info("%s: its holding belongs to %s now.", from, to);
	monitor_emit(l, "claimed", to, name, NULL);
	return call_reply(call, o);
}

int api_claim(struct call *call)
{
	_cleanup_free_ char *from = NULL, *to = NULL;
	const char *asked = NULL, *name = NULL, *asked_to = NULL;
	bool keep = true;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL, true },
		{ "name", PARAMETER_STRING, false, &name, NULL, true },
		{ "to", PARAMETER_STRING, false, &asked_to, NULL, true },
		{ "keep", PARAMETER_BOOL, false, &keep, NULL, true },
	};
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &from);
	if (r == 0)
		r = call_unit_to_change(call, asked_to ? asked_to : from, &to);
	if (r != 0)
		return r < 0 ? r : 0;
	if (holdings_look(call->luod, 0) < 0 && count_in(call->luod->state.stored, to, name) == 0)
		return reply_not_retrieved(call, from);
	if (!unit_is_known(call->luod, from))
		return reply_no_such_unit(call, from);
	if (name && count_in(call->luod->state.stored, to, name) == 0 &&
	    count_in(call->luod->state.held, from, name) == 0 &&
	    count_in(stores_incoming(call->luod), from, name) == 0)
		return reply_no_such_entry(call, from, name);
	if (!streq(from, to) && holding_is_managed(call->luod, from))
		return give_holding(call, from, name, to);
	return claim_holding(call, from, name, to, keep);
}

/* ---- OpenEntry ------------------------------------------------------------------------------- */

/* The nth entry of that name: stored entries first, then held ones. */
static struct luo_entry *find_nth(struct luod *l, const char *unit_name, const char *name,
				  uint64_t nth, enum entry_state *ret_state)
{
	struct luo_store *store;

	for (size_t i = 0; stores_at(l, i, &store, ret_state); i++) {
		struct luo_unit *unit = luo_store_find_unit(store, unit_name);
		struct luo_entry *e;

		if (unit)
			LUO_FOREACH_ENTRY (e, unit)
				if (streq(e->name, name) && nth-- == 0)
					return e;
	}
	return NULL;
}

static int reply_open_failed(struct call *call, const struct luo_entry *e, int error)
{
	struct json_object *o;

	if (error == -EDQUOT)
		return reply_no_room(call, e->unit->name);
	if (e->failed == 0)
		return call_failed(call, error, "Cannot open \"%s\" of %s: %s. Try again.", e->name,
				   e->unit->name, strerror(-error));
	o = json_object_new_object();
	json_add_utf8(o, "unit", e->unit->name);
	json_add_utf8(o, "name", e->name);
	json_add_number(o, "errno", (uint64_t)-e->failed);
	return call_error(call, "io.luo.Lost", o);
}

int api_open_entry(struct call *call)
{
	_cleanup_free_ char *unit = NULL;
	const char *asked = NULL, *name = NULL;
	uint64_t nth = 0;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL, true },
		{ "name", PARAMETER_STRING, true, &name, NULL, true },
		{ "nth", PARAMETER_NUMBER, false, &nth, NULL, true },
	};
	struct json_object *o, *entry;
	enum entry_state state;
	struct luo_entry *e;
	int fd = -EBADF, r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &unit);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!unit_is_known(call->luod, unit))
		return reply_no_such_unit(call, unit);
	e = find_nth(call->luod, unit, name, nth, &state);
	if (!e)
		return reply_no_such_entry(call, unit, name);
	if (e->failed < 0)
		return reply_open_failed(call, e, e->failed);
	/* An entry in the kernel stays a holding, and can be opened again. */
	if (e->fd < 0)
		r = holdings_open(call->luod, e, &call->connection->peer, &fd);
	else {
		fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 3);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return reply_open_failed(call, e, r);
	entry = entry_to_object(e, state);
	json_add_number(entry, "fileDescriptor", 0);
	o = json_object_new_object();
	json_add(o, "entry", entry);
	return call_reply_fds(call, o, &fd, 1, false);
}
