/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>

#include <luo/store.h>

#include "tools/luoctl/entries.h"
#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/manager.h"
#include "common/table.h"
#include "common/util.h"

int ask_entries(struct context *c, const char *what, const char *unit, const char *state,
		struct json_object **ret_entries)
{
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *entries;
	int r;

	r = ask(c, what, "ListEntries", json_strings("unit", unit, "state", state, NULL), &reply);
	if (r != LUOCTL_OK)
		return r;
	entries = json_child(reply, "entries");
	if (!json_object_is_type(entries, json_type_array))
		return explain(c, what, -EBADMSG);
	*ret_entries = json_object_get(entries);
	return LUOCTL_OK;
}

int ask_all_entries(struct context *c, const char *what, const char *unit, const char *state,
		    struct json_object **ret_entries)
{
	_cleanup_json_ struct json_object *reply = NULL, *all = json_object_new_array();
	struct json_object *entries;
	size_t n = 0;
	int r;

	r = ask_or_null(c, what, "ListEntries", json_strings("unit", unit, "state", state, NULL),
			&reply);
	if (r != LUOCTL_OK)
		return r;
	entries = json_child(reply, "entries");
	if (reply && !json_object_is_type(entries, json_type_array))
		return explain(c, what, -EBADMSG);
	for (size_t i = 0; i < json_length(entries); i++)
		json_append(all, json_object_get(json_at(entries, i)));
	if (!state || streq(state, "stored"))
		n = manager_add_entries(all, unit);
	/* What luod has said. */
	if (!reply && n == 0)
		return explain(c, what, -ENOENT);
	*ret_entries = TAKE_PTR(all);
	return LUOCTL_OK;
}

int open_entry(struct context *c, const char *unit, const char *name, size_t nth, int *ret_fd)
{
	int r;

	/* Where systemd hands its stores over itself luod need not run. */
	if (!c->client && luo_client_connect(c->socket, c->timeout_usec, &c->client) < 0 &&
	    manager_open_entry(unit, name, nth, ret_fd) >= 0)
		return LUOCTL_OK;
	r = connect_to_luod(c);
	if (r != LUOCTL_OK)
		return r;
	r = luo_client_open_entry(c->client, unit, name, nth, ret_fd);
	if (r == -ENOENT && manager_open_entry(unit, name, nth, ret_fd) >= 0)
		return LUOCTL_OK;
	return r < 0 ? explain(c, "open the fd", r) : LUOCTL_OK;
}

/* What a live update will do with it, or has done. */
static const char *fate(struct json_object *entry)
{
	const char *reason = json_string(entry, "reason");
	const char *state = json_string(entry, "state");

	if (state && streq(state, "lost"))
		return reason ?: "lost";
	if (json_true(entry, "preservable"))
		return NULL;
	return reason ?: "cannot be preserved";
}

static bool is_managers(struct json_object *e)
{
	const char *where = json_string(e, "where");

	return where && streq(where, "systemd");
}

/* "session a.service/disk" */
static void add_kind(struct table *t, struct json_object *e)
{
	const char *kind = json_string(e, "kind") ?: json_string(e, "type");
	const char *session = json_string(e, "sessionName");
	_cleanup_free_ char *text = NULL;

	if (session && asprintf(&text, "session %s", session) < 0)
		text = NULL;
	table_add(t, text ?: kind);
}

/* @where: somebody else than luod has some of them */
static void add_row(struct table *t, struct json_object *e, bool where)
{
	_cleanup_free_ char *seals = json_join(json_child(e, "seals"));
	char age[FORMAT_MAX];

	table_add(t, json_string(e, "unit"));
	table_add(t, json_string(e, "name"));
	table_add(t, json_string(e, "state"));
	if (where) {
		table_add(t, json_string(e, "where"));
		add_kind(t, e);
	} else {
		table_add(t, json_string(e, "kind") ?: json_string(e, "type"));
	}
	if (json_has_int(e, "size"))
		table_add_size(t, (uint64_t)json_int(e, "size"));
	else
		table_add(t, NULL);
	table_add(t, seals);
	table_add(t, json_int(e, "storedAt") > 0
			     ? format_age(age, (uint64_t)json_int(e, "storedAt"))
			     : NULL);
	table_add(t, fate(e));
}

static void print_totals(struct json_object *entries)
{
	const char *unit, *last = "";
	char size[FORMAT_MAX];
	uint64_t bytes = 0;
	size_t units = 0;

	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);

		unit = json_string(e, "unit") ?: "";
		units += !streq(unit, last);
		last = unit;
		if (!json_true(e, "alias"))
			bytes += (uint64_t)json_int(e, "size");
	}
	printf("\n%zu fd%s of %zu unit%s, %s\n", json_length(entries),
	       json_length(entries) == 1 ? "" : "s", units, units == 1 ? "" : "s",
	       format_size(size, bytes));
}

