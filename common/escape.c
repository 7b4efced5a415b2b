/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Names come from services, from the mapping of another kernel, from files that somebody sent. A
 * terminal obeys what is in them. UTF-8 is escaped as well: what may be printed of it, and how wide
 * it is, is a table that changes with every year.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"

static size_t escape_one(char *to, unsigned char c)
{
	switch (c) {
	case '\n':
		return (size_t)sprintf(to, "\\n");
	case '\t':
		return (size_t)sprintf(to, "\\t");
	case '\r':
		return (size_t)sprintf(to, "\\r");
	}
	if (c >= ' ' && c < 127)
		return (size_t)sprintf(to, "%c", c);
	return (size_t)sprintf(to, "\\x%02x", c);
}

char *escape(const char *text)
{
	char *s = malloc(strlen(text) * 4 + 1), *p = s;

	if (!s)
		return NULL;
	*p = '\0';
	for (; *text; text++)
		p += escape_one(p, (unsigned char)*text);
	return s;
}
