/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Retrieves the files of skipped entries: of an unknown type, of an invalid form, or hostile. This
 * happens before the session is finished, so that nothing is freed that we do not understand.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <luo/inspect.h>
#include <luo/session.h>

#include "libluo/handover/guess.h"
#include "common/util.h"

struct place {
	unsigned session;
	uint64_t token;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	return x->token < y->token ? -1 : x->token > y->token;
}

/* Claimed entries have left the mapping's store, so this is recorded when the mapping is read. */
int luo_incoming_note_places(struct luo_incoming *incoming)
{
	struct luo_store *store = incoming->mapping->store;
	struct luo_entry *entry;
	struct luo_unit *unit;
	struct place *places;
	size_t n = 0;

	if (incoming->mapping->n_all_issues == 0)
		return 0;
	places = calloc(luo_store_n_entries(store) + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	LUO_FOREACH_UNIT (unit, store)
		LUO_FOREACH_ENTRY (entry, unit)
			if (entry->type == LUO_ENTRY_FD)
				places[n++] = (struct place){ entry->session, entry->token };
	/* The mapping itself is not rescued. */
	places[n++] = (struct place){ 0, LUO_TOKEN_MAPPING };
	qsort(places, n, sizeof(*places), compare);
	incoming->places = places;
	incoming->n_places = n;
	return 0;
}

static int rescue_one(struct luo_incoming *incoming, unsigned session, uint64_t token,
		      struct luo_unit *to)
{
	_cleanup_close_ int fd = -EBADF;
	char name[LUO_SESSION_NAME_MAX + 32];
	_cleanup_free_ char *session_name = NULL;
	int r;

	r = luo_session_retrieve_fd(incoming->sessions[session], token, &fd);
	if (r == -EMFILE)
		return r;
	if (r < 0) /* absent, or lost before */
		return 0;
	r = luo_session_get_name(incoming->sessions[session], &session_name);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s.%llu", session_name, (unsigned long long)token);
	r = luo_unit_add_fd(to, name, fd, NULL);
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 1;
}

static int rescue_session(struct luo_incoming *incoming, unsigned session,
			  const struct luo_guess *guess, struct luo_unit *to, size_t *n)
{
	for (size_t i = 0; i < guess->n; i++) {
		struct place key = { session, guess->values[i] };
		int r;

		if (bsearch(&key, incoming->places, incoming->n_places, sizeof(key), compare))
			continue;
		r = rescue_one(incoming, session, guess->values[i], to);
		if (r < 0)
			return r;
		*n += (size_t)r;
	}
	return 0;
}

_public_ int luo_incoming_rescue(struct luo_incoming *incoming, struct luo_unit *to, size_t *ret_n)
{
	_cleanup_free_ uint64_t *values = NULL;
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	struct luo_guess guess;
	size_t n = 0;
	int r;

	if (!incoming->mapping)
		return -EINVAL;
	if (incoming->mapping->n_all_issues == 0 || incoming->rescued) {
		if (ret_n)
			*ret_n = 0;
		return 0;
	}
	/* Sizes are known only after the retrieve, which must not exceed a memory limit. */
	r = luo_memory_room(&room);
	if (r < 0)
		return r;
	if (room.cgroup_bytes != UINT64_MAX)
		return -EDQUOT;

	r = luo_guess_tokens(incoming, &guess);
	if (r < 0)
		return r;
	values = guess.values;
	for (size_t i = 0; i < incoming->n_sessions && r >= 0; i++)
		if (incoming->sessions[i] >= 0)
			r = rescue_session(incoming, (unsigned)i, &guess, to, &n);
	if (r < 0)
		return r;
	/* Everything that was found is safe; whether there was more is unknown. */
	if (!guess.complete)
		return -E2BIG;
	incoming->rescued = true;
	if (ret_n)
		*ret_n = n;
	return 0;
}
