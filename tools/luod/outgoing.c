/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/outgoing.h"

#include <luo/store.h>

#include "common/json-writer.h"
#include "common/util.h"
#include "tools/luod/holdings.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/state-record.h"

/*
 * What PID 1 brings into the next kernel comes in there under the names that it has with PID 1, and
 * there is no log beside it. So a session that is handed over has the name of a session that came
 * in. Its number is above all numbers that are in use: PID 1 removes all that has one name at once.
 */
#define HANDED_OVER_FROM UINT64_C(4096)

static uint64_t free_number(const struct luod *l)
{
	uint64_t n = HANDED_OVER_FROM;

	for (size_t i = 0; i < l->n_sessions; i++)
		n = MAX2(n, l->sessions[i].number + 1);
	return n;
}

static char *outgoing_name(const struct luod *l, uint64_t i, char name[KEEPER_NAME_SIZE])
{
	if (l->outgoing.handed_over)
		return keeper_name('i', l->outgoing.first + i, name);
	return keeper_name2('o', l->state.commit_number, i, name);
}

static int push_sessions(struct luod *l)
{
	char name[KEEPER_NAME_SIZE];

	for (size_t i = 0; i < l->outgoing.n; i++) {
		int r = keeper_push(&l->keeper, outgoing_name(l, i, name), l->outgoing.fds[i]);

		if (r < 0)
			return r;
	}
	return keeper_settle(&l->keeper);
}

int outgoing_hold(struct luod *l, const char *session, bool hand_over, int *fds, size_t n)
{
	struct json_writer w = { 0 };
	int r;

	l->outgoing.fds = fds;
	l->outgoing.n = n;
	l->outgoing.handed_over = hand_over;
	l->outgoing.first = free_number(l);
	l->state.commit_number = l->state.next_id++;
	l->state.commit_sessions = n;
	l->state.commit_name = strdup(session);
	r = l->state.commit_name ? push_sessions(l) : -ENOMEM;
	l->state.stale = false;
	if (r >= 0) {
		record_commit(&w, &l->state);
		r = journal_write(l, &w);
		l->state.stale = false;
	}
	if (r < 0)
		outgoing_release(l);
	return r;
}

void outgoing_leave_sessions_only(struct luod *l)
{
	struct luo_store *stores[] = { l->state.stored, l->state.held };
	char name[KEEPER_NAME_SIZE];
	struct luo_entry *entry;
	struct luo_unit *unit;

	/* The files are in the sessions already, and PID 1 would be refused them. */
	for (size_t i = 0; i < ELEMENTSOF(stores); i++)
		LUO_FOREACH_UNIT (unit, stores[i])
			LUO_FOREACH_ENTRY (entry, unit)
				(void)keeper_remove(&l->keeper,
						    keeper_name('e', entry->token, name));
	/* The commit has a copy of each unreadable session, under the same name. */
	for (size_t i = 0; i < l->n_sessions; i++)
		(void)keeper_remove(&l->keeper, keeper_name('i', l->sessions[i].number, name));
	/* The log and the sockets are about this boot. */
	(void)keeper_remove(&l->keeper, keeper_name('L', l->state.generation, name));
	(void)keeper_remove(&l->keeper, "notify");
	(void)keeper_remove(&l->keeper, "varlink");
	(void)keeper_barrier(&l->keeper);
}

void outgoing_release(struct luod *l)
{
	char name[KEEPER_NAME_SIZE];

	for (uint64_t i = 0; i < l->state.commit_sessions; i++)
		(void)keeper_remove(&l->keeper, outgoing_name(l, i, name));
	outgoing_free(l);
	l->outgoing.handed_over = false;
	free(TAKE_PTR(l->state.commit_name));
	l->state.commit_sessions = 0;
	/* The kernel undoes the sessions only when the keeper has closed its copies too. */
	(void)keeper_barrier(&l->keeper);
}

void outgoing_free(struct luod *l)
{
	close_many(l->outgoing.fds, l->outgoing.n);
	free(TAKE_PTR(l->outgoing.fds));
	l->outgoing.n = 0;
	l->outgoing.mapping_fd = safe_close(l->outgoing.mapping_fd);
	l->outgoing.manager_mapping_fd = safe_close(l->outgoing.manager_mapping_fd);
}
