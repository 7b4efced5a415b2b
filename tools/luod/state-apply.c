/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/state-apply.h"

#include <json-c/json.h>
#include <search.h>

#include <luo/handover.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/util.h"
#include "libluo/mapping/internal.h"
#include "tools/luod/state-log.h"
#include "tools/luod/state.h"

#define ENTRIES_MAX       65536
#define REGISTRATIONS_MAX 65536
#define STATUS_MAX        1024
#define PATH_SIZE_MAX     4096
/* The names of three sessions: luod's own, the one beside it, and PID 1's. */
#define INCOMING_NAMES_MAX (3 * (LUO_SESSION_NAME_MAX + 1))

/* ---- entries by number ----------------------------------------------------------------------- */

static int id_compare(const void *a, const void *b)
{
	const struct luo_entry *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static struct luo_entry *find_id(struct state *state, uint64_t id)
{
	struct luo_entry key = { .id = id };
	void *node = tfind(&key, &state->by_id, id_compare);

	return node ? *(struct luo_entry **)node : NULL;
}

/* ---- records --------------------------------------------------------------------------------- */

/* An invalid record is like a damaged line: skipped, never fatal. */
static int skip_record(struct state *state)
{
	state->ignored++;
	return 0;
}

static uint64_t get_number(struct json_object *o, const char *key)
{
	uint64_t n;

	return member_number(o, key, INT64_MAX, &n) > 0 ? n : 0;
}

static bool get_bool(struct json_object *o, const char *key)
{
	bool b;

	return member_bool(o, key, &b) > 0 && b;
}

static const char *get_string(struct json_object *o, const char *key, size_t max)
{
	const char *s;

	return member_string(o, key, max, &s) > 0 ? s : NULL;
}

static const char *get_unit(struct json_object *o)
{
	const char *unit = get_string(o, "u", LUO_UNIT_NAME_MAX);

	return unit && luo_unit_name_is_valid(unit) ? unit : NULL;
}

static int apply_header(struct state *state, struct json_object *o)
{
	/* A newer format: no other record of this log is applied either. */
	if (get_number(o, "version") != STATE_LOG_VERSION)
		return skip_record(state);
	state->generation = MAX2(get_number(o, "generation"), UINT64_C(1));
	state->next_id = MAX2(state->next_id, get_number(o, "next"));
	state->restarts = get_number(o, "restarts");
	state->started_at = get_number(o, "startedAt");
	return 0;
}

static struct luo_store *get_store(struct state *state, struct json_object *o)
{
	const char *place = get_string(o, "in", 16);

	if (!place || streq(place, "stored"))
		return state->stored;
	if (streq(place, "held"))
		return state->held;
	return streq(place, "lost") ? state->lost : NULL;
}

static int apply_unit(struct state *state, struct json_object *o)
{
	const char *name = get_unit(o), *cgroup = get_string(o, "cgroup", PATH_SIZE_MAX);
	const char *status = get_string(o, "status", STATUS_MAX);
	struct luo_store *store = get_store(state, o);
	struct json_object *extra;
	struct state_unit *data;
	struct luo_unit *unit;
	int r;

	if (!name || !store || (cgroup && !luo_cgroup_is_valid(cgroup)))
		return skip_record(state);
	r = luo_store_add_unit(store, name, cgroup, &unit);
	if (r < 0)
		return r == -ENOMEM ? r : skip_record(state);
	if (json_object_object_get_ex(o, "extra", &extra) &&
	    json_object_is_type(extra, json_type_object)) {
		free(unit->extra);
		unit->extra = strdup(json_object_to_json_string_ext(
			extra, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	}
	unit->fdstore_max = (unsigned)MIN2(get_number(o, "max"), (uint64_t)UINT32_MAX);
	data = state_unit_data(unit);
	if (!data)
		return -ENOMEM;
	data->ready = get_bool(o, "ready");
	data->stopping = get_bool(o, "stopping");
	free(data->status);
	data->status = status ? strdup(status) : NULL;
	return status && !data->status ? -ENOMEM : 0;
}

static int apply_unit_gone(struct state *state, struct json_object *o)
{
	const char *name = get_unit(o);
	struct luo_unit *unit = name ? luo_store_find_unit(state->stored, name) : NULL;

	if (!unit || unit->n_entries > 0)
		return skip_record(state);
	state_unit_remove(unit);
	return 0;
}

/* Makes the entry that "e" describes. 0; 1 if it is invalid; -ENOMEM. */
static int make_entry(struct luo_store *store, const char *unit_name, struct json_object *e,
		      uint64_t file, struct luo_entry **ret)
{
	struct parsed_entry parsed = { 0 };
	const char *what = NULL;
	struct luo_entry *entry;
	struct luo_unit *unit;
	int r;

	r = entry_from_json(e, LUO_MAPPING_V262, &parsed, &what);
	if (r >= 0)
		r = luo_store_add_unit(store, unit_name, NULL, &unit);
	if (r >= 0)
		r = luo_unit_add_lazy(unit, parsed.name, parsed.type, 0, file, &entry);
	if (r < 0) {
		parsed_entry_clear(&parsed);
		return r == -ENOMEM ? r : 1;
	}
	entry->poll = parsed.poll;
	entry->meta = parsed.meta;
	parsed.meta = (struct luo_entry_meta){ 0 };
	entry->session_name = TAKE_PTR(parsed.session_name);
	entry->extra = TAKE_PTR(parsed.extra);
	parsed_entry_clear(&parsed);
	*ret = entry;
	return 0;
}

static int apply_add(struct state *state, struct json_object *o)
{
	uint64_t id = get_number(o, "id"), file = get_number(o, "f"), holding = get_number(o, "h");
	struct luo_store *store = get_store(state, o);
	const char *unit = get_unit(o);
	struct luo_entry *entry;
	struct json_object *e;
	int r;

	if (id == 0 || file == 0 || !unit || !store || find_id(state, id) ||
	    !json_object_object_get_ex(o, "e", &e) || luo_store_n_entries(store) >= ENTRIES_MAX)
		return skip_record(state);
	r = make_entry(store, unit, e, file, &entry);
	if (r != 0)
		return r < 0 ? r : skip_record(state);
	entry->id = id;
	if (store == state->lost)
		entry->failed =
			-(int)MIN2(MAX2(get_number(o, "errno"), UINT64_C(1)), UINT64_C(4095));
	if (!tsearch(entry, &state->by_id, id_compare)) {
		luo_entry_remove(entry);
		return -ENOMEM;
	}
	state->next_id = MAX2(state->next_id, MAX2(id, file) + 1);
	state->stale = true;
	return holding > 0 ? state_add_gone(state, holding, id) : 0;
}

static int apply_move(struct state *state, struct json_object *o)
{
	struct luo_entry *entry = find_id(state, get_number(o, "id"));
	const char *name = get_unit(o);
	struct luo_unit *unit, *from;
	int r;

	if (!entry || !name)
		return skip_record(state);
	from = entry->unit;
	r = luo_store_add_unit(state->stored, name, NULL, &unit);
	if (r >= 0)
		r = luo_entry_move(entry, unit);
	if (r < 0)
		return r == -ENOMEM ? r : skip_record(state);
	if (from->n_entries == 0 && from->store != state->stored)
		state_unit_remove(from);
	state->stale = true;
	return 0;
}

static int apply_delete(struct state *state, struct json_object *o)
{
	struct luo_entry *entry = find_id(state, get_number(o, "id"));
	struct luo_unit *unit;

	if (!entry)
		return skip_record(state);
	unit = entry->unit;
	tdelete(entry, &state->by_id, id_compare);
	luo_entry_remove(entry);
	if (unit->n_entries == 0 && unit->store != state->stored)
		state_unit_remove(unit);
	state->stale = true;
	return 0;
}

static int apply_gone(struct state *state, struct json_object *o)
{
	uint64_t holding = get_number(o, "h");

	if (holding == 0 || state->n_gone >= ENTRIES_MAX)
		return skip_record(state);
	state->stale = true;
	return state_add_gone(state, holding, get_number(o, "id"));
}

static int apply_moved(struct state *state, struct json_object *o)
{
	uint64_t holding = get_number(o, "h");
	const char *unit = get_unit(o);

	if (holding == 0 || !unit || state->n_moved >= ENTRIES_MAX)
		return skip_record(state);
	state->stale = true;
	return state_add_moved(state, holding, unit);
}

static struct luo_timestamp get_timestamp(struct json_object *o, const char *key)
{
	struct luo_timestamp t = { 0 };
	struct json_object *v;

	if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_object)) {
		t.realtime = get_number(v, "realtime");
		t.monotonic = get_number(v, "monotonic");
	}
	return t;
}

static int apply_looked(struct state *state, struct json_object *o)
{
	state->looked = true;
	return 0;
}

static int apply_incoming(struct state *state, struct json_object *o)
{
	const char *name = get_string(o, "name", INCOMING_NAMES_MAX);
	char *copy;
	uint64_t n;

	if (!name)
		return skip_record(state);

	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(state->incoming_name);
	state->incoming_name = copy;
	state->incoming_finished = false;
	state->n_gone = state->n_moved = 0;
	state->previous.have_kexec_count = member_number(o, "kexecCount", INT64_MAX, &n) > 0;
	state->previous.kexec_count = state->previous.have_kexec_count ? n : 0;
	state->previous.shutdown_start = get_timestamp(o, "start");
	state->previous.shutdown_finish = get_timestamp(o, "finish");
	state->previous.shutdown_late_start = get_timestamp(o, "lateStart");
	state->previous.shutdown_late_finish = get_timestamp(o, "lateFinish");
	return 0;
}

static int apply_finished(struct state *state, struct json_object *o)
{
	state->incoming_finished = true;
	state->n_gone = state->n_moved = 0;
	return 0;
}

static int apply_registered(struct state *state, struct json_object *o)
{
	uint64_t pid = get_number(o, "pid");
	const char *unit = get_unit(o);

	if (!unit || pid == 0 || pid > INT32_MAX || state->n_registrations >= REGISTRATIONS_MAX)
		return skip_record(state);
	return state_add_registration(state, unit, (pid_t)pid, get_number(o, "start"));
}

static int apply_unregistered(struct state *state, struct json_object *o)
{
	uint64_t pid = get_number(o, "pid");

	if (pid == 0 || pid > INT32_MAX)
		return skip_record(state);
	state_remove_registration(state, (pid_t)pid, get_number(o, "start"));
	return 0;
}

static int apply_commit(struct state *state, struct json_object *o)
{
	const char *name = get_string(o, "name", LUO_SESSION_NAME_MAX);
	char *copy = name ? strdup(name) : NULL;

	if (!name)
		return skip_record(state);
	if (!copy)
		return -ENOMEM;
	free(state->commit_name);
	state->commit_name = copy;
	state->commit_number = get_number(o, "o");
	state->commit_sessions = get_number(o, "n");
	state->stale = get_bool(o, "stale");
	state->next_id = MAX2(state->next_id, state->commit_number + 1);
	return 0;
}

static int apply_abort(struct state *state, struct json_object *o)
{
	free(TAKE_PTR(state->commit_name));
	return 0;
}

static const struct {
	const char *name;
	int (*apply)(struct state *state, struct json_object *record);
} appliers[] = {
	{ "luod", apply_header },    { "unit", apply_unit },         { "unit-", apply_unit_gone },
	{ "add", apply_add },        { "move", apply_move },         { "del", apply_delete },
	{ "gone", apply_gone },      { "in", apply_incoming },       { "fin", apply_finished },
	{ "reg", apply_registered }, { "reg-", apply_unregistered }, { "commit", apply_commit },
	{ "abort", apply_abort },    { "looked", apply_looked },     { "give", apply_moved },
};

int state_apply(struct state *state, struct json_object *record)
{
	const char *name = get_string(record, "r", 16);

	for (size_t i = 0; name && i < ELEMENTSOF(appliers); i++)
		if (streq(appliers[i].name, name))
			return appliers[i].apply(state, record);
	return skip_record(state);
}

int state_apply_record(struct json_object *record, void *state)
{
	return state_apply(state, record);
}
