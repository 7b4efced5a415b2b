/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* An entry as clients see it: type Entry of io.luo. */

#include "tools/luod/entry-object.h"

#include <fcntl.h>
#include <stdio.h>

#include <luo/inspect.h>
#include <luo/store.h>

#include "common/json.h"
#include "common/util.h"
#include "libluo/store/internal.h"
#include "tools/luod/stores.h"

static void add_seals(struct json_object *o, unsigned seals)
{
	struct json_object *array = json_object_new_array();
	char name[64];

	for (; seals; seals &= seals - 1)
		json_append_string(array, luo_seals_to_string(seals & -seals, name));
	json_add(o, "seals", array);
}

static void add_flags(struct json_object *o, int flags)
{
	static const char *const access[] = { "ro", "wo", "rw", "rw" };

	json_add_utf8(o, "access", access[flags & O_ACCMODE]);
	json_add_bool(o, "append", flags & O_APPEND);
}

static void add_meta(struct json_object *o, const struct luo_entry_meta *m)
{
	if (m->known & LUO_META_SIZE)
		json_add_number(o, "size", m->size);
	if (m->known & LUO_META_SEALS)
		add_seals(o, m->seals);
	if (m->known & LUO_META_OPEN_FLAGS)
		add_flags(o, m->open_flags);
	if (m->known & LUO_META_MODE)
		json_add_number(o, "mode", m->mode & 07777);
	if (m->known & LUO_META_OWNER) {
		json_add_number(o, "uid", m->uid);
		json_add_number(o, "gid", m->gid);
	}
}

/* The name of a memfd. The kernel forgets it at a kexec, so the mapping has it. */
static void add_names(struct json_object *o, const struct luo_entry *e,
		      const struct luo_fd_info *info)
{
	const char *name = info && info->kind == LUO_KIND_MEMFD ? info->name : NULL;

	if (e->meta.known & LUO_META_FILE_NAME && e->meta.file_name)
		name = e->meta.file_name;
	if (name)
		json_add_utf8(o, "fileName", name);
	if (e->type == LUO_ENTRY_SESSION && e->session_name)
		json_add_utf8(o, "sessionName", e->session_name);
	else if (info && info->kind == LUO_KIND_SESSION)
		json_add_utf8(o, "sessionName", info->name);
}

static void add_facts(struct json_object *o, const struct luo_entry *e)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	bool session;

	if (luo_fd_inspect(e->fd, &info) < 0) {
		json_add_bool(o, "preservable", false);
		return;
	}
	session = info.kind == LUO_KIND_SESSION;
	json_add_utf8(o, "kind", luo_kind_to_string(info.kind));
	json_add_bool(o, "preservable", info.preservable || session);
	if (info.reason && !session)
		json_add_utf8(o, "reason", info.reason);
	add_names(o, e, &info);
	json_add_number(o, "size", info.size);
	json_add_number(o, "allocated", info.allocated);
	add_seals(o, info.seals);
	add_flags(o, info.open_flags);
	json_add_number(o, "mode", info.mode & 07777);
	json_add_number(o, "uid", info.uid);
	json_add_number(o, "gid", info.gid);
	json_add_number(o, "inode", info.inode);
}

struct json_object *entry_to_object(const struct luo_entry *e, enum entry_state state)
{
	static const char *const states[] = { "stored", "held", "lost" };
	struct json_object *o = json_object_new_object();
	char reason[128];

	if (!o)
		return NULL;
	if (e->failed < 0)
		state = ENTRY_LOST;
	json_add_utf8(o, "unit", e->unit->name);
	json_add_utf8(o, "name", e->name);
	json_add_utf8(o, "state", states[state]);
	json_add_utf8(o, "where", e->fd >= 0 ? "luod" : "kernel");
	json_add_utf8(o, "type", e->type == LUO_ENTRY_SESSION ? "luo_session" : "fd");
	if (e->fd >= 0)
		add_facts(o, e);
	else {
		json_add_bool(o, "preservable", state != ENTRY_LOST);
		if (state == ENTRY_LOST) {
			snprintf(reason, sizeof(reason), "the kernel could not restore it: %s",
				 strerror(-e->failed));
			json_add_utf8(o, "reason", reason);
		}
		add_names(o, e, NULL);
		add_meta(o, &e->meta);
		json_add_bool(o, "alias", e->alias);
	}
	json_add_bool(o, "poll", e->poll);
	if (e->meta.known & LUO_META_STORED_AT)
		json_add_number(o, "storedAt", e->meta.stored_at);
	return o;
}
