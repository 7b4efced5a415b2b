/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* harvest: what would become of the fd stores of systemd's services at a kexec. It only looks. */

#include <stdio.h>

#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/luoctl.h"
#include "tools/luoctl/manager.h"
#include "common/table.h"
#include "common/util.h"

/* What to write into a unit whose store is not kept. */
static const char *hint_of(const struct luo_manager_unit *u)
{
	if (u->preserve || streq(u->name, "luod.service"))
		return NULL;
	if (u->preserve_text && streq(u->preserve_text, "on-success"))
		return NULL;
	return "FileDescriptorStorePreserve=yes";
}

static struct json_object *make_row(const struct stores *s, const struct luo_manager_unit *u,
				    const struct luo_manager_fd *fd)
{
	_cleanup_close_ int copy = -EBADF;
	struct luo_manager_verdict v;
	struct json_object *o;

	luo_manager_judge(s->table, u, fd, &v, &copy);
	o = json_strings("unit", u->name, "name", fd->name, "kind", luo_kind_to_string(v.kind),
			 "reason", v.survives ? NULL : v.reason, "sessionName",
			 v.session[0] ? v.session : NULL, "hint", hint_of(u), NULL);
	json_add_bool(o, "survives", v.survives);
	if (v.has_size)
		json_add(o, "size", json_object_new_uint64(v.size));
	return o;
}

static struct json_object *make_rows(const struct stores *s)
{
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->units[i].n_fds; k++)
			json_append(rows, make_row(s, &s->units[i], &s->units[i].fds[k]));
	return rows;
}

static int print_rows(const struct context *c, struct json_object *rows)
{
	static const char *const headers[] = { "UNIT",     "NAME", "KIND", ">SIZE",
					       "SURVIVES", "WHY",  NULL };
	_cleanup_(table_freep) struct table *t = table_new(headers);

	for (size_t i = 0; i < json_length(rows); i++) {
		struct json_object *e = json_at(rows, i);

		table_add(t, json_string(e, "unit"));
		table_add(t, json_string(e, "name"));
		table_add(t, json_string(e, "kind"));
		if (json_has_int(e, "size"))
			table_add_size(t, (uint64_t)json_int(e, "size"));
		else
			table_add(t, NULL);
		table_add(t, json_true(e, "survives") ? "yes" : "no");
		table_add(t, json_string(e, "reason"));
	}
	return table_print(t, c->legend) < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

static void print_hints(const struct stores *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *hint = hint_of(&s->units[i]);

		if (hint && s->units[i].n_fds > 0)
			printf("%s: %s in its [Service] keeps its store (systemctl edit %s).\n",
			       s->units[i].name, hint, s->units[i].name);
	}
}

static void print_legend(const struct stores *s, struct json_object *rows)
{
	size_t n = json_length(rows), survive = 0;
	char size[FORMAT_MAX];
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_at(rows, i);

		survive += json_true(e, "survives");
		bytes += json_true(e, "survives") ? (uint64_t)json_int(e, "size") : 0;
	}
	printf("\n%zu fd%s of %zu unit%s; %zu would survive, %s.\n", n, n == 1 ? "" : "s", s->n,
	       s->n == 1 ? "" : "s", survive, format_size(size, bytes));
	if (s->version >= LUO_MANAGER_NATIVE)
		printf("systemd %u does it itself.\n", s->version);
	print_hints(s);
}

static int print_stores(const struct context *c, const struct stores *s)
{
	_cleanup_json_ struct json_object *rows = make_rows(s), *o = NULL;
	int r;

	if (c->json) {
		o = json_object_new_object();
		json_add(o, "managerVersion", json_object_new_int((int)s->version));
		json_add_bool(o, "native", s->version >= LUO_MANAGER_NATIVE);
		json_add(o, "entries", json_object_get(rows));
		json_print(o);
		return LUOCTL_OK;
	}
	if (json_length(rows) == 0) {
		if (c->legend)
			puts("No service has anything in its fd store.");
		return LUOCTL_OK;
	}
	r = print_rows(c, rows);
	if (r == LUOCTL_OK && c->legend)
		print_legend(s, rows);
	return r;
}

static int explain_stores(int error)
{
	switch (error) {
	case -ENOENT:
		complain("PID 1 is not systemd, there is nothing to harvest");
		return LUOCTL_FAILED;
	case -EACCES:
	case -EPERM:
		complain("cannot ask PID 1: %s", strerror(-error));
		fputs("Try it as root.\n", stderr);
		return LUOCTL_NOT_PERMITTED;
	default:
		complain("cannot ask PID 1: %s", strerror(-error));
		return LUOCTL_FAILED;
	}
}

int verb_harvest(struct context *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dry-run", no_argument, NULL, OPTION_VERB },
		{ 0 },
	};
	_cleanup_stores_ struct stores s = { 0 };
	bool dry_run = false;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		dry_run = true;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = stores_open(&s);
	if (r < 0)
		return explain_stores(r);
	r = print_stores(c, &s);
	if (r == LUOCTL_OK && s.incomplete < 0) {
		complain("PID 1 did not tell everything: %s", strerror(-s.incomplete));
		r = LUOCTL_FAILED;
	}
	if (r == LUOCTL_OK && !dry_run) {
		fflush(stdout);
		complain("luo-harvest.service does it, at the kexec; say --dry-run to see this");
		r = LUOCTL_USAGE;
	}
	return r;
}
