/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Aligned columns. Cells are added one after the other, row by row; every text is escaped. If
 * memory runs out, table_print() says so and prints nothing.
 */

struct table;

/* @headers ends with NULL and stays the caller's; a header that begins with '>' is aligned right.
 */
struct table *table_new(const char *const *headers);
struct table *table_free(struct table *table);

/* NULL and "" become "-". */
void table_add(struct table *table, const char *text);
void table_add_number(struct table *table, int64_t number);
void table_add_size(struct table *table, uint64_t bytes);
void table_add_usec(struct table *table, uint64_t usec);

/* 0, or -ENOMEM after it has said so. */
int table_print(const struct table *table, bool legend);

static inline void table_freep(struct table **table)
{
	table_free(*table);
}

/* "Name: value" lines, aligned at the colon; @indent spaces before. */
void print_field(int indent, int width, const char *name, const char *value);
void print_field_f(int indent, int width, const char *name, const char *format, ...)
	__attribute__((__format__(__printf__, 4, 5)));

#endif
