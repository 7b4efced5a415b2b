/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Allocates and frees. Sizes up to 128 KiB come from slabs, without a lock. Larger objects have
 * pages of their own, under the lock of the heap.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#define ALIGN_MAX ((size_t)2 << 20)

/* ---------------------------------- small objects ---------------------------------- */

/*
 * The common case in few instructions: the newest hint is right, and no transaction is open.
 * Otherwise NULL, and the caller takes the complete path.
 */
static inline void *alloc_at_once(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	const struct heap_class *k = &heap_classes[class];
	uint64_t hint, *word, bits, bit;
	uint32_t top = m->top, block;
	uint8_t *slab;

	if (top == m->bottom || s->in_tx)
		return NULL;
	hint = m->ring[(top - 1) % HEAP_MAGAZINE];
	block = HEAP_HINT_BLOCK(hint);
	slab = heap_page(h, HEAP_HINT_PAGE(hint));
	word = &((struct heap_slab *)slab)->used[block / 64];
	bits = heap_load(word);
	bit = UINT64_C(1) << block % 64;
	if (bits & bit)
		return NULL;
	heap_store(word, bits | bit);
	heap_store32(&m->top, top - 1);
	return slab + k->first + block * k->size;
}

static void *alloc_block(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	const struct heap_class *k = &heap_classes[class];

	for (;;) {
		uint32_t top = m->top, page, block;
		uint64_t hint, *word, bits, bit, offset;
		int r;

		if (__builtin_expect(top == m->bottom, 0)) {
			r = heap_refill(h, s, class);
			if (r == 0)
				continue;
			offset = r == -EUCLEAN ? 0 : heap_take_freed(h, s, class);
			return offset ? heap_at(h, offset) : heap_alloc_failed(h, r);
		}
		hint = m->ring[(top - 1) % HEAP_MAGAZINE];
		page = HEAP_HINT_PAGE(hint);
		block = HEAP_HINT_BLOCK(hint);
		word = &heap_slab(h, page)->used[block / 64];
		bits = heap_load(word);
		bit = UINT64_C(1) << block % 64;
		if (__builtin_expect((bits & bit) != 0, 0)) {
			heap_store32(&m->top, top - 1); /* used meanwhile */
			continue;
		}
		offset = ((uint64_t)page << HEAP_PAGE_SHIFT) + k->first + block * k->size;
		if (__builtin_expect(s->in_tx, 0)) {
			r = heap_tx_note_alloc(h, s, offset);
			if (r < 0)
				return heap_alloc_failed(h, r);
		}
		heap_store(word, bits | bit);
		heap_store32(&m->top, top - 1);
		return heap_at(h, offset);
	}
}

/*
 * The common case in few instructions: a block of our own slab, no transaction, room in the
 * magazine, nothing freed by other threads. Otherwise false, and the caller takes the complete
 * path.
 */
static inline bool free_at_once(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset)
{
	uint32_t page = (uint32_t)(offset >> HEAP_PAGE_SHIFT), rel, block;
	const struct heap_class *k;
	const struct heap_desc *leaf;
	struct heap_magazine *m;
	uint64_t word, *bits, old, bit;

	if (offset >= h->max_size || page >= heap_pages(h))
		return false;
	leaf = __atomic_load_n(&h->leaves[page / HEAP_LEAF_PAGES], __ATOMIC_ACQUIRE);
	if (!leaf)
		return false;
	word = heap_load(&leaf[page % HEAP_LEAF_PAGES].word);
	if ((word & (HEAP_DESC_SLAB(0, UINT16_MAX, 0) | 0xf)) != HEAP_DESC_SLAB(0, s->index, 0) ||
	    HEAP_DESC_CLASS(word) >= HEAP_CLASSES || s->in_tx || heap_load(&s->slot->remote))
		return false;
	k = &heap_classes[HEAP_DESC_CLASS(word)];
	m = &s->slot->magazines[HEAP_DESC_CLASS(word)];
	rel = (uint32_t)(offset % HEAP_PAGE) - k->first;
	block = (uint32_t)(rel * k->reciprocal >> 40);
	if ((int32_t)rel < 0 || block >= k->blocks || block * k->size != rel ||
	    m->top - m->bottom == HEAP_MAGAZINE)
		return false;
	bits = &heap_slab(h, page)->used[block / 64];
	old = heap_load(bits);
	bit = UINT64_C(1) << block % 64;
	if (!(old & bit))
		return false;
	heap_store(&m->ring[m->top % HEAP_MAGAZINE], HEAP_HINT(page, block));
	heap_store32(&m->top, m->top + 1);
	heap_store(bits, old & ~bit);
	return true;
}

