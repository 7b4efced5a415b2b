/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* ListUnits, ListEntries, ListHoldings. */

#include "common/json.h"
#include "tools/luod/api.h"

#include <sys/stat.h>

#include <luo/store.h>

#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/entry-object.h"
#include "tools/luod/luod.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"

/* With "more", a reply has at most so many entries. */
#define ENTRIES_PER_REPLY 500

/* ---- units ----------------------------------------------------------------------------------- */

struct sums {
	uint64_t stored, held, bytes;
};

static void add_sums(const struct luo_unit *unit, enum entry_state state, struct sums *sums)
{
	struct luo_entry *e;

	LUO_FOREACH_ENTRY (e, unit) {
		struct stat st;

		if (state == ENTRY_LOST || e->failed < 0)
			continue;
		if (state == ENTRY_STORED)
			sums->stored++;
		else
			sums->held++;
		if (e->fd < 0)
			sums->bytes += e->alias ? 0 : e->meta.size;
		else if (fstat(e->fd, &st) >= 0 && S_ISREG(st.st_mode))
			sums->bytes += (uint64_t)st.st_size;
	}
}

static void add_pids(struct json_object *o, const struct luod *l, const char *unit)
{
	struct json_object *pids = json_object_new_array();

	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (streq(l->state.registrations[i].unit, unit))
			json_append(pids, json_object_new_int64(l->state.registrations[i].pid));
	json_add(o, "pids", pids);
}

static struct json_object *unit_to_object(const struct luod *l, const char *name)
{
	struct json_object *o = json_object_new_object();
	const struct luo_unit *stored = NULL;
	struct sums sums = { 0 };
	const char *cgroup = NULL;
	enum entry_state state;
	struct luo_store *store;
	unsigned max = l->options.fdstore_max;

	for (size_t i = 0; stores_at(l, i, &store, &state); i++) {
		const struct luo_unit *unit = luo_store_find_unit(store, name);

		if (!unit)
			continue;
		if (state == ENTRY_STORED)
			stored = unit;
		if (!cgroup)
			cgroup = unit->cgroup;
		add_sums(unit, state, &sums);
	}
	if (stored)
		max = unit_max(l, stored);
	json_add_utf8(o, "name", name);
	if (cgroup)
		json_add_utf8(o, "cgroup", cgroup);
	json_add_number(o, "fdstoreMax", max);
	json_add_number(o, "stored", sums.stored);
	json_add_number(o, "held", sums.held);
	json_add_number(o, "bytes", sums.bytes);
	json_add_bool(o, "ready", stored && state_unit_peek(stored)->ready);
	json_add_bool(o, "stopping", stored && state_unit_peek(stored)->stopping);
	if (stored && state_unit_peek(stored)->status)
		json_add_utf8(o, "status", state_unit_peek(stored)->status);
	add_pids(o, l, name);
	return o;
}

/* A unit that is in several stores is listed once, at the first of them. */
static bool is_before(const struct luod *l, size_t i, const char *name)
{
	enum entry_state state;
	struct luo_store *store;

	for (size_t k = 0; k < i && stores_at(l, k, &store, &state); k++)
		if (luo_store_find_unit(store, name))
			return true;
	return false;
}

int api_list_units(struct call *call)
{
	const char *asked = NULL;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL },
	};
	_cleanup_free_ char *unit_name = NULL;
	struct json_object *o, *units;
	struct luod *l = call->luod;
	enum entry_state state;
	struct luo_store *store;
	struct luo_unit *unit;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_or_all(call, asked, &unit_name);
	if (r != 0)
		return r < 0 ? r : 0;
	o = json_object_new_object();
	if (unit_name && !unit_is_known(l, unit_name)) {
		json_add_utf8(o, "unit", unit_name);
		return call_error(call, "io.luo.NoSuchUnit", o);
	}
	units = json_object_new_array();
	for (size_t i = 0; stores_at(l, i, &store, &state); i++)
		LUO_FOREACH_UNIT (unit, store)
			if ((!unit_name || streq(unit_name, unit->name)) &&
			    !is_before(l, i, unit->name))
				json_append(units, unit_to_object(l, unit->name));
	json_add(o, "units", units);
	return call_reply(call, o);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int reply_entries(struct call *call, struct json_object *entries, bool continues)
{
	struct json_object *o = json_object_new_object();

	json_add(o, "entries", entries);
	return call_reply_fds(call, o, NULL, 0, continues);
}

static bool state_is(const char *wanted, enum entry_state state, const struct luo_entry *e)
{
	if (e->failed < 0)
		state = ENTRY_LOST;
	return !wanted || (streq(wanted, "stored") && state == ENTRY_STORED) ||
	       (streq(wanted, "held") && state == ENTRY_HELD) ||
	       (streq(wanted, "lost") && state == ENTRY_LOST);
}

static int list_entries(struct call *call, const char *unit_name, const char *wanted)
{
	struct json_object *entries = json_object_new_array();
	struct luo_store *store;
	enum entry_state state;
	struct luo_entry *e;
	struct luo_unit *u;

	for (size_t i = 0; stores_at(call->luod, i, &store, &state); i++)
		LUO_FOREACH_UNIT (u, store) {
			if (unit_name && !streq(unit_name, u->name))
				continue;
			LUO_FOREACH_ENTRY (e, u) {
				if (!state_is(wanted, state, e))
					continue;
				if (call->more &&
				    json_object_array_length(entries) >= ENTRIES_PER_REPLY) {
					int r = reply_entries(call, entries, true);

					if (r < 0)
						return r;
					entries = json_object_new_array();
				}
				json_append(entries, entry_to_object(e, state));
			}
		}
	return reply_entries(call, entries, false);
}

static int reply_list(struct call *call, const char *asked, const char *wanted)
{
	_cleanup_free_ char *unit = NULL;
	int r;

	r = call_unit_or_all(call, asked, &unit);
	if (r != 0)
		return r < 0 ? r : 0;
	if (unit && !unit_is_known(call->luod, unit)) {
		struct json_object *o = json_object_new_object();

		json_add_utf8(o, "unit", unit);
		return call_error(call, "io.luo.NoSuchUnit", o);
	}
	return list_entries(call, unit, wanted);
}

int api_list_entries(struct call *call)
{
	const char *unit = NULL, *state = NULL;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &unit, NULL },
		{ "state", PARAMETER_STRING, false, &state, NULL },
	};
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r != 0)
		return r < 0 ? r : 0;
	if (state && !streq(state, "stored") && !streq(state, "held") && !streq(state, "lost"))
		return call_invalid(call, "state");
	return reply_list(call, unit, state);
}

int api_list_holdings(struct call *call)
{
	const char *unit = NULL;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &unit, NULL },
	};
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	return r != 0 ? (r < 0 ? r : 0) : reply_list(call, unit, "held");
}
