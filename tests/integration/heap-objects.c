/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "tests/integration/heap-objects.h"

const struct luo_heap_root_type world_type = { .struct_size = sizeof(world_type),
					       .name = "world",
					       .type_id = 0x776f726c64,
					       .version = 1,
					       .size = sizeof(struct world) };

/* Some allocated by calloc or aligned, so that these are killed, too. */
static void *allocate(struct luo_heap *heap, uint64_t seed, size_t size)
{
	switch (seed % 16) {
	case 0:
		return luo_heap_calloc(heap, 1, size);
	case 1:
		return luo_heap_aligned_alloc(heap, UINT64_C(64) << seed / 16 % 12, size);
	default:
		return luo_heap_alloc(heap, size);
	}
}

size_t random_size(uint64_t *seed)
{
	uint64_t r = next_random(seed), kind = r % 256;

	r /= 256;
	if (kind == 0)
		return 131073 + r % 300000;
	if (kind < 8)
		return 8192 + r % 60000;
	if (kind < 64)
		return sizeof(struct object) + r % 4000;
	return sizeof(struct object) + r % 300;
}

static uint64_t check_of(const struct object *object)
{
	return object->seed * 31 + object->size * 7 + 1;
}

static uint8_t byte_at(const struct object *object, size_t i)
{
	return (uint8_t)(object->seed + i * 3 + (i >> 8));
}

/* Every byte of what is small, and of what is large the ends and some between. */
static size_t step(size_t i, size_t size)
{
	return i < 1000 || i + 1000 > size ? 1 : 509;
}

static void write_object(struct object *object, uint64_t seed, size_t size)
{
	object->seed = seed;
	object->size = size;
	object->check = check_of(object);
	for (size_t i = 0, n = size - sizeof(*object); i < n; i += step(i, n))
		object->data[i] = byte_at(object, i);
}

struct object *new_object(struct luo_heap *heap, uint64_t seed, size_t size)
{
	struct object *object = allocate(heap, seed, size);

	if (object)
		write_object(object, seed, size);
	return object;
}

struct object *resize_object(struct luo_heap *heap, struct object *object, size_t size)
{
	uint64_t seed = object->seed;

	/* It may stay where it is, and is changed then: it must be saved first. */
	if (luo_heap_save(heap, object, object->size) < 0)
		return NULL;
	object = luo_heap_realloc(heap, object, size);
	if (object)
		write_object(object, seed, size);
	return object;
}

bool object_is_right(struct luo_heap *heap, const struct object *object)
{
	size_t usable = luo_heap_usable_size(heap, object);

	if (usable < sizeof(*object) || usable < object->size || object->size < sizeof(*object) ||
	    object->check != check_of(object))
		return false;
	for (size_t i = 0, n = object->size - sizeof(*object); i < n; i += step(i, n))
		if (object->data[i] != byte_at(object, i))
			return false;
	return true;
}

/* ---- all blocks, all references -------------------------------------------------------------- */

struct blocks {
	void **at;
	bool *reached;
	size_t n, capacity;
	bool failed;
};

static int note_block(void *ptr, size_t size, void *userdata)
{
	struct blocks *b = userdata;

	if (b->n == b->capacity) {
		b->capacity = b->capacity ? b->capacity * 2 : 1024;
		b->at = realloc(b->at, b->capacity * sizeof(*b->at));
		if (!b->at)
			return -ENOMEM;
	}
	if (b->n > 0 && (uint8_t *)b->at[b->n - 1] >= (uint8_t *)ptr)
		return -EINVAL; /* not in order, or twice */
	b->at[b->n++] = ptr;
	return 0;
}

/* By its address; the walk came in order. False: it is none, or was reached before. */
static bool reach(struct blocks *b, const void *ptr)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if ((uint8_t *)b->at[middle] < (uint8_t *)ptr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == b->n || b->at[low] != ptr || b->reached[low])
		return false;
	b->reached[low] = true;
	return true;
}

static const char *slots_are_right(struct luo_heap *heap, struct blocks *b, struct slot *slots,
				   size_t n, uint64_t *objects)
{
	for (size_t i = 0; i < n; i++) {
		struct object *object = luo_get(slots[i].object);

		if (!object)
			continue;
		if (!reach(b, object))
			return "a reference leads to a block that is free, or in use twice";
		if (!object_is_right(heap, object))
			return "an object has other content";
		++*objects;
	}
	return NULL;
}

static const char *roots_are_right(struct luo_heap *heap, struct blocks *b,
				   struct world **ret_world)
{
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };

	*ret_world = NULL;
	for (size_t i = 0; luo_heap_root_at(heap, i, &info) == 0; i++) {
		if (!reach(b, info.object))
			return "a root is free, or in use twice";
		if (streq(info.name, world_type.name))
			*ret_world = info.object;
	}
	return NULL;
}

static const char *rows_are_right(const struct world *world)
{
	for (size_t i = 0; i < THREADS; i++) {
		uint64_t sum = 0;

		for (size_t j = 0; j < CELLS; j++)
			sum += world->rows[i][j];
		if (sum != 0)
			return "a transaction happened in part";
	}
	return NULL;
}

static const char *everything(struct luo_heap *heap, struct blocks *b, uint64_t *objects)
{
	struct world *world;
	const char *why = roots_are_right(heap, b, &world);

	if (why || !world) /* killed before it was made */
		return why;
	why = slots_are_right(heap, b, world->slots[0], (size_t)THREADS * SLOTS, objects);
	if (!why)
		why = slots_are_right(heap, b, world->mailboxes, BOXES, objects);
	return why ?: rows_are_right(world);
}

bool world_is_right(struct luo_heap *heap, size_t *ret_leaked, uint64_t *objects,
		    const char **ret_why)
{
	struct blocks b = {};

	*ret_why = NULL;
	*ret_leaked = 0;
	if (luo_heap_walk(heap, note_block, &b) != 0)
		*ret_why = "the walk over all blocks failed";
	b.reached = calloc(b.n + 1, sizeof(*b.reached));
	if (!b.reached)
		*ret_why = "no memory";
	if (!*ret_why)
		*ret_why = everything(heap, &b, objects);
	for (size_t i = 0; !*ret_why && i < b.n; i++)
		if (!b.reached[i]) {
			++*ret_leaked;
			if (luo_heap_free(heap, b.at[i]) < 0)
				*ret_why = "a lost block cannot be freed";
		}
	free(b.at);
	free(b.reached);
	return !*ret_why;
}
