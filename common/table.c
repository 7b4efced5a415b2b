/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/format.h"
#include "common/table.h"
#include "common/util.h"

struct table {
	const char *const *headers;
	size_t n_columns;
	char **cells;
	size_t n, allocated;
	bool out_of_memory;
};

struct table *table_new(const char *const *headers)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->headers = headers;
	while (headers[t->n_columns])
		t->n_columns++;
	return t;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return NULL;
}

static bool reserve(struct table *t)
{
	size_t n = MAX2(t->allocated * 2, (size_t)64);
	char **cells;

	if (t->n < t->allocated)
		return true;
	cells = reallocarray(t->cells, n, sizeof(char *));
	if (!cells)
		return false;
	t->cells = cells;
	t->allocated = n;
	return true;
}

void table_add(struct table *t, const char *text)
{
	char *cell;

	if (!t)
		return;
	cell = escape(text && *text ? text : "-");
	if (!cell || !reserve(t)) {
		free(cell);
		t->out_of_memory = true;
		return;
	}
	t->cells[t->n++] = cell;
}

void table_add_number(struct table *t, int64_t number)
{
	char buffer[32];

	snprintf(buffer, sizeof(buffer), "%" PRId64, number);
	table_add(t, buffer);
}

void table_add_size(struct table *t, uint64_t bytes)
{
	char buffer[FORMAT_MAX];

	table_add(t, format_size(buffer, bytes));
}

void table_add_usec(struct table *t, uint64_t usec)
{
	char buffer[FORMAT_MAX];

	table_add(t, format_usec(buffer, usec));
}

static bool is_right(const char *header)
{
	return header[0] == '>';
}

static size_t column_width(const struct table *t, size_t column, bool legend)
{
	const char *header = t->headers[column];
	size_t width = legend ? strlen(header) - is_right(header) : 0;

	for (size_t i = column; i < t->n; i += t->n_columns)
		width = MAX2(width, strlen(t->cells[i]));
	return width;
}

static void print_cell(const struct table *t, size_t column, size_t width, const char *text)
{
	bool last = column + 1 == t->n_columns;

	if (is_right(t->headers[column]))
		printf("%*s", (int)width, text);
	else if (last)
		fputs(text, stdout);
	else
		printf("%-*s", (int)width, text);
	fputs(last ? "\n" : "  ", stdout);
}

int table_print(const struct table *t, bool legend)
{
	_cleanup_free_ size_t *widths = NULL;

	if (t && !t->out_of_memory)
		widths = calloc(t->n_columns, sizeof(size_t));
	if (!widths) {
		fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
		return -ENOMEM;
	}
	for (size_t c = 0; c < t->n_columns; c++)
		widths[c] = column_width(t, c, legend);
	for (size_t c = 0; legend && c < t->n_columns; c++)
		print_cell(t, c, widths[c], t->headers[c] + is_right(t->headers[c]));
	for (size_t i = 0; i < t->n; i++)
		print_cell(t, i % t->n_columns, widths[i % t->n_columns], t->cells[i]);
	return 0;
}

void print_field(int indent, int width, const char *name, const char *value)
{
	_cleanup_free_ char *safe = escape(value && *value ? value : "-");

	printf("%*s%*s: %s\n", indent, "", width, name, safe ?: "?");
}

void print_field_f(int indent, int width, const char *name, const char *format, ...)
{
	_cleanup_free_ char *value = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&value, format, ap) < 0)
		value = NULL;
	va_end(ap);
	print_field(indent, width, name, value ?: "?");
}
