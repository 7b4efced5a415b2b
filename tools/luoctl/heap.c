/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * heap: a persistent heap (luo/heap.h) in a file or in what a unit has stored. It is attached
 * read-only, beside its owner if that is alive, and never changed. If the owner died in the middle
 * of something, what is shown is what the next one will find.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "libluo/heap/internal.h"

#include "tools/luoctl/entries.h"
#include "common/escape.h"
#include "tools/luoctl/heap.h"
#include "common/json.h"
#include "common/util.h"

/* ---- in common ------------------------------------------------------------------------------- */

static struct json_object *hex(uint64_t number)
{
	char text[32];

	/* As a number it would lose bits in most programs that read JSON. */
	snprintf(text, sizeof(text), "0x%016" PRIx64, number);
	return json_object_new_string(text);
}

static void add_number(struct json_object *o, const char *key, uint64_t number)
{
	json_add(o, key, json_object_new_uint64(number));
}

struct json_object *heap_to_json(const struct heap_view *v)
{
	struct json_object *o = json_strings("name", v->stat.name, NULL);

	json_add(o, "id", hex(v->stat.id));
	add_number(o, "format", v->stat.format);
	add_number(o, "size", v->stat.size);
	add_number(o, "createdAt", v->stat.created_usec);
	add_number(o, "openings", v->stat.openings);
	add_number(o, "kernels", v->stat.kernels);
	if (v->stat.owner_pid)
		json_add_number(o, "ownerPid", (uint64_t)v->stat.owner_pid);
	else
		json_add_null(o, "ownerPid");
	json_add_string(o, "ownerName", *v->stat.owner_name ? v->stat.owner_name : NULL);
	if (v->stat.address)
		json_add(o, "address", hex(v->stat.address));
	else
		json_add_null(o, "address");
	json_add_bool(o, "interrupted", v->stat.recovered);
	return o;
}

struct json_object *heap_root_to_json(const struct heap_view *v,
				      const struct luo_heap_root_info *root)
{
	struct json_object *o = json_strings("name", root->name, NULL);

	json_add(o, "typeId", hex(root->type_id));
	add_number(o, "version", root->version);
	add_number(o, "size", root->size);
	add_number(o, "offset", heap_offset(v->heap, root->object));
	return o;
}

struct json_object *heap_usage_to_json(const struct luo_heap_usage *usage)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "objects", usage->objects);
	add_number(o, "objectSize", usage->object_size);
	add_number(o, "freeSize", usage->free_size);
	add_number(o, "overheadSize", usage->overhead_size);
	add_number(o, "slabs", usage->slabs);
	add_number(o, "runs", usage->runs);
	return o;
}

void heap_print_notes(const struct heap_view *v)
{
	_cleanup_free_ char *name = escape(v->stat.owner_name);

	if (!v->context->legend)
		return;
	if (v->stat.owner_pid)
		printf("\nIt is in use by %s (pid %" PRIu32 "), and may have changed meanwhile.\n",
		       name ?: "?", v->stat.owner_pid);
	if (v->stat.recovered)
		puts("\nIts last owner died in the middle of a change. This is how the next one will find it.");
}

/* ---- finding it ------------------------------------------------------------------------------ */

static int open_file(const char *path, const char *where, int *ret_fd)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		bool denied = errno == EACCES || errno == EPERM;

		complain("cannot open %s: %m", where);
		return denied ? LUOCTL_NOT_PERMITTED : LUOCTL_FAILED;
	}
	*ret_fd = fd;
	return LUOCTL_OK;
}

static bool is_path(const char *text)
{
	return strchr(text, '/') != NULL;
}

/* What luo_heap_problem() says after "opening the heap 'fd 3': ". */
static const char *why(void)
{
	const char *problem = luo_heap_problem(), *colon = strstr(problem, "': ");

	return colon ? colon + strlen("': ") : problem;
}

/* That it cannot even be opened is the result of a check, too. */
static int explain_open(const struct heap_view *v, const char *where, int error, bool checking)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *problems;

	if (error == -EUCLEAN && checking && v->context->json) {
		o = json_object_new_object();
		problems = json_object_new_array();
		json_append_string(problems, why());
		json_add_bool(o, "consistent", false);
		json_add(o, "problems", problems);
		json_print(o);
		return LUOCTL_FAILED;
	}
	complain("cannot look into %s: %s", where, why());
	return error == -EACCES || error == -EPERM ? LUOCTL_NOT_PERMITTED : LUOCTL_FAILED;
}

