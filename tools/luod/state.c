/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/state.h"

#include <search.h>

#include <luo/store.h>

#include "common/util.h"

/* ---- the parts ------------------------------------------------------------------------------- */

static void no_free(void *p)
{
}

void state_end_reading(struct state *state)
{
	tdestroy(state->by_id, no_free);
	state->by_id = NULL;
}

int state_init(struct state *state)
{
	int r;

	*state = (struct state){ .next_id = 1, .generation = 1 };
	r = luo_store_new(&state->stored);
	if (r >= 0)
		r = luo_store_new(&state->held);
	if (r >= 0)
		r = luo_store_new(&state->lost);
	if (r < 0)
		state_clear(state);
	return r;
}

static struct luo_store *store_free(struct luo_store *store)
{
	struct luo_unit *unit;

	if (store)
		LUO_FOREACH_UNIT (unit, store)
			state_unit_free(unit);
	return luo_store_free(store);
}

void state_clear(struct state *state)
{
	state_end_reading(state);
	store_free(state->stored);
	store_free(state->held);
	store_free(state->lost);
	for (size_t i = 0; i < state->n_registrations; i++)
		free(state->registrations[i].unit);
	free(state->registrations);
	free(state->gone);
	free(state->moved);
	free(state->incoming_name);
	free(state->commit_name);
	*state = (struct state){ 0 };
}

struct state_unit *state_unit_data(struct luo_unit *unit)
{
	if (!unit->userdata)
		unit->userdata = calloc(1, sizeof(struct state_unit));
	return unit->userdata;
}

const struct state_unit *state_unit_peek(const struct luo_unit *unit)
{
	static const struct state_unit nothing;

	return unit->userdata ? unit->userdata : &nothing;
}

void state_unit_free(struct luo_unit *unit)
{
	struct state_unit *data = TAKE_PTR(unit->userdata);

	if (data)
		free(data->status);
	free(data);
}

void state_unit_remove(struct luo_unit *unit)
{
	state_unit_free(unit);
	luo_unit_remove(unit);
}

int state_add_gone(struct state *state, uint64_t holding, uint64_t id)
{
	if (state->n_gone >= state->gone_allocated) {
		size_t n = MAX2(state->gone_allocated * 2, (size_t)16);
		struct state_gone *grown = reallocarray(state->gone, n, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		state->gone = grown;
		state->gone_allocated = n;
	}
	state->gone[state->n_gone++] = (struct state_gone){ holding, id };
	return 0;
}

int state_add_moved(struct state *state, uint64_t holding, const char *unit)
{
	struct state_moved *grown;
	size_t at = 0;

	while (at < state->n_moved && state->moved[at].holding != holding)
		at++;
	if (at == state->n_moved) {
		grown = reallocarray(state->moved, state->n_moved + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		state->moved = grown;
		state->moved[state->n_moved++].holding = holding;
	}
	strncpy(state->moved[at].unit, unit, sizeof(state->moved[at].unit) - 1);
	state->moved[at].unit[sizeof(state->moved[at].unit) - 1] = 0;
	return 0;
}

bool session_is_one_of(const char *names, const char *name)
{
	while (name) {
		size_t n = strcspn(names, "/");

		if (strncmp(name, names, n) == 0 && (!name[n] || name[n] == '.'))
			return true;
		if (!names[n])
			break;
		names += n + 1;
	}
	return false;
}

void state_remove_registration(struct state *state, pid_t pid, uint64_t start)
{
	for (size_t i = 0; i < state->n_registrations; i++) {
		struct state_registration *reg = &state->registrations[i];

		if (reg->pid != pid || reg->start != start)
			continue;
		free(reg->unit);
		*reg = state->registrations[--state->n_registrations];
		return;
	}
}

int state_add_registration(struct state *state, const char *unit, pid_t pid, uint64_t start)
{
	struct state_registration *grown;
	char *copy;

	state_remove_registration(state, pid, start);
	grown = reallocarray(state->registrations, state->n_registrations + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	state->registrations = grown;
	copy = strdup(unit);
	if (!copy)
		return -ENOMEM;
	state->registrations[state->n_registrations++] =
		(struct state_registration){ .unit = copy, .pid = pid, .start = start };
	return 0;
}
