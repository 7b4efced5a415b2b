/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Stores several words as one atomic step.
 *
 * A change collects words and their new values; reads while it is built go through it, so they see
 * the new values. To commit, the pairs go into a redo log, then the log's commit word gets their
 * number, then the words are written, then the commit word becomes 0 again. A crash before the
 * commit word is stored leaves nothing done. A crash after it leaves the rest to the next opener;
 * writing the same words again is harmless.
 *
 * Sums cover the words of the index, the roots, the directory and the leaves. A sum adds up a
 * contribution of each word, so a change includes the new sums as words of its own.
 */

#include <assert.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

void heap_change_init(struct heap_change *c, struct luo_heap *h)
{
	c->heap = h;
	c->n = 0;
	c->n_leaves = 0;
	c->damaged = false;
	c->indexed = false;
	c->index_delta = 0;
}

static struct heap_log_entry *find(const struct heap_change *c, uint64_t offset)
{
	for (unsigned i = c->n; i > 0; i--)
		if (c->entries[i - 1].offset == offset)
			return (struct heap_log_entry *)&c->entries[i - 1];
	return NULL;
}

uint64_t heap_change_get(const struct heap_change *c, const uint64_t *word)
{
	const struct heap_log_entry *e = find(c, heap_offset(c->heap, word));

	return e ? e->value : heap_load(word);
}

static bool in_index(uint64_t offset)
{
	return (offset > HEAP_INDEX_OFFSET && offset < HEAP_LOG_OFFSET) ||
	       (offset >= HEAP_ROOTS_OFFSET && offset < HEAP_SUPER_END);
}

/* Returns what the change adds to a sum that covers the word. */
static uint64_t put(struct heap_change *c, uint64_t *word, uint64_t value)
{
	uint64_t offset = heap_offset(c->heap, word), old;
	struct heap_log_entry *e = find(c, offset);

	if (e) {
		old = e->value;
	} else {
		old = heap_load(word);
		if (old == value)
			return 0;
		assert(c->n < HEAP_LOG_ENTRIES);
		e = &c->entries[c->n++];
		e->offset = offset;
	}
	e->value = value;
	return heap_sum_word(offset, value) - heap_sum_word(offset, old);
}

void heap_change_put(struct heap_change *c, uint64_t *word, uint64_t value)
{
	uint64_t delta = put(c, word, value);

	if (in_index(heap_offset(c->heap, word))) {
		c->indexed = true;
		c->index_delta += delta;
	}
}

static uint64_t *word_of(const void *p, unsigned *ret_shift)
{
	uintptr_t at = (uintptr_t)p;

	*ret_shift = (unsigned)(at % 8) * 8;
	return (uint64_t *)(at - at % 8);
}

uint32_t heap_change_get32(const struct heap_change *c, const uint32_t *half)
{
	unsigned shift;
	const uint64_t *word = word_of(half, &shift);

	return (uint32_t)(heap_change_get(c, word) >> shift);
}

static void put_bits(struct heap_change *c, void *p, uint64_t mask, uint64_t value)
{
	unsigned shift;
	uint64_t *word = word_of(p, &shift);
	uint64_t old = heap_change_get(c, word);

	heap_change_put(c, word, (old & ~(mask << shift)) | value << shift);
}

void heap_change_put32(struct heap_change *c, uint32_t *half, uint32_t value)
{
	put_bits(c, half, UINT32_MAX, value);
}

uint8_t heap_change_get8(const struct heap_change *c, const uint8_t *byte)
{
	unsigned shift;
	const uint64_t *word = word_of(byte, &shift);

	return (uint8_t)(heap_change_get(c, word) >> shift);
}

void heap_change_put8(struct heap_change *c, uint8_t *byte, uint8_t value)
{
	put_bits(c, byte, UINT8_MAX, value);
}

/* Read through the change, because the change itself may make the leaf. */
static struct heap_desc *desc_of(struct heap_change *c, uint32_t page)
{
	struct luo_heap *h = c->heap;
	struct heap_desc *desc = NULL;
	uint64_t leaf_page;

	if (page < heap_pages(h)) {
		desc = heap_desc(h, page);
	} else if (page < heap_change_get32(c, &heap_index(h)->pages)) {
		/* The leaf is not verified yet if this is its first page. */
		leaf_page = heap_change_get(c, &heap_directory(h)[page / HEAP_LEAF_PAGES].page);
		if (leaf_page > 0 && leaf_page < heap_change_get32(c, &heap_index(h)->pages))
			desc = (struct heap_desc *)heap_page(h, (uint32_t)leaf_page) +
			       page % HEAP_LEAF_PAGES;
	}
	if (!desc)
		c->damaged = true;
	return desc;
}

struct heap_desc heap_change_get_desc(struct heap_change *c, uint32_t page)
{
	const struct heap_desc *desc = desc_of(c, page);

	if (!desc)
		return (struct heap_desc){ 0 };
	return (struct heap_desc){
		.word = heap_change_get(c, &desc->word),
		.links = heap_change_get(c, &desc->links),
	};
}

