/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The document at token 0, from a file or from luod: checked as a restore would check it, and
 * printed so that a person can read it.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include <luo/mapping.h>

#include "common/escape.h"
#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/luoctl.h"
#include "common/table.h"
#include "tools/luoctl/text.h"
#include "common/read-file.h"
#include "common/util.h"

#define WIDTH 10

/* ---- the text -------------------------------------------------------------------------------- */

static int refuse(const struct context *c, const char *from, int error, const char *reason)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *safe = escape(reason ?: strerror(-error));

	if (c->json) {
		o = json_strings("error", reason ?: strerror(-error), NULL);
		json_print(o);
	}
	complain("%s is not a mapping that can be restored: %s", from, safe ?: "?");
	return LUOCTL_FAILED;
}

static int from_file(const struct context *c, const char *path, char **ret_text, size_t *ret_size)
{
	_cleanup_close_ int opened = -EBADF;
	int fd = STDIN_FILENO, r;

	if (!streq(path, "-")) {
		opened = fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			complain("cannot open %s: %m", path);
			return LUOCTL_FAILED;
		}
	}
	r = read_stream(fd, LUO_MAPPING_SIZE_MAX, ret_text, ret_size);
	if (r == -EFBIG)
		return refuse(c, path, r, "larger than 64 MiB");
	if (r < 0) {
		complain("cannot read %s: %s", path, strerror(-r));
		return LUOCTL_FAILED;
	}
	return LUOCTL_OK;
}

static int from_luod(struct context *c, const char *session, char **ret_text, size_t *ret_size)
{
	_cleanup_json_ struct json_object *reply = NULL;
	int r;

	r = ask(c, "get the mapping", "GetMapping", json_strings("session", session, NULL), &reply);
	if (r != LUOCTL_OK)
		return r;
	if (!json_string(reply, "mapping"))
		return explain(c, "get the mapping", -EBADMSG);
	*ret_text = strdup(json_string(reply, "mapping"));
	if (!*ret_text) {
		complain("out of memory");
		return LUOCTL_FAILED;
	}
	*ret_size = strlen(*ret_text);
	return LUOCTL_OK;
}

