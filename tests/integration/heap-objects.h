/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_INTEGRATION_HEAP_OBJECTS_H
#define TESTS_INTEGRATION_HEAP_OBJECTS_H

/*
 * Objects that know what they have to look like, and a root from which all of them are found: what
 * heap-kill fills a heap with.
 */

#include <stdatomic.h>

#include <luo/heap.h>

#include "common/util.h"

#define HEAP_SIZE (UINT64_C(64) << 20)
#define THREADS   4
#define SLOTS     96
#define BOXES     32
#define CELLS     256

/* Its size and seed determine every byte of it. */
struct object {
	uint64_t seed;
	uint64_t size; /* of all of it */
	uint64_t check;
	uint8_t data[];
};

struct slot {
	LUO_REF(struct object) object;
};

struct world {
	struct slot slots[THREADS][SLOTS]; /* each row is one thread's */
	struct slot mailboxes[BOXES];      /* everybody's */
	uint64_t rows[THREADS][CELLS];     /* the sum of each row is 0 */
};

extern const struct luo_heap_root_type world_type;

static inline uint64_t next_random(uint64_t *seed)
{
	uint64_t x = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) >> 16;
}

/* Mostly small, at least an object's head. */
size_t random_size(uint64_t *seed);

/* In a transaction or not; NULL and errno. */
struct object *new_object(struct luo_heap *heap, uint64_t seed, size_t size);
/* With luo_heap_realloc(); in a transaction. */
struct object *resize_object(struct luo_heap *heap, struct object *object, size_t size);
bool object_is_right(struct luo_heap *heap, const struct object *object);

/*
 * Compares all blocks with all references; frees the blocks that none leads to. @ret_why is what is
 * wrong, if something is; @objects counts those that were looked at.
 */
bool world_is_right(struct luo_heap *heap, size_t *ret_leaked, uint64_t *objects,
		    const char **ret_why);

#endif