void heap_change_put_desc(struct heap_change *c, uint32_t page, uint64_t word, uint64_t links)
{
	struct heap_desc *desc = desc_of(c, page);
	uint32_t leaf = page / HEAP_LEAF_PAGES;
	unsigned i;

	if (!desc)
		return;
	for (i = 0; i < c->n_leaves && c->leaves[i].leaf != leaf; i++)
		;
	if (i == c->n_leaves) {
		assert(i < ELEMENTSOF(c->leaves));
		c->leaves[c->n_leaves].leaf = leaf;
		c->leaves[c->n_leaves++].delta = 0;
	}
	c->leaves[i].delta += put(c, &desc->word, word) + put(c, &desc->links, links);
}

static void put_sums(struct heap_change *c)
{
	struct luo_heap *h = c->heap;

	for (unsigned i = 0; i < c->n_leaves; i++) {
		uint64_t *sum = &heap_directory(h)[c->leaves[i].leaf].sum;

		heap_change_put(c, sum, heap_change_get(c, sum) + c->leaves[i].delta);
	}
	if (c->indexed)
		put(c, &heap_index(h)->sum, heap_load(&heap_index(h)->sum) + c->index_delta);
}

static uint32_t sum_entries(const struct heap_log_entry *entries, unsigned n)
{
	uint64_t sum = n;

	for (unsigned i = 0; i < n; i++)
		sum = heap_mix(sum, heap_load(&entries[i].offset), heap_load(&entries[i].value));
	return (uint32_t)(sum ^ sum >> 32);
}

static void write_words(struct luo_heap *h, const struct heap_log_entry *entries, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		heap_store(heap_at(h, heap_load(&entries[i].offset)), heap_load(&entries[i].value));
}

static int commit(struct heap_change *c, uint64_t *commit_word, struct heap_log_entry *log,
		  unsigned capacity)
{
	if (c->damaged)
		return -EUCLEAN;
	assert(c->n <= capacity);
	if (c->n <= 1) { /* one store is one instant */
		write_words(c->heap, c->entries, c->n);
		return 0;
	}
	for (unsigned i = 0; i < c->n; i++) {
		heap_store(&log[i].offset, c->entries[i].offset);
		heap_store(&log[i].value, c->entries[i].value);
	}
	heap_store(commit_word, c->n | (uint64_t)sum_entries(c->entries, c->n) << 32);
	write_words(c->heap, c->entries, c->n);
	heap_store(commit_word, 0);
	return 0;
}

int heap_change_commit(struct heap_change *c)
{
	struct heap_log *log = heap_log(c->heap);

	put_sums(c);
	return commit(c, &log->commit, log->entries, HEAP_LOG_ENTRIES);
}

int heap_change_commit_slot(struct heap_change *c, struct heap_slot *slot)
{
	assert(!c->indexed && c->n_leaves == 0);
	return commit(c, &slot->log.commit, slot->log.entries, HEAP_SLOT_LOG_ENTRIES);
}

/* For the log of a slot; the places of the slots must be verified. */
static bool in_slot_log(const struct luo_heap *h, uint64_t offset)
{
	uint64_t at = offset % HEAP_SLOT_SIZE, begin = offsetof(struct heap_slot, log);

	if (at < begin || at >= begin + sizeof(struct heap_slot_log))
		return false;
	for (unsigned i = 0; i < HEAP_SLOT_PAGES; i++)
		if (heap_load32(&heap_index(h)->slot_pages[i]) == offset >> HEAP_PAGE_SHIFT)
			return true;
	return false;
}

/*
 * No log writes into constant fields or into itself, because its entries are read again while they
 * are written. The log of a slot must not touch the super page, which was verified before.
 */
static bool may_be_logged(const struct luo_heap *h, uint64_t offset, bool of_heap)
{
	if (offset % 8 || offset > MIN2(h->file_size, h->max_size) - 8)
		return false;
	if (!of_heap)
		return offset >= HEAP_PAGE && !in_slot_log(h, offset);
	return offset >= HEAP_INDEX_OFFSET &&
	       !(offset >= HEAP_LOG_OFFSET && offset < HEAP_ROOTS_OFFSET);
}

bool heap_log_is_sound(const struct luo_heap *h, const uint64_t *commit_word,
		       const struct heap_log_entry *entries, unsigned capacity)
{
	bool of_heap = commit_word == &heap_log(h)->commit;
	uint64_t word = heap_load(commit_word);
	uint32_t n = (uint32_t)word;

	if (word == 0)
		return true;
	if (n == 0 || n > capacity || (uint32_t)(word >> 32) != sum_entries(entries, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!may_be_logged(h, heap_load(&entries[i].offset), of_heap))
			return false;
	return true;
}

void heap_log_complete(struct luo_heap *h, uint64_t *commit_word,
		       const struct heap_log_entry *entries)
{
	uint64_t word = heap_load(commit_word);

	if (word == 0)
		return;
	write_words(h, entries, (uint32_t)word);
	heap_store(commit_word, 0);
}
