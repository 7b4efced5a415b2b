/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_JSON_WRITER_H
#define COMMON_JSON_WRITER_H

/*
 * JSON text, written front to back into a growing buffer.
 *
 * Building a tree of 10,000 entries only to print it costs ten times the memory of the text. The
 * writer puts the commas; the caller keeps the brackets balanced. Running out of memory is
 * remembered and comes out of jw_take().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_writer {
	char *text;
	size_t size;
	size_t allocated;
	bool comma;  /* a value stands before what comes next */
	bool failed; /* out of memory */
};

void jw_open(struct json_writer *w, char bracket);
void jw_close(struct json_writer *w, char bracket);
void jw_key(struct json_writer *w, const char *key);
/* A key that is known to need no escape: a literal. */
void jw_plain_key(struct json_writer *w, const char *key);
/*
 * A byte that is not UTF-8 becomes "?": it would make the whole document no JSON. One byte for one,
 * so that what was within a limit stays within it.
 */
void jw_string(struct json_writer *w, const char *value);
void jw_number(struct json_writer *w, uint64_t value);
void jw_bool(struct json_writer *w, bool value);
/* A value that is JSON already. */
void jw_raw(struct json_writer *w, const char *json);
/* The members of an object that is text already; NULL for none. */
void jw_members(struct json_writer *w, const char *object);
/* The text, NUL-terminated, the caller's; -ENOMEM. The writer is empty after it either way. */
int jw_take(struct json_writer *w, char **ret_text, size_t *ret_size);
void jw_clear(struct json_writer *w);

/* Bytes of the UTF-8 sequence at @s, which ends at or before @size; 0 if it is not one. */
size_t utf8_sequence(const char *s, size_t size);
bool utf8_is_valid(const char *s);

#endif
