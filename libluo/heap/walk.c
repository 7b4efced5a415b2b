/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* luo_heap_walk() visits every allocated block. */

#include "libluo/heap/check.h"
#include "common/util.h"

typedef int (*visit_fn)(void *ptr, size_t size, void *userdata);

/*
 * The bits are read before their blocks are visited, because the visitor may write to its block,
 * and to nothing else.
 */
static int walk_slab(const struct check *c, const struct check_run *run, visit_fn visit,
		     void *userdata)
{
	uint64_t bits = check_page_offset(run->page) + offsetof(struct heap_slab, used), offset;
	const struct heap_class *class = &heap_classes[run->class];
	int r = 0;

	for (uint32_t i = 0; i < class->blocks && r == 0; i += 64, bits += sizeof(uint64_t))
		for (uint64_t word = check_load(c, bits); word && r == 0; word &= word - 1) {
			uint32_t block = i + (uint32_t)__builtin_ctzll(word);

			if (block >= class->blocks)
				break;
			offset = check_page_offset(run->page) + class->first +
				 (uint64_t)block * class->size;
			if (!check_set_has(&c->remote, offset))
				r = visit(heap_at(c->heap, offset), class->size, userdata);
		}
	return r;
}

static int walk(const struct check *c, visit_fn visit, void *userdata)
{
	int r = 0;

	for (size_t i = 0; i < c->n_runs && r == 0; i++)
		if (c->runs[i].kind == HEAP_PAGE_SLAB)
			r = walk_slab(c, &c->runs[i], visit, userdata);
		else if (c->runs[i].kind == HEAP_PAGE_RUN)
			r = visit(heap_page(c->heap, c->runs[i].page),
				  check_page_offset(c->runs[i].pages), userdata);
	return r;
}

/* Damaged parts are skipped and reported at the end. */
static int survey_and_walk(struct check *c, struct luo_heap *heap, visit_fn visit, void *userdata)
{
	int r = check_begin(c, heap);

	if (r < 0)
		return r;
	check_leaves(c);
	check_runs(c);
	check_slot_pages(c);
	check_remote(c);
	if (c->error < 0)
		return c->error;
	r = walk(c, visit, userdata);
	if (r == 0 && c->n_problems > 0)
		r = heap_problem(-EUCLEAN, "some blocks may be missing: %s", c->first);
	return r;
}

_public_ int luo_heap_walk(struct luo_heap *heap, visit_fn visit, void *userdata)
{
	struct check *c = calloc(1, sizeof(*c));
	int r;

	heap_problem_begin("walking through the heap", heap_super(heap)->name);
	if (!c)
		return heap_problem_end(-ENOMEM);
	r = survey_and_walk(c, heap, visit, userdata);
	check_end(c);
	free(c);
	return r < 0 ? heap_problem_end(r) : r;
}
