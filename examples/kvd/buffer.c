/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

/* Buffers of the usual size are not freed but kept here: no request takes a malloc(). */
#define SPARE_MAX 64
static char *spare[SPARE_MAX];
static unsigned n_spare;

static size_t large, large_max;
static bool gave_large;

void buffer_set_limit(size_t limit)
{
	large_max = limit;
}

void buffer_trim(void)
{
#ifdef __GLIBC__
	if (gave_large)
		malloc_trim(0);
#endif
	gave_large = false;
}

static char *take(size_t size)
{
	char *data;

	if (size == BUFFER_SIZE && n_spare)
		return spare[--n_spare];
	if (size > BUFFER_SIZE && (size > large_max || large > large_max - size))
		return NULL;
	data = malloc(size);
	if (data && size > BUFFER_SIZE)
		large += size;
	return data;
}

static void give(char *data, size_t size)
{
	if (size > BUFFER_SIZE) {
		large -= size;
		gave_large = true;
	}
	if (size == BUFFER_SIZE && n_spare < SPARE_MAX)
		spare[n_spare++] = data;
	else
		free(data);
}

int buffer_reserve(struct buffer *b, size_t size)
{
	size_t used = buffer_used(b), wanted = b->size ? b->size : BUFFER_SIZE;
	char *data;

	if (b->data && b->size - b->end >= size)
		return 0;
	if (b->data && b->size - used >= size) {
		memmove(b->data, buffer_begin(b), used);
		b->begin = 0, b->end = used;
		return 0;
	}
	while (wanted - used < size)
		wanted *= 2;
	data = take(wanted);
	if (!data)
		return -ENOMEM;
	if (used)
		memcpy(data, buffer_begin(b), used);
	buffer_clear(b);
	*b = (struct buffer){ .data = data, .end = used, .size = wanted };
	return 0;
}

int buffer_append(struct buffer *b, const void *data, size_t size)
{
	int r = buffer_reserve(b, size);

	if (r < 0)
		return r;
	memcpy(b->data + b->end, data, size);
	b->end += size;
	return 0;
}

void buffer_consume(struct buffer *b, size_t size)
{
	b->begin += size;
	if (b->begin == b->end)
		b->begin = b->end = 0;
}

void buffer_release(struct buffer *b)
{
	if (b->data && buffer_used(b) == 0)
		buffer_clear(b);
}

void buffer_clear(struct buffer *b)
{
	if (b->data)
		give(b->data, b->size);
	*b = (struct buffer){ 0 };
}
