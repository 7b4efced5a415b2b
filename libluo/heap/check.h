/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HEAP_CHECK_H
#define LIBLUO_HEAP_CHECK_H

/*
 * What luo_heap_check() and luo_heap_walk() need to inspect a whole heap.
 *
 * Nothing that is read is trusted, and a live owner may change the memory meanwhile. So each word
 * is read once into a table of our own and judged there; from then on the table counts. Everything
 * that was reached is marked in the table, so a circular list ends.
 *
 * A free page is never read through the mapping, because that would allocate memory for a hole.
 */

#include "libluo/heap/internal.h"

/* Pages that belong together, as the descriptor of the first one says. */
struct check_run {
	uint32_t page;
	uint32_t pages;
	uint32_t remote; /* slab: blocks in the remote list of its owner */
	uint16_t owner;  /* slab */
	uint8_t class;   /* slab */
	uint8_t kind : 4;
	bool zero : 1;    /* free run: marked as all zeros */
	bool listed : 1;  /* slab: marked as listed */
	bool reached : 1; /* in a list, or named by its owner */
};

/* Offsets; an open hash table. */
struct check_set {
	uint64_t *slots; /* 0: empty */
	size_t n, size;  /* a power of 2 */
};

struct check {
	struct luo_heap *heap;
	uint64_t id;
	uint32_t pages; /* not more than readable */
	unsigned n_slots;
	uint32_t leaves[HEAP_LEAVES]; /* pages; 0: cannot be used */
	uint64_t slots[HEAP_SLOTS];   /* offsets; 0: cannot be used */
	struct check_run *runs;       /* in the order of their pages */
	size_t n_runs, runs_size;
	uint32_t *run_of; /* for each page: index of its run plus 1; 0: none */
	struct check_set remote;
	int error; /* -ENOMEM: the check itself cannot go on */

	void (*problem)(const char *text, void *userdata);
	void *userdata;
	uint64_t n_problems;
	char first[256]; /* problem */
	struct luo_heap_usage usage;
};

/* Returns 0 or -ENOMEM. The caller must end it in both cases. */
int check_begin(struct check *c, struct luo_heap *heap);
void check_end(struct check *c);

void check_problem(struct check *c, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/* Each fills a part of the table, and needs the parts above it. */
void check_leaves(struct check *c);
void check_runs(struct check *c);       /* check-pages.c */
void check_slot_pages(struct check *c); /* check-slots.c */
void check_remote(struct check *c);     /* check-slots.c */

/* These only judge. */
void check_free_lists(struct check *c);    /* check-pages.c */
void check_slot_contents(struct check *c); /* check-slots.c */
void check_slabs(struct check *c);         /* check-slabs.c */

/* Words are read by their offset, which the caller has checked. */
static inline uint64_t check_load(const struct check *c, uint64_t offset)
{
	return heap_load((const uint64_t *)(c->heap->base + offset));
}

static inline uint32_t check_load32(const struct check *c, uint64_t offset)
{
	return heap_load32((const uint32_t *)(c->heap->base + offset));
}

static inline uint64_t check_page_offset(uint32_t page)
{
	return (uint64_t)page << HEAP_PAGE_SHIFT;
}

/* The run of that kind that starts with the page. */
struct check_run *check_run_at(const struct check *c, uint64_t page, enum heap_page_kind kind);

/* True if all words from @offset up to @end are 0; otherwise tells which one is not. */
bool check_is_zero(const struct check *c, uint64_t offset, uint64_t end, uint64_t *ret_offset);
uint64_t check_sum(const struct check *c, uint64_t offset, uint64_t end);

/*
 * The slab and block that start at @offset; NULL if there is none. Does not check whether the block
 * is allocated.
 */
struct check_run *check_block_at(const struct check *c, uint64_t offset, uint32_t *ret_block);
bool check_block_used(const struct check *c, const struct check_run *slab, uint32_t block);

/* Returns 1 if it was added, 0 if it was there, or -ENOMEM. */
int check_set_add(struct check_set *set, uint64_t offset);
bool check_set_has(const struct check_set *set, uint64_t offset);

#endif
