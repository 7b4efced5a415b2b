/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_HEAP_H
#define LUOCTL_HEAP_H

/* heap: what is in a persistent heap. Each way to look at it is a file of its own. */

#include <luo/heap.h>

#include "tools/luoctl/luoctl.h"

struct json_object;

struct heap_view {
	const struct context *context;
	struct luo_heap *heap; /* read-only, perhaps beside an owner who goes on */
	struct luo_heap_stat stat;
	const char *root; /* --root, or NULL */
	bool raw, blocks;
};

int heap_stat(const struct heap_view *view);
int heap_check(const struct heap_view *view);
int heap_dump(const struct heap_view *view);

/*
 * luo_heap_check(), and the problems, not more than 1000, as an array of strings. Beside an owner
 * who is alive several times: what was there each time is a problem, and not something that was
 * just being changed.
 */
int heap_look(const struct heap_view *view, struct luo_heap_usage *ret_usage,
	      struct json_object **ret_problems);

/* What may be wrong with all that is said about it; nothing without a legend. */
void heap_print_notes(const struct heap_view *view);

/* {"name": ...}: what all ways to look have in common. */
struct json_object *heap_to_json(const struct heap_view *view);
struct json_object *heap_root_to_json(const struct heap_view *view,
				      const struct luo_heap_root_info *root);
struct json_object *heap_usage_to_json(const struct luo_heap_usage *usage);

#endif
