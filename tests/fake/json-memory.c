/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Allocations of json-c that fail, by the linker's --wrap. */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/fake/json-memory.h"

static unsigned fail_at, count;

static void __attribute__((__constructor__)) read_environment(void)
{
	const char *text = getenv("LUO_FAIL_JSON_AT");

	if (text)
		fail_at = (unsigned)strtoul(text, NULL, 10);
}

void json_memory_fail_at(unsigned n)
{
	fail_at = n;
	count = 0;
}

bool json_memory_failed(void)
{
	return fail_at > 0 && count >= fail_at;
}

static bool fails(void)
{
	return ++count == fail_at;
}

#define WRAP_NEW(name, parameters, arguments)                    \
	struct json_object *__real_##name parameters;            \
	struct json_object *__wrap_##name parameters;            \
	struct json_object *__wrap_##name parameters             \
	{                                                        \
		return fails() ? NULL : __real_##name arguments; \
	}

#define WRAP_ADD(name, parameters, arguments)                  \
	int __real_##name parameters;                          \
	int __wrap_##name parameters;                          \
	int __wrap_##name parameters                           \
	{                                                      \
		return fails() ? -1 : __real_##name arguments; \
	}

WRAP_NEW(json_object_new_object, (void), ())
WRAP_NEW(json_object_new_array, (void), ())
WRAP_NEW(json_object_new_string, (const char *text), (text))
WRAP_NEW(json_object_new_int64, (int64_t number), (number))
WRAP_NEW(json_object_new_uint64, (uint64_t number), (number))
WRAP_NEW(json_object_new_boolean, (json_bool value), (value))
WRAP_ADD(json_object_object_add,
	 (struct json_object * o, const char *key, struct json_object *value), (o, key, value))
WRAP_ADD(json_object_array_add, (struct json_object * array, struct json_object *value),
	 (array, value))
