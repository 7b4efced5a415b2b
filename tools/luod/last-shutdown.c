/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The generator writes what the index session of the previous kernel said (RUNTIME_DIR/index.json);
 * luo-harvest writes when the current shutdown began (RUNTIME_DIR/shutdown-start). Both files
 * belong to root, but the text of the first came over a kexec, so it is checked.
 */

#include "tools/luod/last-shutdown.h"

#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "common/json.h"
#include "common/json-scan.h"
#include "common/json-writer.h"
#include "common/read-file.h"
#include "common/util.h"
#include "tools/luod/luod.h"

#define FILE_SIZE_MAX (UINT64_C(1) << 20)
#define PROBLEMS_MAX  20
#define TEXT_MAX      1024

static char *read_runtime_file(const struct luod *l, const char *name, size_t *ret_size)
{
	_cleanup_close_ int directory =
		open(l->options.runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *text = NULL;

	if (directory < 0 || read_file_at(directory, name, FILE_SIZE_MAX, &text, ret_size) < 0)
		return NULL;
	return text;
}

static struct json_object *parse_index(const struct luod *l)
{
	struct json_limits limits = { .depth = 8, .memory = 16 << 20 };
	_cleanup_free_ char *text = NULL;
	const char *reason;
	size_t size, at;

	text = read_runtime_file(l, "index.json", &size);
	if (!text || json_scan(text, size, &limits, &reason, &at) < 0)
		return NULL;
	return json_tokener_parse(text);
}

static void copy_number(struct json_object *to, struct json_object *from, const char *key)
{
	struct json_object *v;
	int64_t n = 0;

	if (json_object_object_get_ex(from, key, &v) && json_object_is_type(v, json_type_int))
		n = json_object_get_int64(v);
	json_add_number(to, key, n > 0 ? (uint64_t)n : 0);
}

static bool copy_text(struct json_object *v, struct json_object **ret)
{
	const char *text;
	size_t n;

	if (!v || !json_object_is_type(v, json_type_string))
		return false;
	text = json_object_get_string(v);
	if (!utf8_is_valid(text))
		return false;
	n = strnlen(text, TEXT_MAX);
	/* Do not cut in the middle of a character. */
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	*ret = json_object_new_string_len(text, (int)n);
	return true;
}

static void copy_problems(struct json_object *to, struct json_object *from)
{
	struct json_object *list = json_object_new_array(), *v, *text;

	if (json_object_object_get_ex(from, "problems", &v) &&
	    json_object_is_type(v, json_type_array))
		for (size_t i = 0; i < json_object_array_length(v) && i < PROBLEMS_MAX; i++)
			if (copy_text(json_object_array_get_idx(v, i), &text))
				json_append(list, text);
	json_add(to, "problems", list);
}

struct json_object *last_shutdown(const struct luod *l)
{
	static const char *const numbers[] = { "when", "entries", "preserved",
					       "lost", "bytes",   "usec" };
	struct json_object *index = parse_index(l), *report, *o = NULL, *v, *text;

	if (index && json_object_is_type(index, json_type_object) &&
	    json_object_object_get_ex(index, "report", &report) &&
	    json_object_is_type(report, json_type_object)) {
		o = json_object_new_object();
		for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
			copy_number(o, report, numbers[i]);
		if (json_object_object_get_ex(report, "failure", &v) && copy_text(v, &text))
			json_object_object_add(o, "failure", text);
		copy_problems(o, report);
	}
	json_object_put(index);
	return o;
}

uint64_t kexec_count(const struct luod *l)
{
	if (l->state.previous.have_kexec_count)
		return l->state.previous.kexec_count + 1;
	return l->state.incoming_name ? 1 : 0;
}

static struct luo_timestamp read_moment(const struct luod *l, const char *name)
{
	_cleanup_free_ char *text = NULL;
	struct luo_timestamp t = { 0 };
	size_t size;

	text = read_runtime_file(l, name, &size);
	if (!text || sscanf(text, "%" SCNu64 " %" SCNu64, &t.realtime, &t.monotonic) != 2)
		return (struct luo_timestamp){ 0 };
	return t;
}

struct luo_timestamp shutdown_start(const struct luod *l)
{
	return read_moment(l, "shutdown-start");
}

struct luo_timestamp shutdown_finish(const struct luod *l)
{
	return read_moment(l, "shutdown-finish");
}
