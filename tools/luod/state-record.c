/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Every record is one JSON object; "r" names its kind. */

#include "tools/luod/state-record.h"

#include <luo/store.h>

#include "common/json-writer.h"
#include "common/util.h"
#include "libluo/mapping/internal.h"
#include "tools/luod/state-log.h"
#include "tools/luod/state.h"

static void open_record(struct json_writer *w, const char *name)
{
	jw_open(w, '{');
	jw_key(w, "r");
	jw_string(w, name);
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
	jw_key(w, key);
	jw_number(w, value);
}

static void write_string(struct json_writer *w, const char *key, const char *value)
{
	jw_key(w, key);
	jw_string(w, value);
}

static void write_flag(struct json_writer *w, const char *key, bool value)
{
	if (!value)
		return;
	jw_key(w, key);
	jw_bool(w, true);
}

static void write_place(struct json_writer *w, enum record_place place)
{
	if (place != RECORD_STORED)
		write_string(w, "in", place == RECORD_HELD ? "held" : "lost");
}

static void record_header(struct json_writer *w, const struct state *state, const char *session)
{
	open_record(w, "luod");
	write_number(w, "version", STATE_LOG_VERSION);
	write_number(w, "generation", state->generation);
	write_number(w, "next", state->next_id);
	write_number(w, "restarts", state->restarts);
	write_number(w, "startedAt", state->started_at);
	write_string(w, "session", session);
	jw_close(w, '}');
}

void record_unit(struct json_writer *w, const struct luo_unit *unit, enum record_place place)
{
	const struct state_unit *data = state_unit_peek(unit);

	open_record(w, "unit");
	write_string(w, "u", unit->name);
	write_place(w, place);
	if (unit->cgroup)
		write_string(w, "cgroup", unit->cgroup);
	if (unit->fdstore_max > 0)
		write_number(w, "max", unit->fdstore_max);
	write_flag(w, "ready", data->ready);
	write_flag(w, "stopping", data->stopping);
	if (data->status && data->status[0])
		write_string(w, "status", data->status);
	if (unit->extra) {
		jw_key(w, "extra");
		jw_raw(w, unit->extra);
	}
	jw_close(w, '}');
}

void record_unit_gone(struct json_writer *w, const char *unit)
{
	open_record(w, "unit-");
	write_string(w, "u", unit);
	jw_close(w, '}');
}

void record_add(struct json_writer *w, const struct luo_entry *entry, enum record_place place,
		uint64_t holding)
{
	open_record(w, "add");
	write_number(w, "id", entry->id);
	write_number(w, "f", entry->token);
	write_string(w, "u", entry->unit->name);
	write_place(w, place);
	if (place == RECORD_LOST)
		write_number(w, "errno", (uint64_t)-entry->failed);
	if (holding > 0)
		write_number(w, "h", holding);
	jw_key(w, "e");
	entry_to_json(w, entry, NULL, POSITION_NATURAL);
	jw_close(w, '}');
}

void record_move(struct json_writer *w, uint64_t id, const char *unit)
{
	open_record(w, "move");
	write_number(w, "id", id);
	write_string(w, "u", unit);
	jw_close(w, '}');
}

void record_delete(struct json_writer *w, uint64_t id)
{
	open_record(w, "del");
	write_number(w, "id", id);
	jw_close(w, '}');
}

void record_gone(struct json_writer *w, const struct state_gone *gone)
{
	open_record(w, "gone");
	write_number(w, "h", gone->holding);
	if (gone->id > 0)
		write_number(w, "id", gone->id);
	jw_close(w, '}');
}

void record_moved(struct json_writer *w, uint64_t holding, const char *unit)
{
	open_record(w, "give");
	write_number(w, "h", holding);
	write_string(w, "u", unit);
	jw_close(w, '}');
}

static void write_timestamp(struct json_writer *w, const char *key, const struct luo_timestamp *t)
{
	if (t->realtime == 0 && t->monotonic == 0)
		return;
	jw_key(w, key);
	jw_open(w, '{');
	write_number(w, "realtime", t->realtime);
	write_number(w, "monotonic", t->monotonic);
	jw_close(w, '}');
}

