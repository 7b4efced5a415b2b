/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>

#include "common/json.h"
#include "tools/luoctl/manager.h"
#include "common/util.h"

#define TIMEOUT_USEC (5 * USEC_PER_SEC)

void stores_close(struct stores *s)
{
	luo_manager_units_free(s->units, s->n);
	luo_manager_table_free(s->table);
	*s = (struct stores){ 0 };
}

int stores_open(struct stores *ret)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	_cleanup_stores_ struct stores s = { 0 };
	int r;

	r = luo_manager_version(&s.version);
	if (r >= 0)
		r = luo_manager_connect(TIMEOUT_USEC, &bus);
	if (r >= 0)
		r = luo_manager_stores(bus, now_usec(CLOCK_MONOTONIC) + TIMEOUT_USEC, &s.units,
				       &s.n, &s.incomplete);
	if (r >= 0)
		r = luo_manager_table_open(&s.table);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct stores){ 0 };
	return 0;
}

static void add_seals(struct json_object *o, unsigned seals)
{
	struct json_object *list = json_object_new_array();
	char text[64];

	for (; seals; seals &= seals - 1)
		json_append(list,
			    json_object_new_string(luo_seals_to_string(seals & -seals, text)));
	json_add(o, "seals", list);
}

static void add_file(struct json_object *o, int fd)
{
	static const char *const access[] = { "ro", "wo", "rw", "rw" };
	struct luo_fd_info info = { .struct_size = sizeof(info) };

	if (luo_fd_inspect(fd, &info) < 0 || info.kind == LUO_KIND_SESSION)
		return;
	json_add_string(o, "fileName", info.name);
	json_add(o, "allocated", json_object_new_uint64(info.allocated));
	add_seals(o, info.seals);
	json_add_string(o, "access", access[info.open_flags & O_ACCMODE]);
	json_add_bool(o, "append", info.open_flags & O_APPEND);
	json_add(o, "mode", json_object_new_int(info.mode & 07777));
	json_add(o, "uid", json_object_new_int64(info.uid));
	json_add(o, "gid", json_object_new_int64(info.gid));
}

static struct json_object *make_entry(const struct stores *s, const struct luo_manager_unit *unit,
				      const struct luo_manager_fd *fd)
{
	_cleanup_close_ int copy = -EBADF;
	struct luo_manager_verdict v;
	struct json_object *o;

	luo_manager_judge(s->table, unit, fd, &v, &copy);
	o = json_strings("unit", unit->name, "name", fd->name, "state", "stored", "where",
			 "systemd", "type", v.kind == LUO_KIND_SESSION ? "luo_session" : "fd",
			 "kind", luo_kind_to_string(v.kind), NULL);
	json_add_bool(o, "preservable", v.survives);
	json_add_string(o, "reason", v.survives ? NULL : v.reason);
	if (v.session[0])
		json_add_string(o, "sessionName", v.session);
	if (v.has_size)
		json_add(o, "size", json_object_new_uint64(v.size));
	json_add(o, "inode", json_object_new_uint64(fd->inode));
	if (copy >= 0)
		add_file(o, copy);
	return o;
}

size_t manager_add_entries(struct json_object *entries, const char *unit)
{
	_cleanup_stores_ struct stores s = { 0 };
	size_t n = 0;

	if (stores_open(&s) < 0)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (unit ? !streq(unit, s.units[i].name) : streq("luod.service", s.units[i].name))
			continue;
		for (size_t k = 0; k < s.units[i].n_fds; k++, n++)
			json_append(entries, make_entry(&s, &s.units[i], &s.units[i].fds[k]));
	}
	return n;
}

int manager_open_entry(const char *unit, const char *name, size_t nth, int *ret_fd)
{
	_cleanup_stores_ struct stores s = { 0 };

	if (stores_open(&s) < 0)
		return -ENOENT;
	for (size_t i = 0; i < s.n; i++)
		for (size_t k = 0; streq(unit, s.units[i].name) && k < s.units[i].n_fds; k++)
			if (streq(name, s.units[i].fds[k].name) && nth-- == 0)
				return luo_manager_table_fetch(s.table, &s.units[i].fds[k], ret_fd);
	return -ENOENT;
}
