/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo_heap_check() checks every rule of docs/heap-format.md in a heap that may be damaged or forged
 * in any way. This file has the super page, the leaves and the roots; check-pages.c, check-slots.c
 * and check-slabs.c have the rest.
 */

#include <inttypes.h>
#include <stdio.h>

#include "libluo/heap/check.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define USAGE_FIRST_SIZE SIZE_UP_TO(struct luo_heap_usage, problems)

#define INDEX(member) (HEAP_INDEX_OFFSET + offsetof(struct heap_index, member))
#define SUPER(member) (HEAP_SUPER_OFFSET + offsetof(struct heap_super, member))

/* ---- the super page -------------------------------------------------------------------------- */

static void check_zeros(struct check *c, const char *what, uint64_t offset, uint64_t end)
{
	uint64_t at;

	if (!check_is_zero(c, offset, end, &at))
		check_problem(c, "%s: at offset 0x%" PRIx64 " is 0x%" PRIx64 ", where zeros belong",
			      what, at, check_load(c, at));
}

static void check_sum_is(struct check *c, const char *what, uint64_t at, uint64_t expected)
{
	uint64_t sum = check_load(c, at);

	if (sum != expected)
		check_problem(c,
			      "%s: its sum at offset 0x%" PRIx64 " is 0x%016" PRIx64
			      ", and what is there has 0x%016" PRIx64,
			      what, at, sum, expected);
}

static void check_identity(struct check *c)
{
	const struct heap_super *super = heap_super(c->heap);

	if (check_load(c, SUPER(magic)) != HEAP_MAGIC)
		check_problem(c,
			      "the magic number at offset 0 is 0x%016" PRIx64 ", not 0x%016" PRIx64,
			      check_load(c, 0), HEAP_MAGIC);
	if (check_load32(c, SUPER(format)) != HEAP_FORMAT)
		check_problem(c, "the format is %" PRIu32 ", not %d",
			      check_load32(c, SUPER(format)), HEAP_FORMAT);
	if (check_load32(c, SUPER(page_shift)) != HEAP_PAGE_SHIFT)
		check_problem(c, "pages have 2^%" PRIu32 " bytes, not 2^%d",
			      check_load32(c, SUPER(page_shift)), HEAP_PAGE_SHIFT);
	if (!memchr(super->name, '\0', sizeof(super->name)))
		check_problem(c, "the name of the heap (offset 0x%zx) has no end", SUPER(name));
	check_zeros(c, "the super page", SUPER(reserved), SUPER(sum));
	check_sum_is(c, "the super page", SUPER(sum), check_sum(c, HEAP_SUPER_OFFSET, SUPER(sum)));
}

static void check_index(struct check *c)
{
	uint32_t roots = check_load32(c, INDEX(roots)), leaves = check_load32(c, INDEX(leaves));
	uint32_t needed = (c->pages + HEAP_LEAF_PAGES - 1) / HEAP_LEAF_PAGES;
	uint64_t sum;

	sum = check_sum(c, INDEX(sum) + sizeof(uint64_t),
			HEAP_INDEX_OFFSET + sizeof(struct heap_index));
	sum += check_sum(c, HEAP_ROOTS_OFFSET, HEAP_DIRECTORY_OFFSET);
	sum += check_sum(c, HEAP_DIRECTORY_OFFSET, HEAP_SUPER_END);
	check_sum_is(c, "the index, roots and directory", INDEX(sum), sum);
	if (leaves < needed || leaves > HEAP_LEAVES)
		check_problem(
			c, "the index has %" PRIu32 " leaves; its %" PRIu32 " pages need %" PRIu32,
			leaves, c->pages, needed);
	if (roots > HEAP_ROOTS)
		check_problem(c, "the index has %" PRIu32 " roots, more than %d", roots,
			      HEAP_ROOTS);
	roots = MIN2(roots, (uint32_t)HEAP_ROOTS);
	leaves = MIN2(leaves, (uint32_t)HEAP_LEAVES);
	check_zeros(c, "the owner", HEAP_OWNER_OFFSET + offsetof(struct heap_owner, reserved),
		    HEAP_INDEX_OFFSET);
	check_zeros(c, "behind the index", HEAP_INDEX_OFFSET + sizeof(struct heap_index),
		    HEAP_LOG_OFFSET);
	check_zeros(c, "behind the heap's log", HEAP_LOG_OFFSET + sizeof(struct heap_log),
		    HEAP_ROOTS_OFFSET);
	check_zeros(c, "behind the roots in use",
		    HEAP_ROOTS_OFFSET + roots * sizeof(struct heap_root), HEAP_DIRECTORY_OFFSET);
	check_zeros(c, "behind the directory in use",
		    HEAP_DIRECTORY_OFFSET + leaves * sizeof(struct heap_leaf_entry),
		    HEAP_SUPER_END);
	check_zeros(c, "the end of the super page", HEAP_SUPER_END, HEAP_PAGE);
	if (check_load(c, HEAP_LOG_OFFSET) != 0)
		check_problem(
			c,
			"the heap's log (offset 0x%x) is not empty: its commit word is 0x%016" PRIx64,
			HEAP_LOG_OFFSET, check_load(c, HEAP_LOG_OFFSET));
}

