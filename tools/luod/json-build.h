/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_JSON_BUILD_H
#define LUOD_JSON_BUILD_H

/*
 * Members of the objects that luod answers with. Out of memory, a member is missing: the client
 * sees a reply that is short, which is as good as any error that would need memory too.
 */

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/json-writer.h"

static inline void add_object(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value) < 0)
		json_object_put(value);
}

/* A string that is not UTF-8 would make the whole reply invalid JSON. */
static inline void add_string(struct json_object *o, const char *key, const char *value)
{
	add_object(o, key, json_object_new_string(utf8_is_valid(value) ? value : "?"));
}

static inline void add_number(struct json_object *o, const char *key, uint64_t value)
{
	add_object(o, key, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

static inline void add_bool(struct json_object *o, const char *key, bool value)
{
	add_object(o, key, json_object_new_boolean(value));
}

#endif
