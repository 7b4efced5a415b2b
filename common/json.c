/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* JSON objects: reading without trust, building without silent gaps. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "common/json.h"
#include "common/json-writer.h"
#include "common/util.h"

struct json_object *json_child(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	return json_object_object_get_ex(o, key, &value) ? value : NULL;
}

const char *json_string(struct json_object *o, const char *key)
{
	struct json_object *value = json_child(o, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

bool json_has_int(struct json_object *o, const char *key)
{
	return json_object_is_type(json_child(o, key), json_type_int);
}

int64_t json_int(struct json_object *o, const char *key)
{
	return json_has_int(o, key) ? json_object_get_int64(json_child(o, key)) : 0;
}

uint64_t json_number(struct json_object *o, const char *key)
{
	int64_t n = json_int(o, key);

	return n < 0 ? 0 : (uint64_t)n;
}

bool json_get_int(struct json_object *o, const char *key, int64_t *ret)
{
	if (!json_has_int(o, key))
		return false;
	*ret = json_int(o, key);
	return true;
}

bool json_true(struct json_object *o, const char *key)
{
	struct json_object *value = json_child(o, key);

	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

size_t json_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *json_at(struct json_object *array, size_t i)
{
	return i < json_length(array) ? json_object_array_get_idx(array, i) : NULL;
}

/* ---- building -------------------------------------------------------------------------------- */

/* The user data of an object or array that lacks something. Setting it needs no memory. */
static char incomplete;

static void mark(struct json_object *o)
{
	json_object_set_userdata(o, &incomplete, NULL);
}

void json_add(struct json_object *o, const char *key, struct json_object *value)
{
	if (o && value && json_object_object_add(o, key, value) == 0)
		return;
	json_object_put(value);
	if (o)
		mark(o);
}

void json_add_null(struct json_object *o, const char *key)
{
	if (o && json_object_object_add(o, key, NULL) < 0)
		mark(o);
}

void json_add_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_add(o, key, json_object_new_string(value));
	else
		json_add_null(o, key);
}

void json_add_utf8(struct json_object *o, const char *key, const char *value)
{
	json_add_string(o, key, utf8_is_valid(value) ? value : "?");
}

void json_add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_add(o, key, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void json_add_bool(struct json_object *o, const char *key, bool value)
{
	json_add(o, key, json_object_new_boolean(value));
}

void json_append(struct json_object *array, struct json_object *value)
{
	if (array && value && json_object_array_add(array, value) == 0)
		return;
	json_object_put(value);
	if (array)
		mark(array);
}

void json_append_string(struct json_object *array, const char *value)
{
	json_append(array, json_object_new_string(value));
}

static bool array_is_complete(struct json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *value = json_object_array_get_idx(array, i);

		if (value && !json_is_complete(value))
			return false;
	}
	return true;
}

bool json_is_complete(struct json_object *o)
{
	if (!o)
		return false;
	if (json_object_is_type(o, json_type_array))
		return json_object_get_userdata(o) != &incomplete && array_is_complete(o);
	if (!json_object_is_type(o, json_type_object))
		return true;
	if (json_object_get_userdata(o) == &incomplete)
		return false;
	json_object_object_foreach(o, key, value)
	{
		(void)key;
		if (value && !json_is_complete(value))
			return false;
	}
	return true;
}

const char *json_to_text(struct json_object *o)
{
	return json_is_complete(o)
		       ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE)
		       : NULL;
}

struct json_object *json_strings(const char *name, ...)
{
	struct json_object *o = json_object_new_object();
	va_list ap;

	va_start(ap, name);
	for (; name; name = va_arg(ap, const char *)) {
		const char *value = va_arg(ap, const char *);

		if (value)
			json_add_string(o, name, value);
	}
	va_end(ap);
	return o;
}

char *json_join(struct json_object *array)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < json_length(array); i++)
		fprintf(f, "%s%s", i > 0 ? ", " : "",
			json_object_get_string(json_at(array, i)) ?: "");
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

struct json_object *json_parse(const char *text)
{
	return json_tokener_parse(text);
}
