/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* heap check: does all that is in a heap fit together? */

#include <inttypes.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/format.h"
#include "tools/luoctl/heap.h"
#include "common/json.h"
#include "common/util.h"

#define LOOKS_MAX  4
#define LISTED_MAX 1000 /* a heap that was made to have problems has one for each page */

static void add_problem(const char *text, void *userdata)
{
	if (json_length(userdata) < LISTED_MAX)
		json_append_string(userdata, text);
}

static bool contains(struct json_object *problems, const char *text)
{
	for (size_t i = 0; i < json_length(problems); i++)
		if (streq(json_object_get_string(json_at(problems, i)), text))
			return true;
	return false;
}

/* Those of @now that were there before; takes both over. */
static struct json_object *in_both(struct json_object *before, struct json_object *now)
{
	_cleanup_json_ struct json_object *a = before, *b = now;
	struct json_object *both = json_object_new_array();

	for (size_t i = 0; i < json_length(b); i++)
		if (contains(a, json_object_get_string(json_at(b, i))))
			json_append(both, json_object_get(json_at(b, i)));
	return both;
}

int heap_look(const struct heap_view *v, struct luo_heap_usage *ret_usage,
	      struct json_object **ret_problems)
{
	struct json_object *problems = NULL, *now;
	int r, looks = v->stat.owner_pid ? LOOKS_MAX : 1;

	do {
		now = json_object_new_array();
		r = luo_heap_check(v->heap, add_problem, now, ret_usage);
		if (r < 0 && r != -EUCLEAN) {
			json_object_put(now);
			json_object_put(problems);
			complain("%s", luo_heap_problem());
			return LUOCTL_FAILED;
		}
		problems = problems ? in_both(problems, now) : now;
		if (v->stat.owner_pid)
			ret_usage->problems = json_length(problems);
	} while (json_length(problems) > 0 && --looks > 0);
	*ret_problems = problems;
	return LUOCTL_OK;
}

static void print_verdict(const struct luo_heap_usage *u, uint64_t size)
{
	char buffer[FORMAT_MAX];

	if (u->problems > 0)
		printf("\n%" PRIu64 " problem%s. Nothing was changed.\n", u->problems,
		       u->problems == 1 ? "" : "s");
	else
		printf("No problems: %" PRIu64 " object%s in %s.\n", u->objects,
		       u->objects == 1 ? "" : "s", format_size(buffer, size));
}

static void print_json(const struct heap_view *v, const struct luo_heap_usage *usage,
		       struct json_object *problems)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	json_add_bool(o, "consistent", json_length(problems) == 0);
	json_add(o, "problems", json_object_get(problems));
	json_add(o, "problemCount", json_object_new_uint64(usage->problems));
	json_add(o, "heap", heap_to_json(v));
	json_add(o, "usage", heap_usage_to_json(usage));
	json_print(o);
}

int heap_check(const struct heap_view *v)
{
	_cleanup_json_ struct json_object *problems = NULL;
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	int r = heap_look(v, &usage, &problems);

	if (r != LUOCTL_OK)
		return r;
	if (v->context->json) {
		print_json(v, &usage, problems);
	} else {
		for (size_t i = 0; i < json_length(problems); i++) {
			_cleanup_free_ char *text =
				escape(json_object_get_string(json_at(problems, i)));

			puts(text ?: "?");
		}
		if (usage.problems > json_length(problems))
			printf("and %" PRIu64 " more\n", usage.problems - json_length(problems));
		if (v->context->legend)
			print_verdict(&usage, v->stat.size);
		heap_print_notes(v);
	}
	return json_length(problems) > 0 ? LUOCTL_FAILED : LUOCTL_OK;
}