/* Clears the bit of a block of our own slab, after adding a hint to it. */
static int free_block(struct luo_heap *h, struct heap_slot_state *s, const struct heap_block *b)
{
	unsigned class = HEAP_DESC_CLASS(b->desc);
	struct heap_magazine *m = &s->slot->magazines[class];
	uint64_t *word = &heap_slab(h, b->page)->used[b->block / 64];
	int r;

	if (__builtin_expect(m->top - m->bottom == HEAP_MAGAZINE, 0)) {
		r = heap_evict(h, s, class);
		if (r < 0)
			return r;
	}
	heap_store(&m->ring[m->top % HEAP_MAGAZINE], HEAP_HINT(b->page, b->block));
	heap_store32(&m->top, m->top + 1);
	heap_store(word, heap_load(word) & ~(UINT64_C(1) << b->block % 64));
	return 0;
}

/*
 * Pushes the block to the remote list of the slot that owns the slab. The block's own memory is the
 * link; its second word marks it, so that a second free is noticed.
 */
static int free_remote(struct luo_heap *h, uint64_t offset)
{
	uint64_t *words = heap_at(h, offset);

	for (;;) {
		struct heap_slot_state *owner;
		struct heap_block b;
		int r;

		r = heap_block_find(h, offset, &b);
		if (r < 0)
			return r;
		owner = &h->slots[HEAP_DESC_OWNER(b.desc)];
		pthread_mutex_lock(&owner->remote_lock);
		if (heap_load(&heap_desc(h, b.page)->word) != b.desc) {
			pthread_mutex_unlock(&owner->remote_lock);
			continue; /* the slab has another owner now */
		}
		if (heap_is_freed(h, owner, offset)) {
			r = -EALREADY;
		} else {
			heap_store(&words[1], heap_freed_mark(h, offset));
			heap_store(&words[0], heap_load(&owner->slot->remote));
			heap_store(&owner->slot->remote, offset);
		}
		pthread_mutex_unlock(&owner->remote_lock);
		return r;
	}
}

/* ---------------------------------- large objects ---------------------------------- */

static void *alloc_run(struct luo_heap *h, struct heap_slot_state *s, size_t size, size_t alignment,
		       bool *ret_zero)
{
	uint64_t pages = ((uint64_t)size + HEAP_PAGE - 1) >> HEAP_PAGE_SHIFT;
	uint32_t align = (uint32_t)MAX2(alignment >> HEAP_PAGE_SHIFT, (size_t)1), page;
	struct heap_change c;
	int r = 0;

	if (size > LUO_HEAP_MAX)
		return heap_alloc_failed(h, -ENOMEM);
	if (s->in_tx)
		r = heap_tx_reserve(h, s);
	if (r < 0)
		return heap_alloc_failed(h, r);
	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	r = heap_pages_alloc(&c, (uint32_t)pages, align, &page, ret_zero);
	if (r < 0 && r != -EUCLEAN && heap_slabs_reclaim(h, s)) {
		heap_change_init(&c, h);
		r = heap_pages_alloc(&c, (uint32_t)pages, align, &page, ret_zero);
	}
	if (r == 0) {
		heap_pages_describe(&c, page, HEAP_DESC(HEAP_PAGE_RUN, pages));
		if (s->in_tx)
			heap_tx_put_alloc(&c, s->slot, (uint64_t)page << HEAP_PAGE_SHIFT);
		r = heap_change_commit(&c);
	}
	pthread_mutex_unlock(&h->lock);
	return r < 0 ? heap_alloc_failed(h, r) : heap_page(h, page);
}

