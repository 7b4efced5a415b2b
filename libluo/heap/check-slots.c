/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Checks slots: their logs, transactions, magazines, and the blocks that other threads freed. */

#include <inttypes.h>

#include "libluo/heap/check.h"
#include "common/util.h"

#define INDEX(member) (HEAP_INDEX_OFFSET + offsetof(struct heap_index, member))
#define SLOT(member)  offsetof(struct heap_slot, member)

/* ---- where they are -------------------------------------------------------------------------- */

/* The page of slots 4@i to 4@i + 3, or 0. */
static uint32_t slot_page(struct check *c, unsigned i)
{
	uint32_t page = heap_load32(&heap_index(c->heap)->slot_pages[i]);
	struct check_run *run = check_run_at(c, page, HEAP_PAGE_META);

	if (!run || run->reached) {
		check_problem(c,
			      "the slots %u to %u are said to be in page %" PRIu32 ", which is %s",
			      i * HEAP_SLOTS_PER_PAGE, i * HEAP_SLOTS_PER_PAGE + 3, page,
			      run ? "something else already" : "not a page of tables");
		return 0;
	}
	run->reached = true;
	return page;
}

/* The super page and the leaves are marked here too, because slots must not overlap them. */
static void reach_tables(struct check *c)
{
	struct check_run *run = check_run_at(c, 0, HEAP_PAGE_META);

	if (run)
		run->reached = true;
	else
		check_problem(c,
			      "page 0 is the super page, and its descriptor says something else");
	for (unsigned i = 0; i < HEAP_LEAVES; i++) {
		if (!c->leaves[i])
			continue;
		run = check_run_at(c, c->leaves[i], HEAP_PAGE_META);
		if (!run || run->reached)
			check_problem(c, "leaf %u is said to be page %" PRIu32 ", which is %s", i,
				      c->leaves[i],
				      run ? "something else already" : "not a page of tables");
		else
			run->reached = true;
	}
}

void check_slot_pages(struct check *c)
{
	unsigned n = check_load32(c, INDEX(slots)), n_pages;
	uint32_t page = 0;

	if (n > HEAP_SLOTS) {
		check_problem(c, "the index has %u slots, more than %d", n, HEAP_SLOTS);
		n = HEAP_SLOTS;
	}
	c->n_slots = n;
	reach_tables(c);
	for (unsigned i = 0; i < n; i++) {
		if (i % HEAP_SLOTS_PER_PAGE == 0)
			page = slot_page(c, i / HEAP_SLOTS_PER_PAGE);
		if (page)
			c->slots[i] =
				check_page_offset(page) + i % HEAP_SLOTS_PER_PAGE * HEAP_SLOT_SIZE;
	}
	n_pages = (n + HEAP_SLOTS_PER_PAGE - 1) / HEAP_SLOTS_PER_PAGE;
	for (unsigned i = n_pages; i < HEAP_SLOT_PAGES; i++)
		if (heap_load32(&heap_index(c->heap)->slot_pages[i]) != 0)
			check_problem(c,
				      "there are %u slots, and page %" PRIu32
				      " is said to have the slots from %u on",
				      n, heap_load32(&heap_index(c->heap)->slot_pages[i]),
				      i * HEAP_SLOTS_PER_PAGE);
}

/*
 * ---- blocks that other threads freed ----------------------------------------------------------
 */

