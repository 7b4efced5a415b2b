/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Checks slabs: their heads, their lists, and whether each free block can be found: by a hint of
 * the owner, or because its slab is listed.
 */

#include <inttypes.h>

#include "libluo/heap/check.h"
#include "common/util.h"

#define SLAB(member) offsetof(struct heap_slab, member)

static uint64_t magazine_of(const struct check *c, unsigned slot, unsigned class)
{
	return c->slots[slot] + offsetof(struct heap_slot, magazines) +
	       class * sizeof(struct heap_magazine);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void check_list(struct check *c, unsigned slot, unsigned class)
{
	uint64_t magazine = magazine_of(c, slot, class), links;
	uint32_t page = check_load32(c, magazine + offsetof(struct heap_magazine, list));
	uint32_t before = 0;
	struct check_run *run;

	while (page) {
		run = check_run_at(c, page, HEAP_PAGE_SLAB);
		if (!run || run->owner != slot || run->class != class) {
			check_problem(c,
				      "slot %u, class %u: the list of slabs names page %" PRIu32
				      " (after page %" PRIu32
				      "), which is not a slab of that slot and class",
				      slot, class, page, before);
			return;
		}
		if (run->reached) {
			check_problem(c,
				      "slot %u, class %u: the slab at page %" PRIu32
				      " is listed twice, again after page %" PRIu32,
				      slot, class, page, before);
			return;
		}
		run->reached = true;
		links = check_load(c, check_page_offset(page) + SLAB(links));
		if ((uint32_t)links != before)
			check_problem(c,
				      "slot %u, class %u: the slab at page %" PRIu32
				      " names page %" PRIu32
				      " as the one before it, which is %" PRIu32,
				      slot, class, page, (uint32_t)links, before);
		before = page;
		page = (uint32_t)(links >> 32);
	}
}

/* ---- free blocks ----------------------------------------------------------------------------- */

/* The number of distinct free blocks of the slab that the owner's magazine names. */
static uint32_t count_hinted(const struct check *c, const struct check_run *run)
{
	uint64_t magazine = magazine_of(c, run->owner, run->class);
	uint32_t top = check_load32(c, magazine + offsetof(struct heap_magazine, top));
	uint32_t n = MIN2(top - check_load32(c, magazine + offsetof(struct heap_magazine, bottom)),
			  (uint32_t)HEAP_MAGAZINE);
	uint32_t blocks[HEAP_MAGAZINE], found = 0, k;

	for (uint32_t i = 1; i <= n; i++) {
		uint64_t hint = check_load(c, magazine + offsetof(struct heap_magazine, ring) +
						      (top - i) % HEAP_MAGAZINE * sizeof(uint64_t));
		uint32_t block = HEAP_HINT_BLOCK(hint);

		if (HEAP_HINT_PAGE(hint) != run->page || block >= heap_classes[run->class].blocks ||
		    check_block_used(c, run, block))
			continue;
		for (k = 0; k < found && blocks[k] != block; k++)
			;
		if (k == found)
			blocks[found++] = block;
	}
	return found;
}

static uint32_t count_used(struct check *c, const struct check_run *run)
{
	uint64_t at = check_page_offset(run->page) + SLAB(used);
	uint32_t blocks = heap_classes[run->class].blocks, used = 0;

	for (uint32_t i = 0; i < blocks; i += 64, at += sizeof(uint64_t)) {
		uint64_t word = check_load(c, at);
		uint64_t mask = blocks - i < 64 ? (UINT64_C(1) << (blocks - i)) - 1 : UINT64_MAX;

		if (word & ~mask)
			check_problem(c,
				      "the slab at page %" PRIu32 " has %" PRIu32
				      " blocks, and at offset 0x%" PRIx64
				      " more are in use: 0x%" PRIx64,
				      run->page, blocks, at, word);
		used += (uint32_t)__builtin_popcountll(word & mask);
	}
	return used;
}

static void check_findable(struct check *c, const struct check_run *run, uint32_t n_free)
{
	uint32_t hinted;

	if (run->listed || n_free == 0 || run->owner >= c->n_slots || !c->slots[run->owner])
		return;
	hinted = count_hinted(c, run);
	if (hinted < n_free)
		check_problem(c,
			      "the slab at page %" PRIu32 " (slot %u, class %u) has %" PRIu32
			      " free blocks, of which hints name %" PRIu32 ", and is not listed",
			      run->page, run->owner, run->class, n_free, hinted);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void check_head(struct check *c, struct check_run *run)
{
	uint64_t at = check_page_offset(run->page), other;
	uint64_t check = check_load(c, at + SLAB(check)), listed = check_load(c, at + SLAB(listed));
	uint64_t expected = heap_mix(c->id, run->page, run->class);

	if (check != expected)
		check_problem(c,
			      "the slab at page %" PRIu32 " (offset 0x%" PRIx64
			      "): its check word is 0x%016" PRIx64 ", not 0x%016" PRIx64,
			      run->page, at, check, expected);
	if (run->owner >= c->n_slots)
		check_problem(c,
			      "the slab at page %" PRIu32
			      " belongs to slot %u, and there are %u slots",
			      run->page, run->owner, c->n_slots);
	if (listed > 1)
		check_problem(c,
			      "the slab at page %" PRIu32 " (offset 0x%" PRIx64
			      "): listed is 0x%" PRIx64 ", not 0 or 1",
			      run->page, at + SLAB(listed), listed);
	run->listed = listed == 1;
	if (run->listed != run->reached)
		check_problem(c, "the slab at page %" PRIu32 " (slot %u, class %u) %s", run->page,
			      run->owner, run->class,
			      run->reached ? "is in the list, but is marked as not listed"
					   : "is marked as listed, but is not in the list");
	if (!run->listed && check_load(c, at + SLAB(links)) != 0)
		check_problem(
			c, "the slab at page %" PRIu32 " is not listed, and has links: 0x%" PRIx64,
			run->page, check_load(c, at + SLAB(links)));
	if (!check_is_zero(c, at + SLAB(reserved), at + SLAB(used), &other))
		check_problem(c,
			      "the slab at page %" PRIu32 ": at offset 0x%" PRIx64 " is not zero",
			      run->page, other);
}

static void check_slab(struct check *c, struct check_run *run)
{
	const struct heap_class *class = &heap_classes[run->class];
	uint32_t used, n_free;

	check_head(c, run);
	used = count_used(c, run);
	n_free = class->blocks - used;
	check_findable(c, run, n_free);
	/* A live owner may have taken them since. */
	used -= MIN2(used, run->remote);
	c->usage.slabs++;
	c->usage.objects += used;
	c->usage.object_size += (uint64_t)used * class->size;
	c->usage.free_size += (uint64_t)(class->blocks - used) * class->size;
}

void check_slabs(struct check *c)
{
	for (unsigned i = 0; i < c->n_slots; i++)
		for (unsigned class = 0; class < HEAP_CLASSES && c->slots[i]; class ++)
			check_list(c, i, class);
	for (size_t i = 0; i < c->n_runs; i++)
		if (c->runs[i].kind == HEAP_PAGE_SLAB)
			check_slab(c, &c->runs[i]);
}
