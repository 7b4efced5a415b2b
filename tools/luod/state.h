/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_STATE_H
#define LUOD_STATE_H

/*
 * What luod knows and must know again after it was killed: the stores, and a few facts around them.
 *
 * Each change is one record of the state log (state-log.h), written when the fds concerned are with
 * the keeper. state_apply() makes the change that a record tells of, so that reading a log from its
 * start gives the state back: without the fds, which come from the keeper and are joined by number.
 * docs/luod-state.md has the records.
 *
 * An *entry* of the stores here has entry->id, its number for ever, and entry->token, the number of
 * its *file* with the keeper: several entries may be the same open file description, which the
 * keeper has once. A *holding* that still lies in the kernel has a number too: its place in the
 * mapping, from 1.
 */

#include <luo/handover.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"
#include "common/json-writer.h"
#include "tools/luod/state-log.h"

/* Where what cannot be attributed any more is put. */
#define ORPHANS_UNIT "luod-orphans"

struct state_unit {
	bool ready, stopping;
	char *status;
};

/* The main process of a unit. */
struct state_registration {
	char *unit;
	pid_t pid;
	uint64_t start; /* clock ticks since boot: a pid alone may be somebody else's by now */
};

/* A holding that does not lie in the kernel any more. */
struct state_gone {
	uint64_t holding;
	uint64_t id; /* the entry that it became; 0: dropped */
};

/* A holding that lies in the kernel, and was given to another unit than the mapping says. */
struct state_moved {
	uint64_t holding;
	char unit[LUO_UNIT_NAME_MAX + 1];
};

struct state {
	struct luo_store *stored; /* what units stored or claimed */
	struct luo_store *held;   /* holdings that are here, because a commit needed them */
	struct luo_store *lost;   /* what the kernel could not restore: entries without an fd */

	uint64_t generation; /* of the log */
	uint64_t next_id;    /* of entries, files and commits */
	uint64_t restarts;
	uint64_t started_at; /* of the first luod, microseconds of CLOCK_REALTIME */

	bool looked; /* for what came in, and it was retrieved */
	/* Of the sessions that holdings come from, "luod/systemd"; NULL: none came in. */
	char *incoming_name;
	bool incoming_finished;            /* nothing in it is needed any more */
	struct luo_mapping_state previous; /* how the previous kernel went down */
	struct state_gone *gone;
	size_t n_gone, gone_allocated;
	struct state_moved *moved;
	size_t n_moved;

	struct state_registration *registrations;
	size_t n_registrations;

	char *commit_name; /* NULL: nothing is committed */
	uint64_t commit_number;
	uint64_t commit_sessions;
	bool stale; /* the stores have changed since the commit */

	uint64_t ignored; /* records that made no sense */
	void *by_id;      /* while a log is read: tree of entries */
};

int state_init(struct state *state);
void state_clear(struct state *state);

/* The change that @record tells of. What makes no sense is counted; only -ENOMEM is an error. */
int state_apply(struct state *state, struct json_object *record);
/* A state_log_fn around it. */
int state_apply_record(struct json_object *record, void *state);
/* Ends the reading: forgets what only it needs. */
void state_applied(struct state *state);

struct state_unit *state_unit_data(struct luo_unit *unit);             /* NULL: out of memory */
const struct state_unit *state_unit_peek(const struct luo_unit *unit); /* never NULL */
void state_unit_free(struct luo_unit *unit);
/* luo_unit_remove() with what we have put into it. */
void state_unit_remove(struct luo_unit *unit);
int state_add_gone(struct state *state, uint64_t holding, uint64_t id);
/* Replaces what was said of that holding before. */
int state_add_moved(struct state *state, uint64_t holding, const char *unit);
/* @name is one of the sessions in "A/B", or a further one "A.1" of theirs. */
bool session_is_one_of(const char *names, const char *name);
int state_add_registration(struct state *state, const char *unit, pid_t pid, uint64_t start);
void state_remove_registration(struct state *state, pid_t pid, uint64_t start);

/* ---- the records ---- */

void record_header(struct json_writer *w, const struct state *state, const char *session);
enum record_place { RECORD_STORED, RECORD_HELD, RECORD_LOST };
void record_unit(struct json_writer *w, const struct luo_unit *unit, enum record_place place);
void record_unit_gone(struct json_writer *w, const char *unit);
/* @holding: which one it was until now; 0: none */
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

/* Writes what the writer holds as one record and empties it. */
int state_write(struct state_log *log, struct json_writer *w);
/* The whole state as a new log. */
int state_snapshot(const struct state *state, const char *session, struct state_log *log);

#endif