void record_looked(struct json_writer *w)
{
	open_record(w, "looked");
	jw_close(w, '}');
}

void record_incoming(struct json_writer *w, const struct state *state)
{
	open_record(w, "in");
	write_string(w, "name", state->incoming_name);
	if (state->previous.have_kexec_count)
		write_number(w, "kexecCount", state->previous.kexec_count);
	write_timestamp(w, "start", &state->previous.shutdown_start);
	write_timestamp(w, "finish", &state->previous.shutdown_finish);
	write_timestamp(w, "lateStart", &state->previous.shutdown_late_start);
	write_timestamp(w, "lateFinish", &state->previous.shutdown_late_finish);
	jw_close(w, '}');
}

void record_finished(struct json_writer *w)
{
	open_record(w, "fin");
	jw_close(w, '}');
}

void record_registered(struct json_writer *w, const struct state_registration *registration)
{
	open_record(w, "reg");
	write_string(w, "u", registration->unit);
	write_number(w, "pid", (uint64_t)registration->pid);
	write_number(w, "start", registration->start);
	jw_close(w, '}');
}

void record_unregistered(struct json_writer *w, pid_t pid, uint64_t start)
{
	open_record(w, "reg-");
	write_number(w, "pid", (uint64_t)pid);
	write_number(w, "start", start);
	jw_close(w, '}');
}

void record_commit(struct json_writer *w, const struct state *state)
{
	open_record(w, "commit");
	write_string(w, "name", state->commit_name);
	write_number(w, "o", state->commit_number);
	write_number(w, "n", state->commit_sessions);
	write_flag(w, "stale", state->stale);
	jw_close(w, '}');
}

void record_abort(struct json_writer *w)
{
	open_record(w, "abort");
	jw_close(w, '}');
}

int state_write(struct state_log *log, struct json_writer *w)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = jw_take(w, &text, &size);
	return r < 0 ? r : state_log_append(log, text, size);
}

static int write_store(const struct luo_store *store, enum record_place place,
		       struct state_log *log)
{
	struct json_writer w = { 0 };
	struct luo_entry *entry;
	struct luo_unit *unit;
	int r;

	LUO_FOREACH_UNIT (unit, store) {
		record_unit(&w, unit, place);
		r = state_write(log, &w);
		if (r < 0)
			return r;
		LUO_FOREACH_ENTRY (entry, unit) {
			record_add(&w, entry, place, 0);
			r = state_write(log, &w);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int write_facts(const struct state *state, struct state_log *log)
{
	struct json_writer w = { 0 };
	int r = 0;

	if (state->looked) {
		record_looked(&w);
		r = state_write(log, &w);
	}
	if (r >= 0 && state->incoming_name) {
		record_incoming(&w, state);
		r = state_write(log, &w);
	}
	if (r >= 0 && state->incoming_finished) {
		record_finished(&w);
		r = state_write(log, &w);
	}
	for (size_t i = 0; r >= 0 && i < state->n_gone; i++) {
		record_gone(&w, &state->gone[i]);
		r = state_write(log, &w);
	}
	for (size_t i = 0; r >= 0 && i < state->n_moved; i++) {
		record_moved(&w, state->moved[i].holding, state->moved[i].unit);
		r = state_write(log, &w);
	}
	for (size_t i = 0; r >= 0 && i < state->n_registrations; i++) {
		record_registered(&w, &state->registrations[i]);
		r = state_write(log, &w);
	}
	return r;
}

int state_snapshot(const struct state *state, const char *session, struct state_log *log)
{
	struct json_writer w = { 0 };
	int r;

	record_header(&w, state, session);
	r = state_write(log, &w);
	if (r >= 0)
		r = write_facts(state, log);
	if (r >= 0)
		r = write_store(state->stored, RECORD_STORED, log);
	if (r >= 0)
		r = write_store(state->held, RECORD_HELD, log);
	if (r >= 0)
		r = write_store(state->lost, RECORD_LOST, log);
	/* The commit is the last record: an entry that is read after it makes it stale. */
	if (r >= 0 && state->commit_name) {
		record_commit(&w, state);
		r = state_write(log, &w);
	}
	return r;
}
