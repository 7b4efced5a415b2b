/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Merges two sets of incoming sessions. A unit may have files in both, because a session of its own
 * holds what a systemd with live update support restores by itself.
 *
 * After the merge both are finished together, when nothing unclaimed is left in either.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libluo/handover/fixup.h"
#include "libluo/handover/incoming.h"
#include "libluo/store/internal.h"
#include "common/util.h"

/*
 * The order is corrected in units with up to this many entries, because each correction moves all
 * entries behind it.
 */
#define PLACES_MAX 8192

/*
 * A set with skipped entries has a table of the tokens that its mapping names, and a set with
 * missing sessions requests them by its own name. Such sets are not merged.
 */
static bool can_be_merged(const struct luo_incoming *incoming)
{
	if (!incoming->mapping || incoming->mapping->n_all_issues > 0 || incoming->places)
		return false;
	for (size_t i = 0; i < incoming->n_sessions; i++)
		if (incoming->sessions[i] == -EBADF)
			return false;
	return true;
}

static int make_room(struct luo_incoming *into, const struct luo_incoming *from)
{
	struct luo_incoming_group *groups;
	struct luo_shared_file *shared;
	int *sessions;

	sessions = reallocarray(into->sessions, into->n_sessions + from->n_sessions, sizeof(int));
	if (!sessions)
		return -ENOMEM;
	into->sessions = sessions;
	shared = reallocarray(into->shared, into->n_shared + from->n_shared + 1, sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	into->shared = shared;
	groups = reallocarray(into->groups, into->n_groups + from->n_groups + 1, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	into->groups = groups;
	return 0;
}

/* Make the units and reserve all room first; after that nothing can fail. */
static int make_units(struct luo_store *into, const struct luo_store *from)
{
	struct luo_unit *unit, *to;
	int r;

	LUO_FOREACH_UNIT (unit, from) {
		r = luo_store_add_unit(into, unit->name, unit->cgroup, &to);
		if (r >= 0)
			r = luo_unit_reserve(to, unit->n_entries);
		if (r < 0)
			return r;
		to->fdstore_max = MAX2(to->fdstore_max, unit->fdstore_max);
		if (!to->extra && unit->extra) {
			to->extra = strdup(unit->extra);
			if (!to->extra)
				return -ENOMEM;
		}
	}
	return 0;
}

/*
 * The order of a store matters, because a service may have several fds of one name. No document
 * gives the order of entries from two sessions, so they are ordered by the time at which they were
 * stored. Entries of one session keep their order.
 */
static size_t place_of(const struct luo_entry *entry, unsigned offset)
{
	struct luo_entry *const *entries = entry->unit->entries;
	size_t place = entry->index;

	if (!(entry->meta.known & LUO_META_STORED_AT) || place >= PLACES_MAX)
		return place;
	while (place > 0 && entries[place - 1]->session < offset &&
	       (entries[place - 1]->meta.known & LUO_META_STORED_AT) &&
	       entries[place - 1]->meta.stored_at > entry->meta.stored_at)
		place--;
	return place;
}

static void move_entries(struct luo_store *into, const struct luo_store *from, unsigned offset)
{
	struct luo_unit *unit;

	LUO_FOREACH_UNIT (unit, from) {
		struct luo_unit *to = luo_store_find_unit(into, unit->name);

		while (unit->n_entries > 0) {
			struct luo_entry *entry = unit->entries[0];

			entry->session += offset;
			/* Room is reserved, so this cannot fail. */
			if (luo_entry_move(entry, to) < 0)
				break;
			luo_entry_move_forward(entry, place_of(entry, offset));
		}
	}
}

static void move_sessions(struct luo_incoming *into, struct luo_incoming *from)
{
	unsigned offset = (unsigned)into->n_sessions;

	for (size_t i = 0; i < from->n_groups; i++) {
		into->groups[into->n_groups] = from->groups[i];
		into->groups[into->n_groups++].first += offset;
	}
	from->n_groups = 0;
	for (size_t i = 0; i < from->n_shared; i++) {
		into->shared[into->n_shared] = from->shared[i];
		into->shared[into->n_shared++].session += offset;
	}
	from->n_shared = 0;
	for (size_t i = 0; i < from->n_sessions; i++)
		into->sessions[into->n_sessions++] = TAKE_FD(from->sessions[i]);
	from->n_sessions = 0;
}

int luo_incoming_merge(struct luo_incoming *into, struct luo_incoming *from)
{
	int r;

	if (!can_be_merged(into) || !can_be_merged(from))
		return -EBUSY;
	r = make_room(into, from);
	if (r >= 0)
		r = make_units(into->mapping->store, from->mapping->store);
	if (r < 0)
		return r;
	move_entries(into->mapping->store, from->mapping->store, (unsigned)into->n_sessions);
	move_sessions(into, from);
	into->room = into->room_at = 0;
	luo_incoming_free(from);
	return 0;
}

const struct luo_incoming_group *luo_incoming_group_of(const struct luo_incoming *incoming,
						       const struct luo_entry *entry)
{
	for (size_t i = 0; i < incoming->n_groups; i++)
		if (entry->session >= incoming->groups[i].first &&
		    entry->session < incoming->groups[i].first + incoming->groups[i].n)
			return &incoming->groups[i];
	return NULL;
}