/* Where the descriptors are. */
void check_leaves(struct check *c)
{
	uint32_t n = MIN2(check_load32(c, INDEX(leaves)), (uint32_t)HEAP_LEAVES);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = HEAP_DIRECTORY_OFFSET + i * sizeof(struct heap_leaf_entry);
		uint64_t page = check_load(c, at + offsetof(struct heap_leaf_entry, page));

		if (page == 0 || page >= c->pages)
			check_problem(c,
				      "leaf %" PRIu32 " (directory, offset 0x%" PRIx64
				      ") is said to be page %" PRIu64 ", and there are %" PRIu32,
				      i, at, page, c->pages);
		else
			c->leaves[i] = (uint32_t)page;
	}
}

static void check_leaf_sums(struct check *c)
{
	for (uint32_t i = 0; i < HEAP_LEAVES; i++) {
		uint64_t at = HEAP_DIRECTORY_OFFSET + i * sizeof(struct heap_leaf_entry);
		uint64_t begin = check_page_offset(c->leaves[i]);
		uint32_t first = i * HEAP_LEAF_PAGES, used;
		char what[64];

		if (!c->leaves[i])
			continue;
		snprintf(what, sizeof(what), "leaf %" PRIu32 " (page %" PRIu32 ")", i,
			 c->leaves[i]);
		check_sum_is(c, what, at + offsetof(struct heap_leaf_entry, sum),
			     check_sum(c, begin, begin + HEAP_PAGE));
		/* Leaves are made before the pages that they describe. */
		used = c->pages > first ? MIN2(c->pages - first, (uint32_t)HEAP_LEAF_PAGES) : 0;
		check_zeros(c, what, begin + used * sizeof(struct heap_desc), begin + HEAP_PAGE);
	}
}

/* ---- roots ----------------------------------------------------------------------------------- */

static bool root_name_is_valid(const char name[HEAP_ROOT_NAME])
{
	size_t n = strnlen(name, HEAP_ROOT_NAME);

	for (size_t i = 0; i < HEAP_ROOT_NAME; i++)
		if (i < n ? name[i] < 32 || name[i] > 126 : name[i] != '\0')
			return false;
	return n > 0 && n < HEAP_ROOT_NAME;
}

/* Usable bytes of the allocated block that starts at @offset; 0 if there is none. */
static uint64_t usable_size(const struct check *c, uint64_t offset)
{
	const struct check_run *run;
	uint32_t block;

	run = check_block_at(c, offset, &block);
	if (run)
		return check_block_used(c, run, block) && !check_set_has(&c->remote, offset)
			       ? heap_classes[run->class].size
			       : 0;
	if (offset % HEAP_PAGE != 0)
		return 0;
	run = check_run_at(c, offset >> HEAP_PAGE_SHIFT, HEAP_PAGE_RUN);
	return run ? check_page_offset(run->pages) : 0;
}

static void check_root(struct check *c, uint32_t i, char names[HEAP_ROOTS][HEAP_ROOT_NAME])
{
	uint64_t at = HEAP_ROOTS_OFFSET + i * sizeof(struct heap_root), usable, other;
	const struct heap_root *root = &heap_roots(c->heap)[i];
	uint64_t object = heap_load(&root->object), size = heap_load(&root->size);
	uint64_t version = heap_load(&root->version);

	if (object == 0)
		return;
	memcpy(names[i], root->name, HEAP_ROOT_NAME);
	if (!root_name_is_valid(names[i])) {
		check_problem(c, "root %" PRIu32 " (offset 0x%" PRIx64 ") has an invalid name", i,
			      at);
		names[i][0] = '\0';
	}
	for (uint32_t k = 0; k < i && names[i][0]; k++)
		if (memcmp(names[k], names[i], HEAP_ROOT_NAME) == 0)
			check_problem(c,
				      "roots %" PRIu32 " and %" PRIu32 " (offset 0x%" PRIx64
				      ") are both called \"%s\"",
				      k, i, at, names[i]);
	if (version == 0 || version > UINT32_MAX)
		check_problem(c, "root %" PRIu32 " (offset 0x%" PRIx64 ") has version %" PRIu64, i,
			      at, version);
	usable = usable_size(c, object);
	if (usable == 0)
		check_problem(c,
			      "root %" PRIu32 " (offset 0x%" PRIx64 ") is said to be at 0x%" PRIx64
			      ", where no block in use begins",
			      i, at, object);
	else if (size == 0 || size > usable)
		check_problem(c,
			      "root %" PRIu32 " (offset 0x%" PRIx64 ") is said to have %" PRIu64
			      " bytes, and its block at 0x%" PRIx64 " has %" PRIu64,
			      i, at, size, object, usable);
	if (!check_is_zero(c, at + offsetof(struct heap_root, reserved),
			   at + sizeof(struct heap_root), &other))
		check_problem(c, "root %" PRIu32 ": at offset 0x%" PRIx64 " is not zero", i, other);
}

