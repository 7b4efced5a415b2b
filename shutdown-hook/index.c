/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "shutdown-hook/index.h"

#include <stdint.h>
#include <string.h>

#include <json-c/json_object.h>
#include <luo/store.h>

#include "common/json-scan.h"
#include "common/util.h"

#define DEPTH_MAX   8
#define TREE_MEMORY ((size_t)16 << 20)

#define SUFFIX ".service"

bool index_name_is_ok(const char *name)
{
	size_t n = strlen(name), stem = n - strlen(SUFFIX);

	/* NAME.d has to fit into the name of a file. */
	if (n <= strlen(SUFFIX) || n > 253 || !streq(name + stem, SUFFIX))
		return false;
	if (!luo_unit_name_is_valid(name) || name[0] == '.' || name[0] == '@')
		return false;
	return name[stem - 1] != '@' && name[stem - 1] != '-';
}

void index_done(struct index *index)
{
	for (size_t i = 0; i < index->n; i++)
		free(index->units[i].name);
	free(index->units);
	*index = (struct index){ 0 };
}

static int add(struct index *index, const char *name, bool native)
{
	struct index_unit *more;
	char *copy;

	if (index->n >= INDEX_UNITS_MAX || !index_name_is_ok(name)) {
		index->skipped++;
		return 0;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	more = reallocarray(index->units, index->n + 1, sizeof(*more));
	if (!more) {
		free(copy);
		return -ENOMEM;
	}
	index->units = more;
	index->units[index->n++] = (struct index_unit){ .name = copy, .native = native };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct index_unit *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* In order, and each once: native only if that is said of it every time. */
static void sort(struct index *index)
{
	size_t n = 0;

	if (index->n == 0)
		return;
	qsort(index->units, index->n, sizeof(*index->units), compare);
	for (size_t i = 1; i < index->n; i++) {
		if (!streq(index->units[i].name, index->units[n].name)) {
			index->units[++n] = index->units[i];
			continue;
		}
		index->units[n].native &= index->units[i].native;
		free(index->units[i].name);
		index->skipped++;
	}
	index->n = n + 1;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static int text_to_tree(const char *text, size_t size, struct json_object **ret,
			const char **ret_reason)
{
	static const struct json_limits limits = { DEPTH_MAX, TREE_MEMORY };
	size_t at;

	*ret_reason = "larger than 1 MiB";
	if (size > INDEX_SIZE_MAX)
		return -E2BIG;
	return json_parse_limited(text, size, &limits, ret, ret_reason, &at);
}

static int check_version(struct json_object *root, const char **ret_reason)
{
	struct json_object *version;

	*ret_reason = "not an object with a version";
	if (!json_object_is_type(root, json_type_object) ||
	    !json_object_object_get_ex(root, "version", &version) ||
	    !json_object_is_type(version, json_type_int))
		return -EBADMSG;
	*ret_reason = "of a version that is not known here";
	return json_object_get_int64(version) == 1 ? 0 : -EPROTONOSUPPORT;
}

static int add_object(struct index *index, struct json_object *o)
{
	struct json_object *name, *native = NULL;
	const char *text;

	/* The length shows a NUL, behind which a name would go on. */
	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, "name", &name) ||
	    !json_object_is_type(name, json_type_string) ||
	    strlen(text = json_object_get_string(name)) !=
		    (size_t)json_object_get_string_len(name)) {
		index->skipped++;
		return 0;
	}
	json_object_object_get_ex(o, "native", &native);
	return add(index, text,
		   json_object_is_type(native, json_type_boolean) &&
			   json_object_get_boolean(native));
}

static int add_units(struct index *index, struct json_object *root, const char **ret_reason)
{
	struct json_object *units;
	int r = 0;

	*ret_reason = "without a list of units";
	if (!json_object_object_get_ex(root, "units", &units) ||
	    !json_object_is_type(units, json_type_array))
		return -EBADMSG;
	for (size_t i = 0; r == 0 && i < json_object_array_length(units); i++)
		r = add_object(index, json_object_array_get_idx(units, i));
	if (r == 0)
		sort(index);
	return r;
}

int index_parse(const char *text, size_t size, struct index *ret, const char **ret_reason)
{
	struct json_object *root = NULL;
	struct index index = { 0 };
	const char *reason = "no memory";
	int r;

	r = text_to_tree(text, size, &root, &reason);
	if (r == 0) {
		r = check_version(root, &reason);
		if (r == 0)
			r = add_units(&index, root, &reason);
		json_object_put(root);
	}
	if (r < 0) {
		index_done(&index);
		*ret_reason = r == -ENOMEM ? "no memory" : reason;
		return r;
	}
	*ret = index;
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static int add_line(struct index *index, const char *line, size_t n)
{
	char name[256];

	if (n == 0)
		return 0;
	if (n >= sizeof(name) || memchr(line, '\0', n)) {
		index->skipped++;
		return 0;
	}
	memcpy(name, line, n);
	name[n] = '\0';
	return add(index, name, false);
}

int index_parse_list(const char *text, size_t size, struct index *ret)
{
	const char *end = text + size;
	struct index index = { 0 };
	int r = 0;

	while (r == 0 && text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text)) ?: end;

		r = add_line(&index, text, (size_t)(line_end - text));
		text = line_end < end ? line_end + 1 : end;
	}
	if (r < 0) {
		index_done(&index);
		return r;
	}
	sort(&index);
	*ret = index;
	return 0;
}
