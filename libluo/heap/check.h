/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HEAP_CHECK_H
#define LIBLUO_HEAP_CHECK_H

/*
 * What looking at a whole heap needs, for luo_heap_check() and luo_heap_walk().
 *
 * Nothing that is read is trusted, and the memory may change while it is looked at (the owner is
 * alive): each word is read once into a table of our own, judged there, and from then on the table
 * counts. What has been reached is marked in the table, so a list that is a circle ends.
 *
 * A free page is never read through the mapping: that would give memory to what may be a hole.
 */

#include "libluo/heap/internal.h"

/* Pages that belong together, as the descriptor of the first one says. */
struct check_run {
	uint32_t page;
	uint32_t pages;
	uint32_t remote; /* slab: blocks that wait in the remote list of its owner */
	uint16_t owner;  /* slab */
	uint8_t class;   /* slab */
	uint8_t kind : 4;
	bool zero : 1;    /* free run: it says that it is zeros */
	bool listed : 1;  /* slab: it says that it is in a list */
	bool reached : 1; /* in a list, or named by what it belongs to */
};

/* Offsets; an open hash table. */
struct check_set {
	uint64_t *slots; /* 0: empty */
	size_t n, size;  /* a power of 2 */
};

struct check {
	struct luo_heap *heap;
	uint64_t id;
	uint32_t pages; /* not more than can be read */
	unsigned n_slots;
	uint32_t leaves[HEAP_LEAVES]; /* pages; 0: cannot be used */
	uint64_t slots[HEAP_SLOTS];   /* offsets; 0: cannot be used */
	struct check_run *runs;       /* in the order of their pages */
	size_t n_runs, runs_size;
	uint32_t *run_of; /* of each page: index of its run, plus 1; 0: it has none */
	struct check_set remote;
	int error; /* -ENOMEM: the check itself cannot go on */

	void (*problem)(const char *text, void *userdata);
	void *userdata;
	uint64_t n_problems;
	char first[256]; /* problem */
	struct luo_heap_usage usage;
};

/* 0 or -ENOMEM. To be ended in both cases. */
int check_begin(struct check *c, struct luo_heap *heap);
void check_end(struct check *c);

void check_problem(struct check *c, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/* Each fills a part of the table, and needs those above it. */
void check_leaves(struct check *c);
void check_runs(struct check *c);       /* heap-check-pages.c */
void check_slot_pages(struct check *c); /* heap-check-slots.c */
void check_remote(struct check *c);     /* heap-check-slots.c */

/* These only judge. */
void check_free_lists(struct check *c);    /* heap-check-pages.c */
void check_slot_contents(struct check *c); /* heap-check-slots.c */
void check_slabs(struct check *c);         /* heap-check-slabs.c */

/* Words are read by their offset, which the caller has made sure of. */
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

/* The run that begins with the page, if it is of that kind. */
struct check_run *check_run_at(const struct check *c, uint64_t page, enum heap_page_kind kind);

/* True if all words from @offset to before @end are 0; otherwise which one is not. */
bool check_is_zero(const struct check *c, uint64_t offset, uint64_t end, uint64_t *ret_offset);
uint64_t check_sum(const struct check *c, uint64_t offset, uint64_t end);

/* The slab and block that begin at @offset; NULL if none does. Does not look whether it is in use.
 */
struct check_run *check_block_at(const struct check *c, uint64_t offset, uint32_t *ret_block);
bool check_block_used(const struct check *c, const struct check_run *slab, uint32_t block);

/* 1 if it was added, 0 if it was there, -ENOMEM. */
int check_set_add(struct check_set *set, uint64_t offset);
bool check_set_has(const struct check_set *set, uint64_t offset);

#endif
