/* SPDX-License-Identifier: GPL-2.0-or-later */

/* An entry as callers see it: type Entry of io.luo. */

#include <fcntl.h>
#include <stdio.h>

#include "tools/luod/server.h"

static void add_seals(struct json_object *o, unsigned seals)
{
	struct json_object *array = json_object_new_array();
	char name[64];

	for (; seals; seals &= seals - 1)
		json_object_array_add(
			array, json_object_new_string(luo_seals_to_string(seals & -seals, name)));
	add_object(o, "seals", array);
}

static void add_flags(struct json_object *o, int flags)
{
	static const char *const access[] = { "ro", "wo", "rw", "rw" };

	add_string(o, "access", access[flags & O_ACCMODE]);
	add_bool(o, "append", flags & O_APPEND);
}

static void add_meta(struct json_object *o, const struct luo_entry_meta *m)
{
	if (m->known & LUO_META_SIZE)
		add_number(o, "size", m->size);
	if (m->known & LUO_META_SEALS)
		add_seals(o, m->seals);
	if (m->known & LUO_META_OPEN_FLAGS)
		add_flags(o, m->open_flags);
	if (m->known & LUO_META_MODE)
		add_number(o, "mode", m->mode & 07777);
	if (m->known & LUO_META_OWNER) {
		add_number(o, "uid", m->uid);
		add_number(o, "gid", m->gid);
	}
}

/* "memfd", or the name that a memfd had before the kexec, which the kernel has forgotten. */
static void add_names(struct json_object *o, const struct luo_entry *e,
		      const struct luo_fd_info *info)
{
	const char *name = info && info->kind == LUO_KIND_MEMFD ? info->name : NULL;

	if (e->meta.known & LUO_META_FILE_NAME && e->meta.file_name)
		name = e->meta.file_name;
	if (name)
		add_string(o, "fileName", name);
	if (e->type == LUO_ENTRY_SESSION && e->session_name)
		add_string(o, "sessionName", e->session_name);
	else if (info && info->kind == LUO_KIND_SESSION)
		add_string(o, "sessionName", info->name);
}

static void add_facts(struct json_object *o, const struct luo_entry *e)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	bool session;

	if (luo_fd_inspect(e->fd, &info) < 0) {
		add_bool(o, "preservable", false);
		return;
	}
	session = info.kind == LUO_KIND_SESSION;
	add_string(o, "kind", luo_kind_to_string(info.kind));
	add_bool(o, "preservable", info.preservable || session);
	if (info.reason && !session)
		add_string(o, "reason", info.reason);
	add_names(o, e, &info);
	add_number(o, "size", info.size);
	add_number(o, "allocated", info.allocated);
	add_seals(o, info.seals);
	add_flags(o, info.open_flags);
	add_number(o, "mode", info.mode & 07777);
	add_number(o, "uid", info.uid);
	add_number(o, "gid", info.gid);
	add_number(o, "inode", info.inode);
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
	add_string(o, "unit", e->unit->name);
	add_string(o, "name", e->name);
	add_string(o, "state", states[state]);
	add_string(o, "where", e->fd >= 0 ? "luod" : "kernel");
	add_string(o, "type", e->type == LUO_ENTRY_SESSION ? "luo_session" : "fd");
	if (e->fd >= 0)
		add_facts(o, e);
	else {
		add_bool(o, "preservable", state != ENTRY_LOST);
		if (state == ENTRY_LOST) {
			snprintf(reason, sizeof(reason), "the kernel could not restore it: %s",
				 strerror(-e->failed));
			add_string(o, "reason", reason);
		}
		add_names(o, e, NULL);
		add_meta(o, &e->meta);
		add_bool(o, "alias", e->alias);
	}
	add_bool(o, "poll", e->poll);
	if (e->meta.known & LUO_META_STORED_AT)
		add_number(o, "storedAt", e->meta.stored_at);
	return o;
}