static int print_raw(const char *text, size_t size)
{
	if (isatty(STDOUT_FILENO) && !text_is_safe(text, size)) {
		complain(
			"there are control characters in it, which a terminal would obey; write it to a file");
		return LUOCTL_FAILED;
	}
	fwrite(text, 1, size, stdout);
	if (size > 0 && text[size - 1] != '\n')
		putchar('\n');
	return LUOCTL_OK;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_moment(const char *name, const struct luo_timestamp *t)
{
	time_t seconds = (time_t)(t->realtime / USEC_PER_SEC);
	char buffer[64];
	struct tm tm;

	if (t->realtime == 0 || !gmtime_r(&seconds, &tm))
		return;
	strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S UTC", &tm);
	print_field(0, WIDTH, name, buffer);
}

static void print_head(const struct luo_mapping *m)
{
	struct luo_mapping_state state = { .struct_size = sizeof(state) };
	const struct luo_store *store = luo_mapping_get_store(m);

	print_field_f(0, WIDTH, "Generation", "%s, version %" PRIu64,
		      luo_mapping_generation_to_string(luo_mapping_get_generation(m)),
		      luo_mapping_get_version(m));
	if (luo_mapping_get_state(m, &state) == 0) {
		if (state.have_kexec_count)
			print_field_f(0, WIDTH, "Updates", "%" PRIu64 " before this one",
				      state.kexec_count);
		print_moment("Shutdown", &state.shutdown_start);
	}
	for (size_t i = 0; i < luo_mapping_n_spills(m); i++)
		print_field(0, WIDTH, "Spills to", luo_mapping_spill_at(m, i));
	print_field_f(0, WIDTH, "Units", "%zu", luo_store_n_units(store));
	print_field_f(0, WIDTH, "Entries", "%zu", luo_store_n_entries(store));
}

static const char *session_of(const struct luo_mapping *m, const struct luo_entry *e)
{
	if (luo_entry_get_type(e) == LUO_ENTRY_SESSION)
		return luo_entry_get_session_name(e);
	if (luo_entry_get_session(e) > 0)
		return luo_mapping_spill_at(m, luo_entry_get_session(e) - 1);
	return NULL;
}

static void add_row(struct table *t, const struct luo_mapping *m, const struct luo_entry *e)
{
	bool is_session = luo_entry_get_type(e) == LUO_ENTRY_SESSION;
	uint64_t size;

	table_add(t, luo_unit_get_name(luo_entry_get_unit(e)));
	table_add(t, luo_entry_get_name(e));
	table_add(t, is_session               ? "session"
		     : luo_entry_is_alias(e)  ? "alias"
		     : luo_entry_is_packed(e) ? "packed"
					      : "fd");
	if (is_session)
		table_add(t, NULL);
	else
		table_add_number(t, (int64_t)luo_entry_get_token(e));
	table_add(t, session_of(m, e));
	if (luo_entry_get_size(e, &size) == 0)
		table_add_size(t, size);
	else
		table_add(t, NULL);
	table_add(t, luo_entry_get_file_name(e));
}

static int print_table(const struct context *c, const struct luo_mapping *m)
{
	static const char *const headers[] = { "UNIT",    "NAME",  "TYPE",      ">TOKEN",
					       "SESSION", ">SIZE", "FILE NAME", NULL };
	_cleanup_(table_freep) struct table *t = table_new(headers);
	struct luo_unit *u;
	struct luo_entry *e;

	if (luo_store_n_entries(luo_mapping_get_store(m)) == 0)
		return LUOCTL_OK;
	LUO_FOREACH_UNIT (u, luo_mapping_get_store(m))
		LUO_FOREACH_ENTRY (e, u)
			add_row(t, m, e);
	if (c->legend)
		putchar('\n');
	return table_print(t, c->legend) < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

static void print_issues(const struct luo_mapping *m)
{
	size_t n = luo_mapping_n_issues(m), i;
	const char *where, *what;

	if (n > 0)
		printf("\n%zu problem%s; what they are about is skipped:\n", n, n == 1 ? "" : "s");
	for (i = 0; luo_mapping_issue_at(m, i, &where, &what) == 0; i++) {
		_cleanup_free_ char *safe_where = escape(where);
		_cleanup_free_ char *safe_what = escape(what);

		printf("  %s: %s\n", safe_where ?: "?", safe_what ?: "?");
	}
	if (n > i)
		printf("  and %zu more\n", n - i);
}

/* ---- for programs ---------------------------------------------------------------------------- */

static struct json_object *json_issues(const struct luo_mapping *m)
{
	struct json_object *issues = json_object_new_array();
	const char *where, *what;

	for (size_t i = 0; luo_mapping_issue_at(m, i, &where, &what) == 0; i++)
		json_append(issues, json_strings("where", where, "what", what, NULL));
	return issues;
}

/* The document as a commit would write it, whatever generation it was, and what was said of it. */
static int print_json(const struct luo_mapping *m)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	const struct luo_store *store = luo_mapping_get_store(m);
	_cleanup_free_ char *text = NULL;
	int r;

	r = luo_mapping_format(m, 0, &text, NULL);
	if (r < 0) {
		complain("cannot format the mapping: %s", strerror(-r));
		return LUOCTL_FAILED;
	}
	json_add_string(o, "generation",
			luo_mapping_generation_to_string(luo_mapping_get_generation(m)));
	json_add(o, "version", json_object_new_uint64(luo_mapping_get_version(m)));
	json_add(o, "units", json_object_new_uint64(luo_store_n_units(store)));
	json_add(o, "entries", json_object_new_uint64(luo_store_n_entries(store)));
	json_add(o, "problems", json_object_new_uint64(luo_mapping_n_issues(m)));
	json_add(o, "issues", json_issues(m));
	json_add(o, "mapping", json_parse(text));
	json_print(o);
	return LUOCTL_OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int print(const struct context *c, const char *from, const char *text, size_t size)
{
	_cleanup_free_ char *reason = NULL;
	struct luo_mapping *m;
	size_t n_issues;
	int r;

	r = luo_mapping_parse(text, size, &m, &reason);
	if (r < 0)
		return refuse(c, from, r, reason);
	if (c->json) {
		r = print_json(m);
	} else {
		if (c->legend)
			print_head(m);
		r = print_table(c, m);
		if (r == LUOCTL_OK)
			print_issues(m);
	}
	n_issues = luo_mapping_n_issues(m);
	luo_mapping_free(m);
	return r == LUOCTL_OK && n_issues > 0 ? LUOCTL_FAILED : r;
}

int verb_mapping(struct context *c, int argc, char **argv)
{
	enum { SESSION = OPTION_VERB, RAW };
	static const struct option options[] = {
		{ "session", required_argument, NULL, SESSION },
		{ "raw", no_argument, NULL, RAW },
		{ 0 },
	};
	_cleanup_free_ char *text = NULL;
	const char *session = NULL, *path;
	bool raw = false;
	size_t size;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == SESSION)
			session = optarg;
		else
			raw = true;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 1))
		return LUOCTL_USAGE;
	path = argv[optind];
	if (path && session)
		return usage_error(c, "a file and --session exclude each other");
	r = path ? from_file(c, path, &text, &size) : from_luod(c, session, &text, &size);
	if (r != LUOCTL_OK)
		return r;
	if (raw)
		return print_raw(text, size);
	return print(c, path ?: "what luod has", text, size);
}