/* The list entry at @offset; returns the next one, or 0 at the end and if it cannot be followed. */
static uint64_t check_remote_block(struct check *c, unsigned slot, uint64_t offset)
{
	struct check_run *run;
	uint32_t block;
	int r;

	run = check_block_at(c, offset, &block);
	if (!run) {
		check_problem(c,
			      "slot %u: the list of blocks that others freed names 0x%" PRIx64
			      ", where no block begins",
			      slot, offset);
		return 0;
	}
	if (run->owner != slot)
		check_problem(
			c,
			"slot %u: the list of blocks that others freed has the block at 0x%" PRIx64
			", whose slab is of slot %u",
			slot, offset, run->owner);
	if (!check_block_used(c, run, block))
		check_problem(
			c,
			"slot %u: the list of blocks that others freed has the block at 0x%" PRIx64
			", which is free already",
			slot, offset);
	r = check_set_add(&c->remote, offset);
	if (r < 0)
		c->error = r;
	if (r == 0)
		check_problem(
			c,
			"slot %u: the list of blocks that others freed has the block at 0x%" PRIx64
			" twice",
			slot, offset);
	if (r <= 0)
		return 0;
	if (check_block_used(c, run, block))
		run->remote++;
	return check_load(c, offset);
}

void check_remote(struct check *c)
{
	for (unsigned i = 0; i < c->n_slots; i++) {
		uint64_t offset = c->slots[i] ? check_load(c, c->slots[i] + SLOT(remote)) : 0;

		while (offset)
			offset = check_remote_block(c, i, offset);
	}
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* The segments of the log, from the newest to the oldest; each belongs to one slot. */
static void check_segments(struct check *c, unsigned slot, uint32_t words, uint64_t segment)
{
	struct check_run *run;
	uint64_t room;

	while (segment) {
		run = check_run_at(c, segment >> HEAP_PAGE_SHIFT, HEAP_PAGE_LOG);
		if (!run || run->reached || segment % HEAP_PAGE != 0) {
			check_problem(c,
				      "slot %u: its transaction's log goes on at 0x%" PRIx64
				      ", which is %s",
				      slot, segment,
				      run && run->reached ? "part of a log already"
							  : "not a segment of a log");
			return;
		}
		run->reached = true;
		room = (check_page_offset(run->pages) - sizeof(struct heap_tx_segment)) /
		       sizeof(uint64_t);
		if (words > room)
			check_problem(c,
				      "slot %u: the segment at 0x%" PRIx64
				      " of its transaction's log has room for %" PRIu64
				      " words, and %" PRIu32 " are said to be in it",
				      slot, segment, room, words);
		words = (uint32_t)check_load(
			c, segment + offsetof(struct heap_tx_segment, previous_word));
		segment = check_load(c, segment + offsetof(struct heap_tx_segment, previous));
	}
	if (words > HEAP_TX_INLINE)
		check_problem(
			c,
			"slot %u: its transaction's log has room for %d words in the slot, and %" PRIu32
			" are said to be in it",
			slot, HEAP_TX_INLINE, words);
}

static void check_tx(struct check *c, unsigned slot, uint64_t at)
{
	uint64_t word = check_load(c, at + SLOT(tx.word));
	uint64_t segment = check_load(c, at + SLOT(tx.segment));
	bool ours = c->heap->slots[slot].in_tx;

	if (word >> 32 > HEAP_TX_COMMITTING)
		check_problem(c,
			      "slot %u: the state of its transaction (offset 0x%" PRIx64
			      ") is 0x%" PRIx64,
			      slot, at + SLOT(tx.word), word >> 32);
	/* Without a live owner, it waits for the next opener with write access, which ends it. */
	else if (word >> 32 != HEAP_TX_NONE && !ours && !c->heap->read_only)
		check_problem(c,
			      "slot %u: a transaction is open (offset 0x%" PRIx64
			      "), and no thread is in it",
			      slot, at + SLOT(tx.word));
	if (word >> 32 == HEAP_TX_NONE && (word != 0 || segment != 0))
		check_problem(c,
			      "slot %u: there is no transaction, and its log (offset 0x%" PRIx64
			      ") has something: 0x%" PRIx64 " 0x%" PRIx64,
			      slot, at + SLOT(tx.word), word, segment);
	else if (word >> 32 != HEAP_TX_NONE && !c->heap->beside_owner &&
		 !heap_tx_is_sound(c->heap, heap_at(c->heap, at)))
		check_problem(
			c, "slot %u: the log of its transaction (offset 0x%" PRIx64 ") is invalid",
			slot, at + SLOT(tx.word));
	check_segments(c, slot, (uint32_t)word, segment);
}

/* ---- magazines ------------------------------------------------------------------------------- */

static bool check_hint(struct check *c, unsigned slot, unsigned class, uint64_t hint, uint64_t at)
{
	const struct check_run *run =
		check_run_at(c, hint >> 48 ? UINT64_MAX : HEAP_HINT_PAGE(hint), HEAP_PAGE_SLAB);

	if (!run || run->class != class || run->owner != slot) {
		check_problem(c,
			      "slot %u, class %u: the hint 0x%" PRIx64 " (offset 0x%" PRIx64
			      ") names page %" PRIu32
			      ", which is not a slab of that slot and class",
			      slot, class, hint, at, HEAP_HINT_PAGE(hint));
		return false;
	}
	if (HEAP_HINT_BLOCK(hint) >= heap_classes[class].blocks) {
		check_problem(c,
			      "slot %u, class %u: the hint 0x%" PRIx64 " (offset 0x%" PRIx64
			      ") names block %" PRIu32 " of a slab that has %" PRIu32,
			      slot, class, hint, at, HEAP_HINT_BLOCK(hint),
			      heap_classes[class].blocks);
		return false;
	}
	return true;
}

static void check_magazine(struct check *c, unsigned slot, unsigned class, uint64_t at)
{
	uint32_t top = check_load32(c, at + offsetof(struct heap_magazine, top));
	uint32_t bottom = check_load32(c, at + offsetof(struct heap_magazine, bottom));

	if (top - bottom > HEAP_MAGAZINE) {
		check_problem(c,
			      "slot %u, class %u: the magazine (offset 0x%" PRIx64 ") has %" PRIu32
			      " hints, more than %d",
			      slot, class, at, top - bottom, HEAP_MAGAZINE);
		return;
	}
	if (check_load32(c, at + offsetof(struct heap_magazine, reserved)) != 0)
		check_problem(c,
			      "slot %u, class %u: the magazine (offset 0x%" PRIx64
			      ") has something where zeros belong",
			      slot, class, at);
	/* If one hint is wrong, most are. */
	for (uint32_t i = bottom; i != top; i++) {
		uint64_t word = at + offsetof(struct heap_magazine, ring) +
				i % HEAP_MAGAZINE * sizeof(uint64_t);

		if (!check_hint(c, slot, class, check_load(c, word), word))
			return;
	}
}

/* ---- all of a slot --------------------------------------------------------------------------- */

static void check_slot(struct check *c, unsigned i, uint64_t at)
{
	uint64_t check = check_load(c, at + SLOT(check)), expected = heap_mix(c->id, i, 0), other;

	if (check != expected)
		check_problem(c,
			      "slot %u: its check word at offset 0x%" PRIx64 " is 0x%016" PRIx64
			      ", not 0x%016" PRIx64,
			      i, at + SLOT(check), check, expected);
	if (check_load(c, at + SLOT(log.commit)) != 0)
		check_problem(c,
			      "slot %u: its log (offset 0x%" PRIx64
			      ") is not empty: its commit word is 0x%016" PRIx64,
			      i, at + SLOT(log), check_load(c, at + SLOT(log.commit)));
	check_tx(c, i, at);
	for (unsigned class = 0; class < HEAP_CLASSES; class ++)
		check_magazine(c, i, class,
			       at + SLOT(magazines) + class * sizeof(struct heap_magazine));
	if (!check_is_zero(c, at + SLOT(reserved), at + SLOT(magazines), &other) ||
	    !check_is_zero(c, at + sizeof(struct heap_slot), at + HEAP_SLOT_SIZE, &other))
		check_problem(c, "slot %u: at offset 0x%" PRIx64 " is not zero", i, other);
}

void check_slot_contents(struct check *c)
{
	for (unsigned i = 0; i < c->n_slots; i++)
		if (c->slots[i])
			check_slot(c, i, c->slots[i]);
}
