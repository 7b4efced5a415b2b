/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The list of what was invalid in a document and was skipped. */

#include <stdarg.h>
#include <stdio.h>

#include "libluo/mapping/internal.h"

static void make_printable(char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s >= 127)
			*s = '?';
}

/* A hostile document has hostile names, so the text is cut to a length that fits a line. */
static int _printf_(1, 0) format_where(const char *format, va_list args, char **ret_where)
{
	char text[400];

	if (vsnprintf(text, sizeof(text), format, args) >= (int)sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	make_printable(text);
	*ret_where = strdup(text);
	return *ret_where ? 0 : -ENOMEM;
}

/* Grows in steps, because most documents have no issue. */
static int issues_reserve(struct luo_mapping *mapping)
{
	struct luo_mapping_issue *p;

	if (mapping->n_issues % 10)
		return 0;
	p = reallocarray(mapping->issues, mapping->n_issues + 10, sizeof(*p));
	if (!p)
		return -ENOMEM;
	mapping->issues = p;
	return 0;
}

int mapping_issue(struct luo_mapping *mapping, const char *what, const char *where_format, ...)
{
	_cleanup_free_ char *where = NULL, *copy = NULL;
	va_list args;
	int r;

	mapping->n_all_issues++;
	if (mapping->n_issues >= MAPPING_ISSUES_KEPT)
		return 0;
	r = issues_reserve(mapping);
	if (r < 0)
		return r;
	va_start(args, where_format);
	r = format_where(where_format, args, &where);
	va_end(args);
	if (r < 0)
		return r;
	copy = strdup(what);
	if (!copy)
		return -ENOMEM;
	mapping->issues[mapping->n_issues++] = (struct luo_mapping_issue){
		.where = TAKE_PTR(where),
		.what = TAKE_PTR(copy),
	};
	return 0;
}

void mapping_issues_free(struct luo_mapping *mapping)
{
	for (size_t i = 0; i < mapping->n_issues; i++) {
		free(mapping->issues[i].where);
		free(mapping->issues[i].what);
	}
	free(mapping->issues);
}
