/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Tokens are counted in the order in which a commit would give them. */

#include "tools/luod/mapping-preview.h"

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/store.h>

#include "common/util.h"
#include "tools/luod/luod.h"
#include "tools/luod/stores.h"

/* An entry in @store that will be preserved as the same file. */
static const struct luo_entry *find_file(const struct luo_store *store,
					 const struct luo_fd_info *info)
{
	struct luo_entry *entry;
	struct luo_unit *unit;

	LUO_FOREACH_UNIT (unit, store)
		LUO_FOREACH_ENTRY (entry, unit)
			if (entry->token > 0 && entry->inode == info->inode &&
			    entry->device == info->device)
				return entry;
	return NULL;
}

static int preview_meta(struct luo_entry *entry, const struct luo_entry *from,
			const struct luo_fd_info *info)
{
	struct luo_entry_meta *meta = &entry->meta;

	meta->known = (from->meta.known & LUO_META_STORED_AT) | LUO_META_SIZE;
	meta->stored_at = from->meta.stored_at;
	meta->size = from->fd >= 0 ? info->size : from->meta.size;
	if (!(from->meta.known & LUO_META_FILE_NAME))
		return 0;
	meta->file_name = strdup(from->meta.file_name);
	if (!meta->file_name)
		return -ENOMEM;
	meta->known |= LUO_META_FILE_NAME;
	return 0;
}

static int preview_entry(struct luo_unit *to, const struct luo_entry *from, uint64_t *token)
{
	const struct luo_entry *same;
	struct luo_entry *entry;
	struct luo_fd_info info = { .struct_size = sizeof(info) };
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
	same = from->fd >= 0 ? find_file(to->store, &info) : NULL;
	r = luo_unit_add_lazy(to, from->name, LUO_ENTRY_FD, 0, same ? same->token : *token, &entry);
	if (r < 0)
		return r;
	if (same)
		entry->alias = true;
	else
		(*token)++;
	if (from->fd >= 0) {
		entry->device = info.device;
		entry->inode = info.inode;
	}
	entry->poll = from->poll;
	return preview_meta(entry, from, &info);
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
		r = preview_store(mapping, stores_incoming(l), &token);
	if (r >= 0)
		r = luo_mapping_format(mapping, LUO_MAPPING_FORMAT_PRETTY, ret_text, NULL);
	luo_mapping_free(mapping);
	return r;
}
