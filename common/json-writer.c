/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "common/json-writer.h"
#include "common/util.h"

/* ---- UTF-8 ---- */

/* The smallest code point a sequence of this length may have: longer forms are forbidden. */
static const uint32_t shortest[] = { 0, 0, 0x80, 0x800, 0x10000 };

static size_t sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if ((first & 0xe0) == 0xc0)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	if ((first & 0xf8) == 0xf0)
		return 4;
	return 0;
}

size_t utf8_sequence(const char *s, size_t size)
{
	size_t n = size ? sequence_length((unsigned char)s[0]) : 0;
	uint32_t code;

	if (n <= 1)
		return n;
	if (n > size)
		return 0;
	code = (unsigned char)s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (code < shortest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

bool utf8_is_valid(const char *s)
{
	size_t left = strlen(s), n;

	for (; left; s += n, left -= n) {
		n = utf8_sequence(s, left);
		if (n == 0)
			return false;
	}
	return true;
}

/* ---- the buffer ---- */

/* Once it has failed it stays so: a text with a piece missing must never get out. */
static bool grow(struct json_writer *w, size_t more)
{
	size_t n = MAX2(MAX2(w->allocated * 2, w->size + more + 1), (size_t)256);
	char *p;

	if (w->failed)
		return false;
	if (w->size + more < w->allocated)
		return true;
	p = realloc(w->text, n);
	if (!p) {
		w->failed = true;
		return false;
	}
	w->text = p;
	w->allocated = n;
	return true;
}

/* A document of 10,000 entries is 200,000 small pieces, and is written inside the blackout. */
static inline bool has_room(const struct json_writer *w, size_t more)
{
	return w->size + more < w->allocated && !w->failed;
}

static inline void put(struct json_writer *w, const char *s, size_t n)
{
	if (!has_room(w, n) && !grow(w, n))
		return;
	memcpy(w->text + w->size, s, n);
	w->size += n;
}

static void separate(struct json_writer *w)
{
	if (w->comma)
		put(w, ",", 1);
	w->comma = false;
}

/* ---- values ---- */

void jw_open(struct json_writer *w, char bracket)
{
	separate(w);
	put(w, &bracket, 1);
}

void jw_close(struct json_writer *w, char bracket)
{
	put(w, &bracket, 1);
	w->comma = true;
}

static void put_escaped(struct json_writer *w, char c)
{
	char text[8];
	int n;

	if (c == '"' || c == '\\')
		n = snprintf(text, sizeof(text), "\\%c", c);
	else
		n = snprintf(text, sizeof(text), "\\u%04x", (unsigned char)c);
	put(w, text, (size_t)n);
}

/* How many bytes from here on can be copied as they are. */
static size_t plain_run(const char *s, size_t size)
{
	size_t i = 0, n;

	while (i < size && (unsigned char)s[i] >= ' ' && s[i] != '"' && s[i] != '\\') {
		if ((unsigned char)s[i] < 0x80) {
			i++;
			continue;
		}
		n = utf8_sequence(s + i, size - i);
		if (n == 0)
			break;
		i += n;
	}
	return i;
}

static void put_string(struct json_writer *w, const char *s)
{
	size_t left = strlen(s), n;

	put(w, "\"", 1);
	while (left) {
		n = plain_run(s, left);
		put(w, s, n);
		s += n;
		left -= n;
		if (!left)
			break;
		if ((unsigned char)*s < 0x80)
			put_escaped(w, *s);
		else
			put(w, "?", 1);
		s++;
		left--;
	}
	put(w, "\"", 1);
}

void jw_key(struct json_writer *w, const char *key)
{
	separate(w);
	put_string(w, key);
	put(w, ":", 1);
}

void jw_plain_key(struct json_writer *w, const char *key)
{
	size_t n = strlen(key);
	char *to;

	if (!has_room(w, n + 4) && !grow(w, n + 4))
		return;
	to = w->text + w->size;
	if (w->comma)
		*to++ = ',';
	w->comma = false;
	*to++ = '"';
	to = mempcpy(to, key, n);
	*to++ = '"';
	*to++ = ':';
	w->size = (size_t)(to - w->text);
}

void jw_string(struct json_writer *w, const char *value)
{
	separate(w);
	put_string(w, value);
	w->comma = true;
}

void jw_number(struct json_writer *w, uint64_t value)
{
	char text[20]; /* UINT64_MAX */
	size_t i = sizeof(text);

	do {
		text[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	separate(w);
	put(w, text + i, sizeof(text) - i);
	w->comma = true;
}

void jw_bool(struct json_writer *w, bool value)
{
	separate(w);
	put(w, value ? "true" : "false", value ? 4 : 5);
	w->comma = true;
}

void jw_raw(struct json_writer *w, const char *json)
{
	separate(w);
	put(w, json, strlen(json));
	w->comma = true;
}

void jw_members(struct json_writer *w, const char *object)
{
	size_t n = object ? strlen(object) : 0;

	if (n <= 2) /* "{}" */
		return;
	separate(w);
	put(w, object + 1, n - 2);
	w->comma = true;
}

void jw_clear(struct json_writer *w)
{
	free(w->text);
	memset(w, 0, sizeof(*w));
}

int jw_take(struct json_writer *w, char **ret_text, size_t *ret_size)
{
	if (!grow(w, 0)) {
		jw_clear(w);
		return -ENOMEM;
	}
	w->text[w->size] = '\0';
	if (ret_size)
		*ret_size = w->size;
	*ret_text = TAKE_PTR(w->text);
	jw_clear(w);
	return 0;
}
