/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

/* Reading replies without trusting their form: what is missing or of another type is the default.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_object.h>

const char *json_string(struct json_object *o, const char *key); /* or NULL */
int64_t json_int(struct json_object *o, const char *key);        /* or 0 */
bool json_has_int(struct json_object *o, const char *key);
bool json_true(struct json_object *o, const char *key);
struct json_object *json_child(struct json_object *o, const char *key); /* or NULL */

/* Of an array, and of anything else 0 and NULL. */
size_t json_length(struct json_object *array);
struct json_object *json_at(struct json_object *array, size_t i);

/* An empty object with some strings: name, value, name, value, ..., NULL. NULL values are left out.
 */
struct json_object *json_strings(const char *name, ...) __attribute__((__sentinel__));
void json_add(struct json_object *o, const char *key, struct json_object *value);
void json_add_string(struct json_object *o, const char *key, const char *value);

/* "a, b, c" of an array of strings; to be freed with free(). */
char *json_join(struct json_object *array);

/* NULL if it is not JSON. */
struct json_object *json_parse(const char *text);

/* To stdout, over several lines. */
void json_print(struct json_object *o);
/* To stdout, as one line. */
void json_print_line(struct json_object *o);

static inline void json_putp(struct json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ __attribute__((__cleanup__(json_putp)))

#endif
