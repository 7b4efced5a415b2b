/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* check: is this machine ready for a live update, and what will it cost? */

#include <stdarg.h>
#include <stdio.h>

#include "tools/luoctl/check.h"
#include "common/escape.h"
#include "common/json.h"
#include "common/util.h"

static const char *const level_names[] = { "ok", "unknown", "warning", "failed" };
static const char *const level_marks[] = { "ok", "?", "warn", "FAIL" };

static char *format_text(const char *format, va_list ap)
	__attribute__((__format__(__printf__, 1, 0)));
static char *format_text(const char *format, va_list ap)
{
	char *text;

	return vasprintf(&text, format, ap) < 0 ? NULL : text;
}

struct json_object *check_add(struct check *check, enum level level, const char *what,
			      const char *advice, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *item;
	va_list ap;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	item = json_strings("check", what, "result", level_names[level], "text", text, "advice",
			    advice, NULL);
	json_append(check->items, item);
	check->n[level]++;
	/* Not @item, which is gone if it could not be appended. */
	return json_at(check->items, json_length(check->items) - 1);
}

void check_detail(struct json_object *item, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *details = json_child(item, "details");
	va_list ap;

	va_start(ap, format);
	text = format_text(format, ap);
	va_end(ap);
	if (details) {
		json_append_string(details, text ?: "?");
		return;
	}
	details = json_object_new_array();
	json_append_string(details, text ?: "?");
	json_add(item, "details", details);
}

static const char *mark_of(struct json_object *item)
{
	const char *result = json_string(item, "result");

	for (size_t i = 0; result && i < ELEMENTSOF(level_names); i++)
		if (streq(level_names[i], result))
			return level_marks[i];
	return "?";
}

static void print_item(struct json_object *item)
{
	_cleanup_free_ char *text = escape(json_string(item, "text") ?: "?");
	struct json_object *details = json_child(item, "details");

	printf("%-4s  %s: %s\n", mark_of(item), json_string(item, "check") ?: "?", text ?: "?");
	for (size_t i = 0; i < json_length(details); i++) {
		_cleanup_free_ char *line =
			escape(json_object_get_string(json_at(details, i)) ?: "?");

		printf("        %s\n", line ?: "?");
	}
	if (json_string(item, "advice"))
		printf("      -> %s\n", json_string(item, "advice"));
}

static void print_verdict(const struct check *check)
{
	size_t failed = check->n[CHECK_FAILED], warnings = check->n[CHECK_WARNING];

	putchar('\n');
	if (failed > 0)
		printf("Not ready: %zu check%s failed.\n", failed, failed == 1 ? "" : "s");
	else if (warnings > 0)
		printf("Ready, with %zu warning%s.\n", warnings, warnings == 1 ? "" : "s");
	else
		puts("Ready.");
}

static void print_check(const struct check *check)
{
	_cleanup_json_ struct json_object *o = NULL;

	if (check->context->json) {
		o = json_object_new_object();
		json_add_bool(o, "ready", check->n[CHECK_FAILED] == 0);
		json_add(o, "checks", json_object_get(check->items));
		json_print(o);
		return;
	}
	for (size_t i = 0; i < json_length(check->items); i++)
		print_item(json_at(check->items, i));
	if (check->context->legend)
		print_verdict(check);
}

int verb_check(struct context *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "kernel", required_argument, NULL, OPTION_VERB },
		{ 0 },
	};
	struct check check = { .context = c };
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		check.kernel = optarg;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	check.items = json_object_new_array();
	check_kernel(&check);
	check_kexec(&check);
	check_abi(&check);
	check_luod(&check);
	check_systemd(&check);
	if (!json_is_complete(check.items)) {
		json_object_put(check.items);
		complain("out of memory");
		return LUOCTL_FAILED;
	}
	print_check(&check);
	json_object_put(check.items);
	return check.n[CHECK_FAILED] > 0 ? LUOCTL_NOT_READY : LUOCTL_OK;
}
