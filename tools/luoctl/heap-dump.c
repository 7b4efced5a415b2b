/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* heap dump: the roots with what is in their objects, and all blocks in use. */

#include <inttypes.h>
#include <stdio.h>

#include "libluo/heap/internal.h"

#include "common/escape.h"
#include "tools/luoctl/heap.h"
#include "common/json.h"
#include "tools/luoctl/text.h"
#include "common/util.h"

#define LINE 16

/* ---- content --------------------------------------------------------------------------------- */

static void print_line(const uint8_t *data, uint64_t at, size_t n)
{
	printf("  %08" PRIx64 " ", at);
	for (size_t i = 0; i < LINE; i++) {
		if (i % 8 == 0)
			putchar(' ');
		if (i < n)
			printf("%02x ", data[i]);
		else
			fputs("   ", stdout);
	}
	fputs(" |", stdout);
	for (size_t i = 0; i < n; i++)
		putchar(data[i] >= ' ' && data[i] < 127 ? data[i] : '.');
	puts("|");
}

/* As hexdump(1) does it: lines that repeat are one asterisk. */
static void print_content(const uint8_t *data, uint64_t size)
{
	bool repeats = false;

	for (uint64_t at = 0; at < size; at += LINE) {
		size_t n = MIN2(size - at, (uint64_t)LINE);

		if (at > 0 && n == LINE && at + LINE < size &&
		    memcmp(data + at, data + at - LINE, LINE) == 0) {
			if (!repeats)
				puts("  *");
			repeats = true;
			continue;
		}
		repeats = false;
		print_line(data + at, at, n);
	}
}

static int print_raw(const struct luo_heap_root_info *root)
{
	if (isatty(STDOUT_FILENO) && !text_is_safe(root->object, root->size)) {
		complain(
			"the object is binary, and a terminal would obey it; leave --raw out, or write it to a file");
		return LUOCTL_FAILED;
	}
	fwrite(root->object, 1, root->size, stdout);
	return LUOCTL_OK;
}

/* ---- roots ----------------------------------------------------------------------------------- */

static void print_root(const struct heap_view *v, const struct luo_heap_root_info *root)
{
	_cleanup_free_ char *name = escape(root->name);

	printf("%s: type 0x%" PRIx64 ", version %" PRIu32 ", %" PRIu64 " bytes at 0x%" PRIx64 "\n",
	       name ?: "?", root->type_id, root->version, root->size,
	       heap_offset(v->heap, root->object));
	print_content(root->object, root->size);
}

static struct json_object *root_to_json(const struct heap_view *v,
					const struct luo_heap_root_info *root)
{
	struct json_object *o = heap_root_to_json(v, root);
	_cleanup_free_ char *content = text_base64(root->object, root->size);

	json_add_string(o, "base64", content);
	return o;
}

static int dump_root(const struct heap_view *v)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct luo_heap_root_info root = { .struct_size = sizeof(root) };

	for (size_t i = 0; luo_heap_root_at(v->heap, i, &root) == 0; i++) {
		if (!streq(root.name, v->root))
			continue;
		if (v->raw)
			return print_raw(&root);
		if (!v->context->json) {
			print_root(v, &root);
			heap_print_notes(v);
			return LUOCTL_OK;
		}
		o = root_to_json(v, &root);
		json_print(o);
		return LUOCTL_OK;
	}
	complain("the heap has no root \"%s\"", v->root);
	return LUOCTL_NO_SUCH;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static int print_block(void *ptr, size_t size, void *userdata)
{
	const struct heap_view *v = userdata;

	printf("0x%010" PRIx64 "  %10zu\n", heap_offset(v->heap, ptr), size);
	return 0;
}

struct blocks {
	const struct heap_view *view;
	struct json_object *array;
};

static int add_block(void *ptr, size_t size, void *userdata)
{
	struct json_object *block = json_object_new_object();
	struct blocks *b = userdata;

	json_add(block, "offset", json_object_new_uint64(heap_offset(b->view->heap, ptr)));
	json_add(block, "size", json_object_new_uint64(size));
	json_append(b->array, block);
	return 0;
}

static int say_walk(int r)
{
	if (r < 0)
		complain("%s", luo_heap_problem());
	return r < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

static int print_blocks(const struct heap_view *v)
{
	int r;

	if (v->context->legend)
		printf("%-12s  %10s\n", "OFFSET", "SIZE");
	r = say_walk(luo_heap_walk(v->heap, print_block, (void *)v));
	heap_print_notes(v);
	return r;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int print_json(const struct heap_view *v)
{
	_cleanup_json_ struct json_object *o = heap_to_json(v);
	struct blocks blocks = { .view = v, .array = json_object_new_array() };
	struct json_object *roots = json_object_new_array();
	struct luo_heap_root_info root = { .struct_size = sizeof(root) };
	int r = 0;

	for (size_t i = 0; luo_heap_root_at(v->heap, i, &root) == 0; i++)
		json_append(roots, root_to_json(v, &root));
	json_add(o, "roots", roots);
	if (v->blocks) {
		r = luo_heap_walk(v->heap, add_block, &blocks);
		json_add(o, "blocks", json_object_get(blocks.array));
	}
	json_object_put(blocks.array);
	json_print(o);
	return say_walk(r);
}

static int print_roots(const struct heap_view *v)
{
	struct luo_heap_root_info root = { .struct_size = sizeof(root) };
	size_t i;

	for (i = 0; luo_heap_root_at(v->heap, i, &root) == 0; i++) {
		if (i > 0)
			putchar('\n');
		print_root(v, &root);
	}
	if (i == 0 && v->context->legend)
		puts("No roots.");
	heap_print_notes(v);
	return LUOCTL_OK;
}

int heap_dump(const struct heap_view *v)
{
	if (v->root)
		return dump_root(v);
	if (v->context->json)
		return print_json(v);
	return v->blocks ? print_blocks(v) : print_roots(v);
}