static int look(struct heap_view *v, int fd, const char *where,
		int (*how)(const struct heap_view *view))
{
	const struct luo_heap_options options = {
		.struct_size = sizeof(options), .flags = LUO_HEAP_READ_ONLY | LUO_HEAP_MUST_EXIST
	};
	int r;

	r = luo_heap_open_fd(fd, &options, &v->heap);
	if (r < 0)
		return explain_open(v, where, r, how == heap_check);
	v->stat.struct_size = sizeof(v->stat);
	r = luo_heap_stat(v->heap, &v->stat);
	if (r < 0)
		r = explain_open(v, where, r, false);
	else
		r = how(v);
	luo_heap_close(v->heap);
	return r;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int look_at(struct context *c, struct heap_view *v, char **names, uint64_t nth,
		   int (*how)(const struct heap_view *view))
{
	_cleanup_free_ char *where = NULL;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (is_path(names[0]))
		where = escape(names[0]);
	else if (asprintf(&where, "\"%s\" of unit %s", names[1], names[0]) < 0)
		where = NULL;
	if (!where) {
		complain("out of memory");
		return LUOCTL_FAILED;
	}
	r = is_path(names[0]) ? open_file(names[0], where, &fd)
			      : open_entry(c, names[0], names[1], nth, &fd);
	if (r != LUOCTL_OK)
		return r;
	return look(v, fd, where, how);
}

static bool names_are_valid(const struct context *c, char **names, int n)
{
	if (is_path(names[0])) {
		if (n > 1)
			usage_error(c, "heap: %s is a file, and has no entries", names[0]);
		return n == 1;
	}
	if (n == 1) {
		usage_error(c, "heap: which entry of unit %s? If it is a file, say ./%s", names[0],
			    names[0]);
		return false;
	}
	return unit_is_valid(c, names[0]) && name_is_valid(c, names[1]);
}

static bool options_fit(const struct context *c, const struct heap_view *v,
			int (*how)(const struct heap_view *view))
{
	if (how != heap_dump && (v->blocks || v->root || v->raw))
		usage_error(c, "heap: --blocks, --root and --raw are for dump");
	else if (v->raw && !v->root)
		usage_error(c, "heap: --raw needs --root NAME");
	else if (v->raw && c->json)
		usage_error(c, "heap: --raw and --json exclude each other");
	else if (v->root && v->blocks)
		usage_error(c, "heap: --root and --blocks exclude each other");
	else
		return true;
	return false;
}

int verb_heap(struct context *c, int argc, char **argv)
{
	enum { NTH = OPTION_VERB, ROOT, RAW, BLOCKS };
	static const struct option options[] = {
		{ "nth", required_argument, NULL, NTH },
		{ "root", required_argument, NULL, ROOT },
		{ "raw", no_argument, NULL, RAW },
		{ "blocks", no_argument, NULL, BLOCKS },
		{ 0 },
	};
	static const struct {
		const char *name;
		int (*run)(const struct heap_view *view);
	} ways[] = { { "check", heap_check }, { "stat", heap_stat }, { "dump", heap_dump } };
	struct heap_view v = { .context = c };
	uint64_t nth = 0;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == ROOT)
			v.root = optarg;
		else if (option == RAW)
			v.raw = true;
		else if (option == BLOCKS)
			v.blocks = true;
		else if (!parse_number("nth", optarg, INT32_MAX, &nth))
			return LUOCTL_USAGE;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 2, 3))
		return LUOCTL_USAGE;
	for (size_t i = 0; i < ELEMENTSOF(ways); i++)
		if (streq(ways[i].name, argv[optind]))
			return names_are_valid(c, argv + optind + 1, argc - optind - 1) &&
					       options_fit(c, &v, ways[i].run)
				       ? look_at(c, &v, argv + optind + 1, nth, ways[i].run)
				       : LUOCTL_USAGE;
	return usage_error(c, "heap: check, stat or dump, not '%s'", argv[optind]);
}
