/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* luod: is it there, is it well, and what does it hold that nobody understands? */

#include <stdio.h>

#include "tools/luoctl/check.h"
#include "common/json.h"
#include "common/util.h"

/* Like ask(), but what goes wrong is a finding. */
static struct json_object *ask_quietly(struct check *check, const char *method)
{
	struct context *c = check->context;
	_cleanup_free_ char *text = NULL;
	const char *said;
	int r = 0;

	if (!c->client)
		r = luo_client_connect(c->socket, c->timeout_usec, &c->client);
	if (r < 0) {
		check_add(check, CHECK_FAILED, "luod", "Start it.", "not reachable: %s",
			  strerror(-r));
		return NULL;
	}
	r = luo_client_call(c->client, method, NULL, NULL, 0, &text, NULL, NULL);
	if (r < 0) {
		luo_client_error(c->client, NULL, &said);
		check_add(check, CHECK_FAILED, "luod", NULL, "%s fails: %s", method,
			  said ?: strerror(-r));
		return NULL;
	}
	return json_parse(text);
}

static void check_sessions(struct check *check, struct json_object *sessions)
{
	for (size_t i = 0; i < json_length(sessions); i++) {
		struct json_object *s = json_at(sessions, i);
		const char *state = json_string(s, "state") ?: "?";
		size_t issues = json_length(json_child(s, "issues"));

		if (streq(state, "unreadable"))
			check_add(check, CHECK_WARNING, "session", NULL,
				  "%s is unreadable (%s): it is held, and carried along",
				  json_string(s, "name") ?: "?", json_string(s, "reason") ?: "?");
		else if (issues > 0)
			check_add(check, CHECK_WARNING, "session", "luoctl status lists them.",
				  "%s: %zu entr%s skipped", json_string(s, "name") ?: "?", issues,
				  issues == 1 ? "y was" : "ies were");
	}
}

static void check_status(struct check *check, struct json_object *status)
{
	struct json_object *problems = json_child(status, "problems"), *item;
	const char *live_update = json_string(status, "liveUpdate") ?: "?";

	if (!streq(live_update, "on"))
		check_add(check, CHECK_FAILED, "luod", NULL,
			  "runs as a plain fd store, without live update");
	else if (json_length(problems) == 0)
		check_add(check, CHECK_OK, "luod", NULL, "version %s, pid %lld",
			  json_string(status, "version") ?: "?",
			  (long long)json_int(status, "pid"));
	if (json_length(problems) > 0) {
		item = check_add(check, CHECK_WARNING, "luod", NULL, "has problems");
		for (size_t i = 0; i < json_length(problems); i++)
			check_detail(item, "%s", json_object_get_string(json_at(problems, i)));
	}
	if (json_int(status, "lost") > 0)
		check_add(check, CHECK_WARNING, "lost", "luoctl list --state lost names them.",
			  "%lld fds could not be restored by the kernel",
			  (long long)json_int(status, "lost"));
}

void check_luod(struct check *check)
{
	_cleanup_json_ struct json_object *status = NULL, *list = NULL;

	status = ask_quietly(check, "Status");
	if (!status)
		return;
	check_status(check, status);
	check_sessions(check, json_child(status, "sessions"));
	list = ask_quietly(check, "ListEntries");
	if (list)
		check_store(check, json_child(list, "entries"));
}