static void check_roots(struct check *c)
{
	char names[HEAP_ROOTS][HEAP_ROOT_NAME] = { 0 };

	for (uint32_t i = 0; i < MIN2(check_load32(c, INDEX(roots)), (uint32_t)HEAP_ROOTS); i++)
		check_root(c, i, names);
}

/* ---- what is left, and the whole ------------------------------------------------------------- */

/* Pages that nothing refers to are lost. */
static void check_reached(struct check *c)
{
	static const char *const owners[16] = {
		[HEAP_PAGE_FREE] = "is free, and in no list of free runs",
		[HEAP_PAGE_META] = "is neither super page nor leaf nor slots",
		[HEAP_PAGE_LOG] = "is part of no transaction's log",
	};

	for (size_t i = 0; i < c->n_runs; i++) {
		const struct check_run *run = &c->runs[i];

		if (owners[run->kind] && !run->reached)
			check_problem(
				c, "page %" PRIu32 " (offset 0x%" PRIx64 ", %" PRIu32 " page%s) %s",
				run->page, check_page_offset(run->page), run->pages,
				run->pages == 1 ? "" : "s", owners[run->kind]);
	}
}

/* Slabs are counted already; everything that is neither an object nor free is overhead. */
static void count_pages(struct check *c)
{
	struct luo_heap_usage *u = &c->usage;

	for (size_t i = 0; i < c->n_runs; i++) {
		uint64_t size = check_page_offset(c->runs[i].pages);

		if (c->runs[i].kind == HEAP_PAGE_FREE) {
			u->free_size += size;
		} else if (c->runs[i].kind == HEAP_PAGE_RUN) {
			u->runs++;
			u->objects++;
			u->object_size += size;
		}
	}
	u->overhead_size = check_page_offset(c->pages) - u->free_size - u->object_size;
	u->problems = c->n_problems;
}

static int check_all(struct check *c, struct luo_heap *heap)
{
	int r = check_begin(c, heap);

	if (r < 0)
		return r;
	check_identity(c);
	check_index(c);
	check_leaves(c);
	check_leaf_sums(c);
	check_runs(c);
	if (c->error < 0)
		return c->error;
	check_free_lists(c);
	check_slot_pages(c);
	check_remote(c);
	if (c->error < 0)
		return c->error;
	check_slot_contents(c);
	check_slabs(c);
	check_roots(c);
	check_reached(c);
	count_pages(c);
	return c->n_problems > 0 ? -EUCLEAN : 0;
}

_public_ int luo_heap_check(struct luo_heap *heap,
			    void (*problem)(const char *text, void *userdata), void *userdata,
			    struct luo_heap_usage *ret_usage)
{
	struct check *c;
	int r;

	heap_problem_begin("checking the heap", heap ? heap_super(heap)->name : NULL);
	r = heap ? 0 : -EINVAL;
	if (r == 0 && ret_usage)
		r = sized_struct_check(ret_usage, USAGE_FIRST_SIZE);
	if (r < 0)
		return heap_problem_end(r);
	c = calloc(1, sizeof(*c));
	if (!c)
		return heap_problem_end(-ENOMEM);
	c->problem = problem;
	c->userdata = userdata;
	r = check_all(c, heap);
	if (r == -EUCLEAN)
		heap_problem(r, "it is damaged in %" PRIu64 " places, the first: %s", c->n_problems,
			     c->first);
	if (ret_usage && (r == 0 || r == -EUCLEAN))
		(void)sized_struct_return(ret_usage, USAGE_FIRST_SIZE, &c->usage, sizeof(c->usage));
	check_end(c);
	free(c);
	return heap_problem_end(r);
}