static int free_run(struct luo_heap *h, uint64_t offset)
{
	struct heap_change c;
	struct heap_block b;
	int r;

	pthread_mutex_lock(&h->lock);
	r = heap_block_find(h, offset, &b); /* again, because another thread may free it too */
	if (r == 0 && HEAP_DESC_KIND(b.desc) != HEAP_PAGE_RUN)
		r = -EINVAL;
	if (r == 0) {
		heap_change_init(&c, h);
		heap_pages_free(&c, b.page);
		r = heap_change_commit(&c);
	}
	if (r == 0)
		heap_pages_settle(h, HEAP_DESC_PAGES(b.desc));
	pthread_mutex_unlock(&h->lock);
	return r;
}

/* ------------------------------------- both ------------------------------------- */

static void *alloc(struct luo_heap *h, size_t size, size_t alignment, bool *ret_zero)
{
	struct heap_slot_state *s = heap_slot_enter(h);
	void *p;

	if (__builtin_expect(!s, 0))
		return NULL;
	*ret_zero = false;
	if (size <= HEAP_CLASS_MAX && alignment <= 16) {
		p = alloc_block(h, s, heap_class_of(size));
	} else if (size <= HEAP_CLASS_MAX && alignment <= 4096) {
		/* A multiple of the alignment; then the blocks of its class are aligned too. */
		unsigned class = heap_class_of(MAX2(size, alignment));

		while (class < HEAP_CLASSES && heap_classes[class].size % alignment)
			class ++;
		p = alloc_block(h, s, class);
	} else {
		p = alloc_run(h, s, size ?: 1, alignment, ret_zero);
	}
	heap_slot_leave(s);
	return p;
}

/* Not inlined, and called last: the common case then needs no stack. */
static __attribute__((__noinline__)) void *alloc_slowly(struct luo_heap *h, size_t size)
{
	bool zero;

	return alloc(h, size, 1, &zero);
}

_public_ void *luo_heap_alloc(struct luo_heap *h, size_t size)
{
	struct heap_slot_state *s = heap_slot_cached(h);

	if (__builtin_expect(s && size <= HEAP_CLASS_MAX, 1)) {
		void *p = alloc_at_once(h, s, heap_class_of(size));

		if (__builtin_expect(p != NULL, 1))
			return p;
	}
	return alloc_slowly(h, size);
}

_public_ void *luo_heap_calloc(struct luo_heap *h, size_t n, size_t size)
{
	size_t bytes;
	bool zero;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return heap_alloc_failed(h, -ENOMEM);
	p = alloc(h, bytes, 1, &zero);
	if (p && !zero)
		memset(p, 0, bytes);
	return p;
}

_public_ void *luo_heap_aligned_alloc(struct luo_heap *h, size_t alignment, size_t size)
{
	bool zero;

	if (alignment == 0 || (alignment & (alignment - 1)) || alignment > ALIGN_MAX)
		return heap_alloc_failed(h, -EINVAL);
	return alloc(h, size, alignment, &zero);
}

/* Freed by another thread, and not yet drained by its owner. */
static bool was_freed(struct luo_heap *h, const struct heap_block *b, uint64_t offset)
{
	struct heap_slot_state *owner = &h->slots[HEAP_DESC_OWNER(b->desc)];
	const uint64_t *words = heap_at(h, offset);
	bool freed;

	if (__builtin_expect(heap_load(&owner->slot->remote) == 0, 1) ||
	    heap_load(&words[1]) != heap_freed_mark(h, offset))
		return false;
	pthread_mutex_lock(&owner->remote_lock);
	freed = heap_is_freed(h, owner, offset);
	pthread_mutex_unlock(&owner->remote_lock);
	return freed;
}

