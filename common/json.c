/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <stdio.h>

#include <json-c/json_tokener.h>

#include "common/json.h"
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

void json_add(struct json_object *o, const char *key, struct json_object *value)
{
	json_object_object_add(o, key, value);
}

void json_add_string(struct json_object *o, const char *key, const char *value)
{
	json_add(o, key, value ? json_object_new_string(value) : NULL);
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

void json_print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
}

void json_print_line(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
}
