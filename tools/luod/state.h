/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STATE_H
#define LUOD_STATE_H

/*
 * What luod needs again after a kill: the stores, and a few facts beside them. Each change is one
 * record of the state log, written when the fds that it concerns are with the keeper. Reading a log
 * from its start gives the state back without the fds, which come from the keeper and are joined by
 * number (recover.h). docs/luod-state.md has the records.
 *
 * An *entry* of these stores has entry->id, its permanent number, and entry->token, the number of
 * its *file* at the keeper: several entries may be the same open file description, which the keeper
 * has once. A *holding* that is still in the kernel has a number too: its place in the mapping,
 * from 1.
 */

#include <luo/handover.h>

#include "common/json-writer.h"
#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"
#include "tools/luod/state-log.h"

/* The unit for fds whose unit is not known. */
#define ORPHANS_UNIT "luod-orphans"

struct state_unit {
	bool ready, stopping;
	char *status;
};

/* The main process of a unit. */
struct state_registration {
	char *unit;
	pid_t pid;
	uint64_t start; /* clock ticks since boot: another process may have the pid by now */
};

/* A holding that is no longer in the kernel. */
struct state_gone {
	uint64_t holding;
	uint64_t id; /* the entry that it became; 0: dropped */
};

/* A holding in the kernel that was given to another unit than the mapping says. */
struct state_moved {
	uint64_t holding;
	char unit[LUO_UNIT_NAME_MAX + 1];
};

struct state {
	struct luo_store *stored; /* entries that units stored or claimed */
	struct luo_store *held;   /* holdings that a commit restored */
	struct luo_store *lost;   /* entries without an fd: the kernel could not restore them */

	uint64_t generation; /* of the log */
	uint64_t next_id;    /* of entries, files and commits */
	uint64_t restarts;
	uint64_t started_at; /* of the first luod, microseconds of CLOCK_REALTIME */

	bool looked; /* the sessions of the previous kernel are retrieved */
	/* Of the sessions that holdings come from, "luod/systemd"; NULL: none came in. */
	char *incoming_name;
	bool incoming_finished;            /* nothing in it is needed */
	struct luo_mapping_state previous; /* how the previous kernel shut down */
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

	uint64_t ignored; /* invalid records */
	void *by_id;      /* while a log is read: a tree of the entries */
};

int state_init(struct state *state);
void state_clear(struct state *state);
/* Ends the reading of a log: frees what only the reading needs. */
void state_end_reading(struct state *state);

struct state_unit *state_unit_data(struct luo_unit *unit);             /* NULL: out of memory */
const struct state_unit *state_unit_peek(const struct luo_unit *unit); /* never NULL */
void state_unit_free(struct luo_unit *unit);
/* luo_unit_remove(), and frees what luod has put into the unit. */
void state_unit_remove(struct luo_unit *unit);
int state_add_gone(struct state *state, uint64_t holding, uint64_t id);
/* Replaces an earlier move of that holding. */
int state_add_moved(struct state *state, uint64_t holding, const char *unit);
/* @name is one of the sessions in "A/B", or a further one of them, "A.1". */
bool session_is_one_of(const char *names, const char *name);
int state_add_registration(struct state *state, const char *unit, pid_t pid, uint64_t start);
void state_remove_registration(struct state *state, pid_t pid, uint64_t start);

#endif