int print_entries(const struct context *c, struct json_object *entries)
{
	static const char *const headers[] = { "UNIT",  "NAME", "STATE", "KIND", ">SIZE",
					       "SEALS", ">AGE", "NOTE",  NULL };
	static const char *const headers_where[] = { "UNIT",  "NAME",  "STATE", "WHERE", "KIND",
						     ">SIZE", "SEALS", ">AGE",  "NOTE",  NULL };
	_cleanup_(table_freep) struct table *t = NULL;
	bool where = false;

	if (json_length(entries) == 0) {
		if (c->legend)
			puts("No fds.");
		return LUOCTL_OK;
	}
	for (size_t i = 0; i < json_length(entries); i++)
		where = where || is_managers(json_at(entries, i));
	t = table_new(where ? headers_where : headers);
	for (size_t i = 0; i < json_length(entries); i++)
		add_row(t, json_at(entries, i), where);
	if (table_print(t, c->legend) < 0)
		return LUOCTL_FAILED;
	if (c->legend)
		print_totals(entries);
	return LUOCTL_OK;
}

#define WIDTH 12

static void print_sizes(struct json_object *e)
{
	char size[FORMAT_MAX], allocated[FORMAT_MAX];

	if (!json_has_int(e, "size"))
		return;
	format_size(size, (uint64_t)json_int(e, "size"));
	if (json_has_int(e, "allocated"))
		print_field_f(4, WIDTH, "Size", "%s (%" PRId64 " bytes), %s in memory", size,
			      json_int(e, "size"),
			      format_size(allocated, (uint64_t)json_int(e, "allocated")));
	else
		print_field_f(4, WIDTH, "Size", "%s (%" PRId64 " bytes)", size,
			      json_int(e, "size"));
}

static void print_file(struct json_object *e)
{
	_cleanup_free_ char *seals = json_join(json_child(e, "seals"));

	if (json_string(e, "fileName"))
		print_field(4, WIDTH, "File name", json_string(e, "fileName"));
	print_sizes(e);
	if (json_child(e, "seals"))
		print_field(4, WIDTH, "Seals", seals);
	if (json_string(e, "access"))
		print_field_f(4, WIDTH, "Access", "%s%s", json_string(e, "access"),
			      json_true(e, "append") ? ", append" : "");
	if (json_has_int(e, "mode"))
		print_field_f(4, WIDTH, "Mode", "%04" PRIo64, (uint64_t)json_int(e, "mode"));
	if (json_has_int(e, "uid"))
		print_field_f(4, WIDTH, "Owner", "%" PRId64 ":%" PRId64, json_int(e, "uid"),
			      json_int(e, "gid"));
	if (json_has_int(e, "inode"))
		print_field_f(4, WIDTH, "Inode", "%" PRId64 "%s", json_int(e, "inode"),
			      json_true(e, "alias") ? ", the same file as another entry" : "");
}

void print_entry_details(struct json_object *e)
{
	char age[FORMAT_MAX];

	print_field(2, 0, "Entry", json_string(e, "name"));
	print_field_f(4, WIDTH, "State", "%s, in %s", json_string(e, "state") ?: "?",
		      json_string(e, "where") ?: "?");
	print_field(4, WIDTH, "Kind", json_string(e, "kind") ?: json_string(e, "type"));
	if (json_string(e, "sessionName"))
		print_field(4, WIDTH, "Session", json_string(e, "sessionName"));
	print_file(e);
	if (json_int(e, "storedAt") > 0)
		print_field_f(4, WIDTH, "Stored", "%s ago",
			      format_age(age, (uint64_t)json_int(e, "storedAt")));
	print_field(4, WIDTH, "Live update", fate(e) ?: "keeps it");
}

bool state_is_valid(const struct context *c, const char *state)
{
	if (streq(state, "stored") || streq(state, "held") || streq(state, "lost"))
		return true;
	usage_error(c, "--state takes stored, held or lost, not '%s'", state);
	return false;
}

bool unit_is_valid(const struct context *c, const char *unit)
{
	if (luo_unit_name_is_valid(unit))
		return true;
	usage_error(c, "that is no name of a unit: 1 to 255 letters, digits and any of :-_.\\@");
	return false;
}

bool name_is_valid(const struct context *c, const char *name)
{
	if (luo_fdname_is_valid(name))
		return true;
	usage_error(c, "that is no name of an fd: 1 to 255 printable ASCII characters but ':'");
	return false;
}
