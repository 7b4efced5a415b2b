/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/commit-split.h"

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/util.h"
#include "libluo/handover/commit-plan.h"
#include "tools/luod/managed.h"

static int compare(const void *a, const void *b)
{
	const struct split_file *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static int find_shared(struct split *split)
{
	struct luo_entry *entry;
	struct luo_unit *unit;
	size_t n = 0;

	for (size_t i = 0; i < split->n_stores; i++)
		n += luo_store_n_entries(split->stores[i]);
	split->shared = calloc(n + 1, sizeof(*split->shared));
	if (!split->shared)
		return -ENOMEM;
	for (size_t i = 0; i < split->n_stores; i++)
		LUO_FOREACH_UNIT (unit, split->stores[i]) {
			if (unit_is_managed(unit))
				continue;
			LUO_FOREACH_ENTRY (entry, unit)
				split->shared[split->n_shared++] =
					(struct split_file){ entry->device, entry->inode };
		}
	if (split->n_shared > 0)
		qsort(split->shared, split->n_shared, sizeof(*split->shared), compare);
	return 0;
}

/* PID 1 (systemd >= 261) refuses a session of that name in a store: it is the name of its own. */
static bool is_refused_session(const struct luo_entry *entry)
{
	_cleanup_free_ char *name = NULL;

	return luo_fd_is_session(entry->fd) == 1 && luo_session_get_name(entry->fd, &name) >= 0 &&
	       streq(name, MANAGER_SESSION);
}

static bool is_managed(struct split *split, const struct luo_unit *unit)
{
	if (split->unit != unit) {
		split->unit = unit;
		split->managed = unit_is_managed(unit);
	}
	return split->managed;
}

static bool goes_to_manager(struct split *split, const struct luo_entry *entry)
{
	struct split_file key = { entry->device, entry->inode };

	if (split->whole || entry->fd < 0 || !is_managed(split, entry->unit))
		return false;
	if (split->n_shared > 0 &&
	    bsearch(&key, split->shared, split->n_shared, sizeof(key), compare))
		return false;
	return luo_commit_travels_plain(entry->fd) && !is_refused_session(entry);
}

bool split_is_manager(const struct luo_entry *entry, void *split)
{
	return goes_to_manager(split, entry);
}

bool split_is_own(const struct luo_entry *entry, void *split)
{
	return split_is_tried_again(split, entry) || !goes_to_manager(split, entry);
}

/* Every entry of a file has the result of the file, so all of them are tried again. */
int split_note_failed(struct split *split, const struct luo_commit *manager)
{
	struct luo_commit_result result = { .struct_size = sizeof(result) };

	split->again = calloc(luo_commit_n_results(manager) + 1, sizeof(*split->again));
	if (!split->again)
		return -ENOMEM;
	for (size_t i = 0; luo_commit_result_at(manager, i, &result) == 0; i++)
		if (result.result == LUO_RESULT_FAILED && result.error == -EDQUOT)
			split->again[split->n_again++] = result.entry;
	return 0;
}

bool split_is_tried_again(const struct split *split, const struct luo_entry *entry)
{
	for (size_t i = 0; i < split->n_again; i++)
		if (split->again[i] == entry)
			return true;
	return false;
}

int split_make(struct luo_store *const *stores, size_t n_stores, bool whole, struct split *ret)
{
	struct split split = { .stores = stores, .n_stores = n_stores, .whole = whole };
	struct luo_entry *entry;
	struct luo_unit *unit;
	int r;

	r = find_shared(&split);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_stores; i++)
		LUO_FOREACH_UNIT (unit, stores[i])
			LUO_FOREACH_ENTRY (entry, unit) {
				split.n_managed += is_managed(&split, unit);
				if (goes_to_manager(&split, entry))
					split.n_manager++;
				else
					split.n_own++;
			}
	*ret = split;
	return 0;
}

void split_done(struct split *split)
{
	free(TAKE_PTR(split->shared));
	free(TAKE_PTR(split->again));
}
