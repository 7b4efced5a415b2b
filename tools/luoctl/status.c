/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/escape.h"
#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/luoctl.h"
#include "manager/manager.h"
#include "tools/luoctl/status-manager.h"
#include "common/table.h"
#include "common/util.h"

#define WIDTH 11

/* Of the enough that there may be. */
#define ISSUES_SHOWN 10

static const char *live_update_text(const char *s)
{
	if (s && streq(s, "on"))
		return "on";
	if (s && streq(s, "off"))
		return "off; it is switched on with kho=on liveupdate=on on the kernel's command line";
	if (s && streq(s, "none"))
		return "this kernel has none";
	return s;
}

/* What the last kernel did with the fd stores of systemd, on its way out. */
static void print_shutdown(struct json_object *shutdown)
{
	_cleanup_free_ char *failure = NULL;
	char size[FORMAT_MAX], took[FORMAT_MAX], age[FORMAT_MAX], text[96] = "";

	if (!shutdown)
		return;
	if (json_string(shutdown, "failure")) {
		failure = escape(json_string(shutdown, "failure"));
		print_field(0, WIDTH, "Shutdown", failure);
		return;
	}
	if (json_int(shutdown, "lost") > 0)
		snprintf(text, sizeof(text), ", %" PRId64 " lost", json_int(shutdown, "lost"));
	print_field_f(0, WIDTH, "Shutdown",
		      "%" PRId64 " of %" PRId64 " fds of services handed over, %s in %s%s, %s ago",
		      json_int(shutdown, "preserved"), json_int(shutdown, "entries"),
		      format_size(size, (uint64_t)json_int(shutdown, "bytes")),
		      format_usec(took, (uint64_t)json_int(shutdown, "usec")), text,
		      format_age(age, (uint64_t)json_int(shutdown, "when")));
}

static void print_manager(struct json_object *s)
{
	int64_t version = json_int(s, "managerVersion");

	if (version > 0)
		print_field_f(0, WIDTH, "systemd", "%" PRId64 "%s", version,
			      version >= LUO_MANAGER_NATIVE
				      ? ", which hands its fd stores over itself"
				      : ", whose fd stores luod hands over");
}

/* A kernel's own clock starts with it, so only the wall clock tells anything here. */
static void print_moment(struct json_object *s, const char *key, const char *label)
{
	struct json_object *moment = json_child(s, key);
	int64_t usec = json_int(moment, "realtime");
	time_t seconds = (time_t)(usec / 1000000);
	char text[64];
	struct tm tm;

	if (usec <= 0 || !localtime_r(&seconds, &tm))
		return;
	if (strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return;
	print_field_f(0, WIDTH, label, "%s.%06" PRId64, text, usec % 1000000);
}

static void print_moments(struct json_object *s)
{
	print_moment(s, "shutdownStart", "Stopping");
	print_moment(s, "shutdownFinish", "Stopped");
	print_moment(s, "shutdownLateStart", "Late start");
	print_moment(s, "shutdownLateFinish", "Late end");
}

static void print_luod(struct json_object *s)
{
	char buffer[FORMAT_MAX];

	print_field_f(0, WIDTH, "luod", "%s, pid %" PRId64, json_string(s, "version") ?: "?",
		      json_int(s, "pid"));
	if (json_int(s, "startedAt") > 0)
		print_field_f(0, WIDTH, "Started", "%s ago, restarted %" PRId64 " times",
			      format_age(buffer, (uint64_t)json_int(s, "startedAt")),
			      json_int(s, "restarts"));
	print_field(0, WIDTH, "Kept by", json_string(s, "keeper"));
	print_field(0, WIDTH, "Kernel", json_string(s, "kernel"));
	if (json_has_int(s, "kexecCount"))
		print_field_f(0, WIDTH, "Updates", "%" PRId64 " since the last cold boot",
			      json_int(s, "kexecCount"));
	print_moments(s);
	print_shutdown(json_child(s, "lastShutdown"));
	print_manager(s);
	print_field(0, WIDTH, "Live update", live_update_text(json_string(s, "liveUpdate")));
	print_field_f(0, WIDTH, "Commit", "%s%s", json_string(s, "commit") ?: "?",
		      json_true(s, "stale") ? ", and the store has changed since: commit again"
					    : "");
}

static void print_numbers(struct json_object *s)
{
	char size[FORMAT_MAX];

	print_field_f(0, WIDTH, "Units", "%" PRId64, json_int(s, "units"));
	print_field_f(0, WIDTH, "Stored", "%" PRId64 " fds of at most %" PRId64,
		      json_int(s, "stored"), json_int(s, "fdstoreMaxTotal"));
	print_field_f(0, WIDTH, "Held", "%" PRId64 " fds from the previous kernel",
		      json_int(s, "held"));
	if (json_int(s, "lost") > 0)
		print_field_f(0, WIDTH, "Lost", "%" PRId64 " fds that the kernel could not restore",
			      json_int(s, "lost"));
	print_field(0, WIDTH, "Size", format_size(size, (uint64_t)json_int(s, "bytes")));
}

static void print_issues(struct json_object *issues)
{
	size_t n = json_length(issues);

	for (size_t i = 0; i < n && i < ISSUES_SHOWN; i++) {
		struct json_object *issue = json_at(issues, i);
		_cleanup_free_ char *where = escape(json_string(issue, "where") ?: "?");
		_cleanup_free_ char *what = escape(json_string(issue, "what") ?: "?");

		printf("    skipped: %s: %s\n", where ?: "?", what ?: "?");
	}
	if (n > ISSUES_SHOWN)
		printf("    and %zu more\n", n - ISSUES_SHOWN);
}

static void print_session(struct json_object *s)
{
	_cleanup_free_ char *name = escape(json_string(s, "name") ?: "?");
	_cleanup_free_ char *direction = escape(json_string(s, "direction") ?: "?");
	_cleanup_free_ char *reason = escape(json_string(s, "reason") ?: "?");
	const char *state = json_string(s, "state") ?: "?";

	printf("  %s: %s", name ?: "?", direction ?: "?");
	if (streq(state, "unreadable"))
		printf(", unreadable: %s; it is held and never freed", reason ?: "?");
	else
		printf(", %" PRId64 " fds, %" PRId64 " not claimed", json_int(s, "entries"),
		       json_int(s, "unclaimed"));
	putchar('\n');
	print_issues(json_child(s, "issues"));
}

static void print_problems(const char *title, struct json_object *problems)
{
	if (json_length(problems) > 0)
		printf("\n%s:\n", title);
	for (size_t i = 0; i < json_length(problems); i++) {
		_cleanup_free_ char *text =
			escape(json_object_get_string(json_at(problems, i)) ?: "?");

		printf("  %s\n", text ?: "?");
	}
}

int verb_status(struct context *c, int argc, char **argv)
{
	_cleanup_json_ struct json_object *status = NULL;
	struct json_object *sessions;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = ask_plain(c, "get the status", "Status", &status);
	if (r != LUOCTL_OK)
		return r;
	add_from_manager(status);
	if (c->json) {
		json_print(status);
		return LUOCTL_OK;
	}
	print_luod(status);
	print_numbers(status);
	sessions = json_child(status, "sessions");
	if (json_length(sessions) > 0)
		puts("\nSessions:");
	for (size_t i = 0; i < json_length(sessions); i++)
		print_session(json_at(sessions, i));
	print_problems("Problems", json_child(status, "problems"));
	print_problems("Of the last shutdown",
		       json_child(json_child(status, "lastShutdown"), "problems"));
	return LUOCTL_OK;
}
