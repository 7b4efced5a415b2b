/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Compares the content of two files. Places where neither has data are not read. */

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

#define CHUNK (size_t)(256 * 1024)

/* The next offset at or after @at where one of them has data; the size if there is none. */
static int next_data(struct luo_extents *a, struct luo_extents *b, int64_t at, int64_t *ret_at)
{
	int64_t next = a->size, begin, end;
	int r;

	r = luo_extents_next(a, at, &begin, &end);
	if (r > 0)
		next = MIN2(next, begin);
	if (r >= 0)
		r = luo_extents_next(b, at, &begin, &end);
	if (r > 0)
		next = MIN2(next, begin);
	if (r < 0)
		return r;
	*ret_at = next;
	return 0;
}

/* @buffer has room for two chunks. */
static int compare(struct luo_extents *a, struct luo_extents *b, char *buffer)
{
	int64_t at = 0;

	for (;;) {
		size_t size;
		int r = next_data(a, b, at, &at);

		if (r < 0)
			return r;
		size = (size_t)MIN2((int64_t)CHUNK, a->size - at);
		if (size == 0)
			return 1;
		r = luo_pread_all(a->fd, buffer, size, at);
		if (r >= 0)
			r = luo_pread_all(b->fd, buffer + CHUNK, size, at);
		if (r < 0)
			return r;
		if (memcmp(buffer, buffer + CHUNK, size) != 0)
			return 0;
		at += (int64_t)size;
	}
}

_public_ int luo_memfd_equal(int a_fd, int b_fd)
{
	_cleanup_extents_ struct luo_extents a = LUO_EXTENTS_NONE, b = LUO_EXTENTS_NONE;
	_cleanup_free_ char *buffer = NULL;
	int r;

	r = luo_extents_open(a_fd, &a);
	if (r >= 0)
		r = luo_extents_open(b_fd, &b);
	if (r < 0)
		return r;
	if (a.st.st_dev == b.st.st_dev && a.st.st_ino == b.st.st_ino)
		return 1;
	if (a.size != b.size)
		return 0;
	buffer = malloc(2 * CHUNK);
	if (!buffer)
		return -ENOMEM;
	return compare(&a, &b, buffer);
}
