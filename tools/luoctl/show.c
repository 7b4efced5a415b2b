/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>

#include "tools/luoctl/entries.h"
#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/manager.h"
#include "common/table.h"
#include "common/util.h"

#define WIDTH 9

static void print_unit(struct json_object *u)
{
	_cleanup_free_ char *pids = json_join(json_child(u, "pids"));
	char size[FORMAT_MAX];

	print_field(0, WIDTH, "Unit", json_string(u, "name"));
	if (json_string(u, "cgroup"))
		print_field(0, WIDTH, "Cgroup", json_string(u, "cgroup"));
	print_field(0, WIDTH, "Processes", pids);
	print_field_f(0, WIDTH, "State", "%s",
		      json_true(u, "stopping") ? "stopping"
		      : json_true(u, "ready")  ? "ready"
					       : "not ready");
	if (json_string(u, "status"))
		print_field(0, WIDTH, "Status", json_string(u, "status"));
	print_field_f(0, WIDTH, "Stored", "%" PRId64 " of at most %" PRId64, json_int(u, "stored"),
		      json_int(u, "fdstoreMax"));
	print_field_f(0, WIDTH, "Held", "%" PRId64, json_int(u, "held"));
	print_field(0, WIDTH, "Size", format_size(size, (uint64_t)json_int(u, "bytes")));
}

static void print_all(struct json_object *entries)
{
	for (size_t i = 0; i < json_length(entries); i++) {
		putchar('\n');
		print_entry_details(json_at(entries, i));
	}
}

int verb_show(struct context *c, int argc, char **argv)
{
	_cleanup_json_ struct json_object *reply = NULL, *entries = NULL;
	struct json_object *unit;
	const char *name;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 1, 1))
		return LUOCTL_USAGE;
	name = argv[optind];
	if (!unit_is_valid(c, name))
		return LUOCTL_USAGE;
	r = ask_or_null(c, "show the unit", "ListUnits", json_strings("unit", name, NULL), &reply);
	if (r != LUOCTL_OK)
		return r;
	unit = json_at(json_child(reply, "units"), 0);
	if (unit) {
		r = ask_all_entries(c, "show the unit", name, NULL, &entries);
		if (r != LUOCTL_OK)
			return r;
	} else {
		entries = json_object_new_array();
		(void)manager_add_entries(entries, name);
	}
	if (!unit && json_length(entries) == 0) {
		complain("cannot show the unit: luod does not know the unit \"%s\"", name);
		return LUOCTL_NO_SUCH;
	}
	if (c->json) {
		unit = unit ? json_object_get(unit) : json_strings("name", name, NULL);
		json_add(unit, "entries", json_object_get(entries));
		json_print(unit);
		json_object_put(unit);
		return LUOCTL_OK;
	}
	if (unit) {
		print_unit(unit);
	} else {
		/* It may have a store in PID 1 all the same. */
		print_field(0, WIDTH, "Unit", name);
		print_field(0, WIDTH, "State", "unknown to luod; its store is systemd's");
	}
	print_all(entries);
	return LUOCTL_OK;
}
