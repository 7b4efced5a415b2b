/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STATE_RECORD_H
#define LUOD_STATE_RECORD_H

/*
 * Writes the records of the state log. state-apply.h reads each of them back into the same change.
 * docs/luod-state.md has the format.
 */

#include "common/json-writer.h"
#include "tools/luod/state.h"
#include "tools/luod/state-log.h"

enum record_place { RECORD_STORED, RECORD_HELD, RECORD_LOST };

void record_unit(struct json_writer *w, const struct luo_unit *unit, enum record_place place);
void record_unit_gone(struct json_writer *w, const char *unit);
/* @holding: the number of the holding that the entry was until now; 0: none */
void record_add(struct json_writer *w, const struct luo_entry *entry, enum record_place place,
		uint64_t holding);
void record_move(struct json_writer *w, uint64_t id, const char *unit);
void record_delete(struct json_writer *w, uint64_t id);
void record_gone(struct json_writer *w, const struct state_gone *gone);
void record_moved(struct json_writer *w, uint64_t holding, const char *unit);
void record_looked(struct json_writer *w);
void record_incoming(struct json_writer *w, const struct state *state);
void record_finished(struct json_writer *w);
void record_registered(struct json_writer *w, const struct state_registration *registration);
void record_unregistered(struct json_writer *w, pid_t pid, uint64_t start);
void record_commit(struct json_writer *w, const struct state *state);
void record_abort(struct json_writer *w);

/* Writes what the writer holds as one record, and empties the writer. */
int state_write(struct state_log *log, struct json_writer *w);
/* Writes the whole state as a new log. */
int state_snapshot(const struct state *state, const char *session, struct state_log *log);

#endif
