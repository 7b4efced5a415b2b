/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The mapping as a commit would write it, without a commit: what cannot be preserved is left out,
 * tokens are counted in the order in which a commit would give them.
 */

#include "luod.h"

static int preview_entry(struct luo_unit *to, const struct luo_entry *from, uint64_t *token)
{
	struct luo_entry *entry;
	struct luo_fd_info info;
	int r;

	if (from->fd >= 0 && (luo_fd_inspect(from->fd, &info) < 0 ||
			      (!info.preservable && info.kind != LUO_KIND_SESSION)))
		return 0;
	if (from->failed < 0)
		return 0;
	if (from->fd >= 0 && info.kind == LUO_KIND_SESSION) {
		r = luo_unit_add_lazy(to, from->name, LUO_ENTRY_SESSION, 0, 0, &entry);
		if (r >= 0)
			entry->session_name = strdup(info.name);
		return r;
	}
	r = luo_unit_add_lazy(to, from->name, LUO_ENTRY_FD, 0, (*token)++, &entry);
	if (r < 0)
		return r;
	entry->poll = from->poll;
	entry->meta.known = from->meta.known & LUO_META_STORED_AT;
	entry->meta.stored_at = from->meta.stored_at;
	entry->meta.known |= LUO_META_SIZE;
	entry->meta.size = from->fd >= 0 ? info.size : from->meta.size;
	return 0;
}

static int preview_store(struct luo_mapping *mapping, const struct luo_store *store,
			 uint64_t *token)
{
	struct luo_unit *unit, *to;
	struct luo_entry *entry;
	int r;

	if (!store)
		return 0;
	LUO_FOREACH_UNIT (unit, store) {
		r = luo_store_add_unit(mapping->store, unit->name, unit->cgroup, &to);
		if (r < 0)
			return r;
		LUO_FOREACH_ENTRY (entry, unit) {
			r = preview_entry(to, entry, token);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int mapping_preview(struct luod *l, char **ret_text)
{
	struct luo_mapping *mapping;
	uint64_t token = 1;
	int r;

	r = luo_mapping_new(&mapping);
	if (r < 0)
		return r;
	r = preview_store(mapping, l->state.stored, &token);
	if (r >= 0)
		r = preview_store(mapping, l->state.held, &token);
	if (r >= 0)
		r = preview_store(mapping, holdings_store(l), &token);
	if (r >= 0)
		r = luo_mapping_format(mapping, LUO_MAPPING_FORMAT_PRETTY, ret_text, NULL);
	luo_mapping_free(mapping);
	return r;
}
