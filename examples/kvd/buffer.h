/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef KVD_BUFFER_H
#define KVD_BUFFER_H

/*
 * Bytes that came in and are not understood yet, or that wait to go out. A connection with nothing
 * under way has no memory here, so thousands of idle ones cost next to nothing.
 */

#include <stddef.h>

/* The usual size. Large values need more, and all buffers that have more are limited together:
 * who sends half a value on a thousand connections does not get a gigabyte. */
#define BUFFER_SIZE ((size_t)32 << 10)

struct buffer {
	char *data;
	size_t begin, end, size;
};

/* How many bytes all larger buffers may have together. */
void buffer_set_limit(size_t limit);
/* Now and then: malloc() keeps what was freed, even if it was much and will not be needed again. */
void buffer_trim(void);

static inline char *buffer_begin(const struct buffer *b)
{
	return b->data + b->begin;
}

static inline size_t buffer_used(const struct buffer *b)
{
	return b->end - b->begin;
}

/* Room for @size bytes at the end; -ENOMEM. Moves what is in it. */
int buffer_reserve(struct buffer *b, size_t size);
/* -ENOMEM; cannot fail after a reserve. */
int buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_consume(struct buffer *b, size_t size);
/* If it is empty, its memory goes to whoever needs some next. */
void buffer_release(struct buffer *b);
/* Whatever is in it. */
void buffer_clear(struct buffer *b);

#endif