static int free_offset(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset)
{
	struct heap_block b;
	int r;

	r = heap_block_find(h, offset, &b);
	if (r < 0)
		return r;
	if (HEAP_DESC_KIND(b.desc) == HEAP_PAGE_SLAB && was_freed(h, &b, offset))
		return -EALREADY;
	if (__builtin_expect(s->in_tx, 0))
		return heap_tx_note_free(h, s, offset);
	if (HEAP_DESC_KIND(b.desc) == HEAP_PAGE_RUN)
		return free_run(h, offset);
	if (HEAP_DESC_OWNER(b.desc) != s->index)
		return free_remote(h, offset);
	return free_block(h, s, &b);
}

/* Freed by a thread without a slot: a full heap must not prevent freeing. */
static int free_without_slot(struct luo_heap *h, uint64_t offset)
{
	struct heap_block b;
	int r;

	r = heap_block_find(h, offset, &b);
	if (r < 0)
		return r;
	return HEAP_DESC_KIND(b.desc) == HEAP_PAGE_RUN ? free_run(h, offset)
						       : free_remote(h, offset);
}

static __attribute__((__noinline__)) int free_slowly(struct luo_heap *h, void *ptr)
{
	struct heap_slot_state *s = heap_slot_enter(h);
	int r;

	if (!s) {
		if (h->read_only)
			return -errno;
		r = free_without_slot(h, heap_offset(h, ptr));
	} else {
		r = free_offset(h, s, heap_offset(h, ptr));
		heap_tx_spoil(s, r);
		heap_slot_leave(s);
	}
	if (r == -EINVAL)
		return heap_refused(h, "freeing in the heap", r, "no block begins at that address");
	if (r == -EALREADY)
		return heap_refused(h, "freeing in the heap", r, "the block is free already");
	return r < 0 ? heap_failed(h, "freeing in the heap", r) : 0;
}

_public_ int luo_heap_free(struct luo_heap *h, void *ptr)
{
	struct heap_slot_state *s;

	if (!ptr)
		return 0;
	s = heap_slot_cached(h);
	if (__builtin_expect(s && free_at_once(h, s, heap_offset(h, ptr)), 1))
		return 0;
	return free_slowly(h, ptr);
}

_public_ size_t luo_heap_usable_size(struct luo_heap *h, const void *ptr)
{
	struct heap_block b;

	if (!ptr || heap_block_find(h, heap_offset(h, ptr), &b) < 0)
		return 0;
	if (HEAP_DESC_KIND(b.desc) == HEAP_PAGE_RUN)
		return (size_t)HEAP_DESC_PAGES(b.desc) << HEAP_PAGE_SHIFT;
	return heap_classes[HEAP_DESC_CLASS(b.desc)].size;
}

_public_ void *luo_heap_realloc(struct luo_heap *h, void *ptr, size_t size)
{
	size_t usable;
	void *p;
	int r;

	if (!ptr)
		return luo_heap_alloc(h, size);
	usable = luo_heap_usable_size(h, ptr);
	if (usable == 0)
		return heap_alloc_failed(h, -EINVAL);
	/* In place, unless more than half would be wasted. */
	if (!h->read_only && size <= usable && (size >= usable / 2 || usable <= 32))
		return ptr;
	p = luo_heap_alloc(h, size);
	if (!p)
		return NULL;
	memcpy(p, ptr, MIN2(size, usable));
	r = luo_heap_free(h, ptr);
	if (r < 0) {
		(void)luo_heap_free(h, p);
		return heap_alloc_failed(h, r);
	}
	return p;
}

_public_ int luo_heap_trim(struct luo_heap *h)
{
	struct heap_slot_state *s = heap_slot_enter(h);
	int r;

	if (!s)
		return -errno;
	pthread_mutex_lock(&h->lock);
	heap_slabs_trim(h, s, heap_pages(h));
	r = heap_pages_trim(h, 1);
	pthread_mutex_unlock(&h->lock);
	heap_slot_leave(s);
	return r < 0 ? heap_failed(h, "trimming the heap", r) : 0;
}
