/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

/*
 * JSON objects with json-c.
 *
 * Reading does not trust the form of an object: a member that is missing or of another type gives
 * the default.
 *
 * Building may run out of memory, and an object without a member can mean something else: a Drop
 * without a name drops the whole unit. So a failed function marks the object or array that it was
 * to change, and json_is_complete() finds the mark. Check it before an object is sent or stored.
 * All functions accept NULL, the result of a failed allocation: as @o nothing is done, and as a
 * @value the mark is set.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_object.h>

/* ---- reading --------------------------------------------------------------------------------- */

const char *json_string(struct json_object *o, const char *key); /* or NULL */
int64_t json_int(struct json_object *o, const char *key);        /* or 0 */
uint64_t json_number(struct json_object *o, const char *key);    /* 0 for a negative one, too */
bool json_get_int(struct json_object *o, const char *key, int64_t *ret);
bool json_has_int(struct json_object *o, const char *key);
bool json_true(struct json_object *o, const char *key);
struct json_object *json_child(struct json_object *o, const char *key); /* or NULL */

/* Of an array, and of anything else 0 and NULL. */
size_t json_length(struct json_object *array);
struct json_object *json_at(struct json_object *array, size_t i);

/* ---- building -------------------------------------------------------------------------------- */

/* An object with some strings: name, value, name, value, ..., NULL. NULL values are left out. */
struct json_object *json_strings(const char *name, ...) __attribute__((__sentinel__));
/* Takes ownership of @value, which must not be used afterwards: if it cannot be added, it is freed.
 */
void json_add(struct json_object *o, const char *key, struct json_object *value);
void json_add_null(struct json_object *o, const char *key);
void json_add_string(struct json_object *o, const char *key, const char *value); /* NULL: null */
/* The same for a text of another process: one that is not UTF-8 becomes "?". */
void json_add_utf8(struct json_object *o, const char *key, const char *value);
/* At most INT64_MAX, the largest number of Varlink. */
void json_add_number(struct json_object *o, const char *key, uint64_t value);
void json_add_bool(struct json_object *o, const char *key, bool value);
/* At the end of an array; takes ownership of @value in the same way. */
void json_append(struct json_object *array, struct json_object *value);
void json_append_string(struct json_object *array, const char *value);
/* True if @o, and everything in it, has every member that was added. */
bool json_is_complete(struct json_object *o);
/* One line of text, which @o owns; NULL if the object is not complete or there is no memory. */
const char *json_to_text(struct json_object *o);

/* ---- text ------------------------------------------------------------------------------------ */

/* "a, b, c" of an array of strings; to be freed with free(). */
char *json_join(struct json_object *array);

/* NULL if it is not JSON. */
struct json_object *json_parse(const char *text);

/*
 * To stdout, over several lines. An incomplete object is not printed: the program says that it is
 * out of memory, and ends with EXIT_FAILURE.
 */
void json_print(struct json_object *o);
/* The same as one line. */
void json_print_line(struct json_object *o);

static inline void json_putp(struct json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ __attribute__((__cleanup__(json_putp)))

#endif
