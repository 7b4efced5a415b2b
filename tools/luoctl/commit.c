/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* preserve, commit and abort: one call, and the report on it. */

#include <inttypes.h>
#include <stdio.h>

#include <luo/session.h>

#include "tools/luoctl/commit.h"
#include "common/format.h"
#include "common/json.h"
#include "common/table.h"
#include "common/util.h"

int ask_commit(struct context *c, const struct commit_options *options,
	       struct json_object **ret_reply)
{
	struct json_object *parameters = json_strings("sessionName", options->session, NULL);

	if (options->dry_run)
		json_add_bool(parameters, "dryRun", true);
	if (options->max_files > 0)
		json_add(parameters, "maxFilesPerSession",
			 json_object_new_uint64(options->max_files));
	return ask(c, options->dry_run ? "preserve" : "commit", "Commit", parameters, ret_reply);
}

size_t count_results(struct json_object *reply, const char *result)
{
	struct json_object *results = json_child(reply, "results");
	size_t n = 0;

	for (size_t i = 0; i < json_length(results); i++) {
		const char *s = json_string(json_at(results, i), "result");

		n += s && streq(s, result);
	}
	return n;
}

static void add_row(struct table *t, struct json_object *result)
{
	const char *alias_of = json_string(result, "aliasOf");
	_cleanup_free_ char *text = NULL;

	table_add(t, json_string(result, "unit"));
	table_add(t, json_string(result, "name"));
	table_add(t, json_string(result, "result"));
	table_add_size(t, (uint64_t)json_int(result, "bytes"));
	table_add_usec(t, (uint64_t)json_int(result, "usec"));
	if (alias_of && asprintf(&text, "same file as %s", alias_of) < 0)
		text = NULL;
	table_add(t, text ?: json_string(result, "reason"));
}

static void print_total(struct json_object *reply)
{
	int64_t sessions = json_int(reply, "sessions");
	char size[FORMAT_MAX], usec[FORMAT_MAX];

	printf("%" PRId64 " preserved, %" PRId64 " lost, %s in %" PRId64 " session%s, %s\n",
	       json_int(reply, "preserved"), json_int(reply, "lost"),
	       format_size(size, (uint64_t)json_int(reply, "bytes")), sessions,
	       sessions == 1 ? "" : "s", format_usec(usec, (uint64_t)json_int(reply, "usec")));
}

int print_commit(const struct context *c, struct json_object *reply)
{
	static const char *const headers[] = { "UNIT",  "NAME", "RESULT", ">SIZE",
					       ">TIME", "NOTE", NULL };
	_cleanup_(table_freep) struct table *t = NULL;
	struct json_object *results = json_child(reply, "results");

	if (json_length(results) > 0) {
		t = table_new(headers);
		for (size_t i = 0; i < json_length(results); i++)
			add_row(t, json_at(results, i));
		if (table_print(t, c->legend) < 0)
			return LUOCTL_FAILED;
		if (c->legend)
			putchar('\n');
	}
	if (c->legend)
		print_total(reply);
	return LUOCTL_OK;
}

bool session_is_valid(const struct context *c, const char *session)
{
	if (luo_session_name_is_valid(session))
		return true;
	usage_error(c, "that is no name of a session: 1 to %d printable characters without '/'",
		    LUO_SESSION_NAME_MAX);
	return false;
}

enum { SESSION = OPTION_VERB, MAX_FILES, KEEP };

static const struct option preserve_options[] = {
	{ "session", required_argument, NULL, SESSION },
	{ "max-files-per-session", required_argument, NULL, MAX_FILES },
	{ "keep", no_argument, NULL, KEEP },
	{ 0 },
};

static const struct option commit_options[] = {
	{ "session", required_argument, NULL, SESSION },
	{ "max-files-per-session", required_argument, NULL, MAX_FILES },
	{ 0 },
};

static bool take_option(struct context *c, struct commit_options *o, int option)
{
	switch (option) {
	case SESSION:
		o->session = optarg;
		return session_is_valid(c, optarg);
	case MAX_FILES:
		return parse_number("max-files-per-session", optarg, INT32_MAX, &o->max_files);
	default:
		o->dry_run = false;
		return true;
	}
}

static int run(struct context *c, const struct commit_options *o)
{
	_cleanup_json_ struct json_object *reply = NULL;
	int r;

	r = ask_commit(c, o, &reply);
	if (r != LUOCTL_OK)
		return r;
	if (c->json) {
		json_add_bool(reply, "dryRun", o->dry_run);
		json_print(reply);
		return LUOCTL_OK;
	}
	r = print_commit(c, reply);
	if (r == LUOCTL_OK && c->legend)
		puts(o->dry_run ? "Undone again." : "Committed, until the kexec or luoctl abort.");
	return r;
}

static int parse_and_run(struct context *c, int argc, char **argv, const struct option *options,
			 struct commit_options *o)
{
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (!take_option(c, o, option))
			return LUOCTL_USAGE;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	return run(c, o);
}

int verb_preserve(struct context *c, int argc, char **argv)
{
	struct commit_options o = { .dry_run = true };

	return parse_and_run(c, argc, argv, preserve_options, &o);
}

int verb_commit(struct context *c, int argc, char **argv)
{
	struct commit_options o = { 0 };

	return parse_and_run(c, argc, argv, commit_options, &o);
}

int verb_abort(struct context *c, int argc, char **argv)
{
	_cleanup_json_ struct json_object *reply = NULL;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = ask_plain(c, "abort", "Abort", &reply);
	if (r != LUOCTL_OK)
		return r;
	if (c->json)
		json_print(reply);
	else if (c->legend)
		puts(json_true(reply, "aborted") ? "The commit is undone."
						 : "There was no commit.");
	return LUOCTL_OK;
}
