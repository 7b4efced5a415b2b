/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "tools/luoctl/entries.h"
#include "common/json.h"
#include "tools/luoctl/systemd.h"
#include "common/util.h"

/* The fds themselves are not wanted, only that they are where they belong. */
static int collect(const char *reply, int *fds, size_t n_fds, bool continues, void *userdata)
{
	_cleanup_json_ struct json_object *o = json_parse(reply);
	struct json_object *all = userdata, *entries = json_child(o, "entries");

	close_many(fds, n_fds);
	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *entry = json_at(entries, i);

		json_object_object_del(entry, "fileDescriptor");
		json_append(all, json_object_get(entry));
	}
	return 0;
}

static int claim(struct context *c, struct json_object *parameters, struct json_object *entries)
{
	const char *text = json_to_text(parameters);
	int r;

	if (!text) {
		complain("cannot claim: out of memory");
		return LUOCTL_FAILED;
	}
	r = connect_to_luod(c);
	if (r != LUOCTL_OK)
		return r;
	r = luo_client_call_more(c->client, "Claim", text, collect, entries);
	return r < 0 ? explain(c, "claim", r) : LUOCTL_OK;
}

/* The claim has been done, whatever becomes of this. */
static void tell_systemd(const struct context *c, const char *unit)
{
	bool done;
	int r;

	r = systemd_reload_for(unit, &done);
	if (r != 0)
		complain(
			"systemd does not know it yet: run systemctl daemon-reload, so that %s gets it at its next start",
			unit);
	else if (done && !c->json)
		printf("systemd was told (daemon-reload): %s gets it at its next start.\n", unit);
}

int verb_claim(struct context *c, int argc, char **argv)
{
	enum { UNIT = OPTION_VERB, NAME };
	static const struct option options[] = {
		{ "unit", required_argument, NULL, UNIT },
		{ "name", required_argument, NULL, NAME },
		{ 0 },
	};
	_cleanup_json_ struct json_object *parameters = NULL, *reply = NULL;
	const char *to = NULL, *name = NULL;
	_cleanup_json_ struct json_object *entries = NULL;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == UNIT)
			to = optarg;
		else
			name = optarg;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 1, 1) || !unit_is_valid(c, argv[optind]) ||
	    (to && !unit_is_valid(c, to)) || (name && !name_is_valid(c, name)))
		return LUOCTL_USAGE;

	parameters = json_strings("unit", argv[optind], "name", name, "to", to, NULL);
	reply = json_object_new_object();
	entries = json_object_new_array();
	json_add(reply, "entries", json_object_get(entries));
	r = claim(c, parameters, entries);
	if (r != LUOCTL_OK)
		return r;
	if (c->json)
		json_print(reply);
	else
		r = print_entries(c, entries);
	if (r == LUOCTL_OK && to)
		tell_systemd(c, to);
	return r;
}
