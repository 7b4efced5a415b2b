/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* heap stat: what a heap is, how much is in it, and its roots. */

#include <inttypes.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/format.h"
#include "tools/luoctl/heap.h"
#include "common/json.h"
#include "common/table.h"
#include "common/util.h"

#include "libluo/heap/internal.h"

#define WIDTH 9

/* ---- for people ------------------------------------------------------------------------------ */

static void print_owner(const struct luo_heap_stat *s)
{
	if (s->owner_pid)
		print_field_f(0, WIDTH, "Owner", "%s, pid %" PRIu32,
			      *s->owner_name ? s->owner_name : "?", s->owner_pid);
	else if (*s->owner_name)
		print_field_f(0, WIDTH, "Owner", "none; the last was %s", s->owner_name);
	else
		print_field(0, WIDTH, "Owner", "none");
}

static void print_created(uint64_t usec)
{
	time_t seconds = (time_t)(usec / USEC_PER_SEC);
	char moment[64], age[FORMAT_MAX];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return;
	strftime(moment, sizeof(moment), "%Y-%m-%d %H:%M:%S UTC", &tm);
	print_field_f(0, WIDTH, "Created", "%s, %s ago", moment, format_age(age, usec));
}

static void print_head(const struct luo_heap_stat *s)
{
	char size[FORMAT_MAX];

	print_field(0, WIDTH, "Heap", s->name);
	print_field_f(0, WIDTH, "Id", "%016" PRIx64, s->id);
	print_field_f(0, WIDTH, "Format", "%" PRIu32, s->format);
	print_owner(s);
	print_field_f(0, WIDTH, "Opened", "%" PRIu64 " time%s for writing", s->openings,
		      s->openings == 1 ? "" : "s");
	if (s->kernels > 1)
		print_field_f(0, WIDTH, "Kernels", "%" PRIu64 " boots", s->kernels);
	print_created(s->created_usec);
	if (s->address)
		print_field_f(0, WIDTH, "Address", "0x%" PRIx64 ", always", s->address);
	print_field_f(0, WIDTH, "Size", "%s (%" PRIu64 " bytes)", format_size(size, s->size),
		      s->size);
}

static void print_usage(const struct luo_heap_usage *u)
{
	char size[FORMAT_MAX];

	print_field_f(0, WIDTH, "Objects",
		      "%" PRIu64 ", %s; %" PRIu64 " in %" PRIu64 " slab%s, %" PRIu64
		      " with pages of their own",
		      u->objects, format_size(size, u->object_size), u->objects - u->runs, u->slabs,
		      u->slabs == 1 ? "" : "s", u->runs);
	print_field(0, WIDTH, "Free", format_size(size, u->free_size));
	print_field(0, WIDTH, "Overhead", format_size(size, u->overhead_size));
	if (u->problems > 0)
		print_field_f(0, WIDTH, "Problems", "%" PRIu64 "; heap check lists them",
			      u->problems);
}

static int print_roots(const struct heap_view *v)
{
	static const char *const headers[] = {
		"ROOT", ">TYPE", ">VERSION", ">SIZE", ">OFFSET", NULL
	};
	_cleanup_(table_freep) struct table *t = table_new(headers);
	struct luo_heap_root_info root = { .struct_size = sizeof(root) };
	char text[32];
	size_t i;

	for (i = 0; luo_heap_root_at(v->heap, i, &root) == 0; i++) {
		table_add(t, root.name);
		snprintf(text, sizeof(text), "0x%" PRIx64, root.type_id);
		table_add(t, text);
		table_add_number(t, root.version);
		table_add_size(t, root.size);
		snprintf(text, sizeof(text), "0x%" PRIx64, heap_offset(v->heap, root.object));
		table_add(t, text);
	}
	if (i == 0) {
		if (v->context->legend)
			puts("\nNo roots.");
		return LUOCTL_OK;
	}
	putchar('\n');
	return table_print(t, v->context->legend) < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void print_json(const struct heap_view *v, const struct luo_heap_usage *usage)
{
	_cleanup_json_ struct json_object *o = heap_to_json(v);
	struct json_object *roots = json_object_new_array();
	struct luo_heap_root_info root = { .struct_size = sizeof(root) };

	json_add(o, "usage", heap_usage_to_json(usage));
	json_add(o, "problemCount", json_object_new_uint64(usage->problems));
	for (size_t i = 0; luo_heap_root_at(v->heap, i, &root) == 0; i++)
		json_append(roots, heap_root_to_json(v, &root));
	json_add(o, "roots", roots);
	json_print(o);
}

int heap_stat(const struct heap_view *v)
{
	_cleanup_json_ struct json_object *problems = NULL;
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	int r = heap_look(v, &usage, &problems);

	if (r != LUOCTL_OK)
		return r;
	if (v->context->json) {
		print_json(v, &usage);
		return LUOCTL_OK;
	}
	print_head(&v->stat);
	print_usage(&usage);
	r = print_roots(v);
	heap_print_notes(v);
	return r;
}
