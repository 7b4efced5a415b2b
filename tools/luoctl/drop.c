/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>

#include "tools/luoctl/entries.h"
#include "common/format.h"
#include "common/json.h"
#include "common/util.h"

/* What would go; it may be another number by the time that it goes. */
static size_t count(struct json_object *entries, const char *name, uint64_t *ret_bytes)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);
		const char *s = json_string(e, "name");

		if (name && (!s || !streq(s, name)))
			continue;
		n++;
		if (!json_true(e, "alias"))
			bytes += (uint64_t)json_int(e, "size");
	}
	*ret_bytes = bytes;
	return n;
}

static int confirm(struct context *c, const char *unit, const char *name, const char *state)
{
	_cleanup_json_ struct json_object *entries = NULL;
	_cleanup_free_ char *line = NULL;
	char size[FORMAT_MAX];
	size_t allocated = 0, n;
	uint64_t bytes;
	int r;

	if (!isatty(STDIN_FILENO))
		return usage_error(c, "drop frees memory for good: say --yes if that is meant");
	r = ask_entries(c, "see what there is to drop", unit, state, &entries);
	if (r != LUOCTL_OK)
		return r;
	n = count(entries, name, &bytes);
	fprintf(stderr, "Free %zu fd%s (%s) of unit %s for good? [y/N] ", n, n == 1 ? "" : "s",
		format_size(size, bytes), unit);
	if (getline(&line, &allocated, stdin) > 0 && (line[0] == 'y' || line[0] == 'Y'))
		return LUOCTL_OK;
	complain("nothing was dropped");
	return LUOCTL_FAILED;
}

static int drop(struct context *c, const char *unit, const char *name, const char *state)
{
	_cleanup_json_ struct json_object *reply = NULL;
	char size[FORMAT_MAX];
	int64_t n;
	int r;

	r = ask(c, "drop", "Drop", json_strings("unit", unit, "name", name, "state", state, NULL),
		&reply);
	if (r != LUOCTL_OK)
		return r;
	n = json_int(reply, "dropped");
	if (c->json)
		json_print(reply);
	else if (c->legend)
		printf("Dropped %" PRId64 " fd%s of unit %s, %s.\n", n, n == 1 ? "" : "s", unit,
		       format_size(size, (uint64_t)json_int(reply, "bytes")));
	return LUOCTL_OK;
}

int verb_drop(struct context *c, int argc, char **argv)
{
	enum { STATE = OPTION_VERB, YES };
	static const struct option options[] = {
		{ "state", required_argument, NULL, STATE },
		{ "yes", no_argument, NULL, YES },
		{ 0 },
	};
	const char *state = NULL, *unit, *name;
	bool yes = false;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == STATE)
			state = optarg;
		else
			yes = true;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 1, 2) || (state && !state_is_valid(c, state)))
		return LUOCTL_USAGE;
	unit = argv[optind];
	name = argc - optind > 1 ? argv[optind + 1] : NULL;
	if (!unit_is_valid(c, unit) || (name && !name_is_valid(c, name)))
		return LUOCTL_USAGE;
	if (!yes) {
		r = confirm(c, unit, name, state);
		if (r != LUOCTL_OK)
			return r;
	}
	return drop(c, unit, name, state);
}
