/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "tools/luoctl/entries.h"
#include "common/json.h"
#include "common/table.h"
#include "common/util.h"

static int list_units(struct context *c, const char *unit)
{
	static const char *const headers[] = { "UNIT",  ">STORED", ">HELD",  ">MAX",
					       ">SIZE", "READY",   "STATUS", NULL };
	_cleanup_json_ struct json_object *reply = NULL;
	_cleanup_(table_freep) struct table *t = NULL;
	struct json_object *units;
	int r;

	r = ask(c, "list the units", "ListUnits", json_strings("unit", unit, NULL), &reply);
	if (r != LUOCTL_OK)
		return r;
	if (c->json) {
		json_print(reply);
		return LUOCTL_OK;
	}
	units = json_child(reply, "units");
	if (json_length(units) == 0) {
		if (c->legend)
			puts("No units.");
		return LUOCTL_OK;
	}
	t = table_new(headers);
	for (size_t i = 0; i < json_length(units); i++) {
		struct json_object *u = json_at(units, i);

		table_add(t, json_string(u, "name"));
		table_add_number(t, json_int(u, "stored"));
		table_add_number(t, json_int(u, "held"));
		table_add_number(t, json_int(u, "fdstoreMax"));
		table_add_size(t, (uint64_t)json_int(u, "bytes"));
		table_add(t, json_true(u, "stopping") ? "stopping"
			     : json_true(u, "ready")  ? "yes"
						      : "no");
		table_add(t, json_string(u, "status"));
	}
	return table_print(t, c->legend) < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

/* For programs that do not want to know what time it is: seconds since it was stored. */
static void add_ages(struct json_object *entries)
{
	int64_t now = (int64_t)now_usec(CLOCK_REALTIME);

	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);
		int64_t at = json_int(e, "storedAt");

		if (at > 0)
			json_add(e, "ageSeconds",
				 json_object_new_int64(now > at ? (now - at) / 1000000 : 0));
	}
}

static int list_entries(struct context *c, const char *unit, const char *state)
{
	_cleanup_json_ struct json_object *entries = NULL, *all = NULL;
	int r;

	r = ask_all_entries(c, "list the fds", unit, state, &entries);
	if (r != LUOCTL_OK)
		return r;
	if (!c->json)
		return print_entries(c, entries);
	add_ages(entries);
	all = json_object_new_object();
	json_add(all, "entries", json_object_get(entries));
	json_print(all);
	return LUOCTL_OK;
}

int verb_list(struct context *c, int argc, char **argv)
{
	enum { STATE = OPTION_VERB, UNITS };
	static const struct option options[] = {
		{ "state", required_argument, NULL, STATE },
		{ "units", no_argument, NULL, UNITS },
		{ 0 },
	};
	const char *state = NULL, *unit;
	bool units = false;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == STATE)
			state = optarg;
		else
			units = true;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 1) || (state && !state_is_valid(c, state)))
		return LUOCTL_USAGE;
	if (units && state)
		return usage_error(c, "--units and --state exclude each other");
	unit = argv[optind];
	if (unit && !unit_is_valid(c, unit))
		return LUOCTL_USAGE;
	return units ? list_units(c, unit) : list_entries(c, unit, state);
}
