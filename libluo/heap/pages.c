/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Runs of pages: two-level segregated fit (TLSF; Masmano, Ripoll, Crespo, Real: "TLSF: a New
 * Dynamic Memory Allocator for Real-Time Systems", 2004), in units of pages. Free runs are in lists
 * by size, eight for each doubling; two levels of bitmaps find the first list whose runs are all
 * large enough. Free neighbors are always merged. So each operation takes constant time, and
 * rounding wastes at most an eighth.
 *
 * Lists and descriptors are outside the pages, so free pages can be given back to the system.
 */

#include <assert.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#define GROW_MIN       4    /* pages */
#define GROW_MAX       1024 /* pages at once, unless more is needed */
#define LEAVES_AT_ONCE 8
#define SCAN_MAX       16  /* runs that are examined in a list whose runs may be too small */
#define KEEP_DIRTY     128 /* free pages that are kept from the system in any case */
#define GIVE_BACK_MIN  16  /* size of a run that is worth a system call */
#define SLAB_PAGES_MAX 17  /* each of them is a word of the change */

static void list_of(uint32_t n, unsigned *ret_fl, unsigned *ret_sl)
{
	unsigned log;

	if (n < HEAP_SL) {
		*ret_fl = 0;
		*ret_sl = n;
		return;
	}
	log = 31 - (unsigned)__builtin_clz(n);
	*ret_fl = log - HEAP_SL_SHIFT + 1;
	*ret_sl = (n >> (log - HEAP_SL_SHIFT)) & (HEAP_SL - 1);
}

static void link_set(struct heap_change *c, uint32_t page, bool next, uint32_t value)
{
	struct heap_desc d = heap_change_get_desc(c, page);
	unsigned shift = next ? 32 : 0;

	if (HEAP_DESC_KIND(d.word) != HEAP_PAGE_FREE)
		c->damaged = true;
	d.links = (d.links & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
	heap_change_put_desc(c, page, d.word, d.links);
}

static void count_free(struct heap_change *c, uint32_t by)
{
	uint32_t *count = &heap_index(c->heap)->free_pages;

	heap_change_put32(c, count, heap_change_get32(c, count) + by);
}

static void clear_ends(struct heap_change *c, uint32_t page, uint32_t n)
{
	heap_change_put_desc(c, page, 0, 0);
	if (n > 1)
		heap_change_put_desc(c, page + n - 1, 0, 0);
}

static void insert(struct heap_change *c, uint32_t page, uint32_t n, uint64_t flags)
{
	struct heap_index *index = heap_index(c->heap);
	unsigned fl, sl;
	uint32_t head;

	list_of(n, &fl, &sl);
	head = heap_change_get32(c, &index->lists[fl][sl]);
	heap_change_put_desc(c, page, HEAP_DESC(HEAP_PAGE_FREE, n) | flags, (uint64_t)head << 32);
	if (n > 1)
		heap_change_put_desc(c, page + n - 1, HEAP_DESC(HEAP_PAGE_FREE_TAIL, n), 0);
	if (head)
		link_set(c, head, false, page);
	heap_change_put32(c, &index->lists[fl][sl], page);
	heap_change_put8(c, &index->sl_bitmap[fl],
			 (uint8_t)(heap_change_get8(c, &index->sl_bitmap[fl]) | 1U << sl));
	heap_change_put32(c, &index->fl_bitmap, heap_change_get32(c, &index->fl_bitmap) | 1U << fl);
	count_free(c, n);
}

static void remove_from_list(struct heap_change *c, uint32_t page, const struct heap_desc *d)
{
	struct heap_index *index = heap_index(c->heap);
	uint32_t previous = (uint32_t)d->links, next = (uint32_t)(d->links >> 32);
	unsigned fl, sl;

	list_of(HEAP_DESC_PAGES(d->word), &fl, &sl);
	if (next)
		link_set(c, next, false, previous);
	if (previous) {
		link_set(c, previous, true, next);
		return;
	}
	if (heap_change_get32(c, &index->lists[fl][sl]) != page)
		c->damaged = true;
	heap_change_put32(c, &index->lists[fl][sl], next);
	if (!next) {
		uint8_t bits = heap_change_get8(c, &index->sl_bitmap[fl]) & ~(1U << sl);
		uint32_t fl_bits = heap_change_get32(c, &index->fl_bitmap);

		heap_change_put8(c, &index->sl_bitmap[fl], bits);
		if (!bits)
			heap_change_put32(c, &index->fl_bitmap, fl_bits & ~(1U << fl));
	}
}

/* Takes a free run out of the index; no page of it is described afterwards. */
static struct heap_desc take(struct heap_change *c, uint32_t page)
{
	struct heap_desc d = heap_change_get_desc(c, page);
	uint32_t n = HEAP_DESC_PAGES(d.word);
	uint32_t pages = heap_change_get32(c, &heap_index(c->heap)->pages);

	if (HEAP_DESC_KIND(d.word) != HEAP_PAGE_FREE || n == 0 || n > pages - page) {
		c->damaged = true;
		return (struct heap_desc){ 0 };
	}
	remove_from_list(c, page, &d);
	clear_ends(c, page, n);
	count_free(c, -n);
	return d;
}

/* Makes [page, page + n), which no run describes, free, and merges it with free neighbors. */
static void give(struct heap_change *c, uint32_t page, uint32_t n, uint64_t flags)
{
	uint32_t pages = heap_change_get32(c, &heap_index(c->heap)->pages);

	if (page > 0) {
		struct heap_desc d = heap_change_get_desc(c, page - 1);
		unsigned kind = HEAP_DESC_KIND(d.word);

		if (kind == HEAP_PAGE_FREE || kind == HEAP_PAGE_FREE_TAIL) {
			uint32_t before = HEAP_DESC_PAGES(d.word);

			if (before == 0 || before > page) {
				c->damaged = true;
				return;
			}
			page -= before;
			n += before;
			d = take(c, page);
			flags = (flags & d.word & HEAP_DESC_ZERO) |
				((flags | d.word) & HEAP_DESC_HOLES);
		}
	}
	if (page + n < pages) {
		struct heap_desc d = heap_change_get_desc(c, page + n);

		if (HEAP_DESC_KIND(d.word) == HEAP_PAGE_FREE) {
			d = take(c, page + n);
			n += HEAP_DESC_PAGES(d.word);
			flags = (flags & d.word & HEAP_DESC_ZERO) |
				((flags | d.word) & HEAP_DESC_HOLES);
		}
	}
	if (!c->damaged)
		insert(c, page, n, flags);
}

/* A run of at least @n pages from the lists, or 0. */
static uint32_t find_run(struct luo_heap *h, uint32_t n)
{
	const struct heap_index *index = heap_index(h);
	uint32_t rounded = n, page, bits;
	unsigned fl, sl;

	if (n >= HEAP_SL)
		rounded += (1U << (31 - (unsigned)__builtin_clz(n) - HEAP_SL_SHIFT)) - 1;
	list_of(rounded, &fl, &sl);
	bits = index->sl_bitmap[fl] & ~0U << sl;
	if (!bits) {
		uint32_t fls = fl + 1 < 32 ? heap_load32(&index->fl_bitmap) & ~0U << (fl + 1) : 0;

		if (fls) {
			fl = (unsigned)__builtin_ctz(fls);
			bits = fl < HEAP_FL ? index->sl_bitmap[fl] : 0;
		}
	}
	if (bits)
		return heap_load32(&index->lists[fl][__builtin_ctz(bits)]);

	/* The list of its own size may have a run that fits; examine it before the heap grows. */
	list_of(n, &fl, &sl);
	page = heap_load32(&index->lists[fl][sl]);
	for (unsigned i = 0; i < SCAN_MAX && page && page < heap_pages(h); i++) {
		const struct heap_desc *d = heap_desc(h, page);

		if (!d || HEAP_DESC_PAGES(heap_load(&d->word)) >= n)
			return page;
		page = (uint32_t)(heap_load(&d->links) >> 32);
	}
	return 0;
}

/* Makes leaves for the pages up to @pages, at the end of the heap; they may describe themselves. */
static int grow_leaves(struct luo_heap *h, uint32_t pages, uint32_t max_pages)
{
	struct heap_index *index = heap_index(h);

	while ((uint64_t)heap_load32(&index->leaves) * HEAP_LEAF_PAGES < pages) {
		uint32_t at = heap_pages(h), leaves = heap_load32(&index->leaves);
		struct heap_change c;
		int r;

		if (at + LEAVES_AT_ONCE > max_pages || leaves >= HEAP_LEAVES)
			return -ENOMEM;
		r = heap_file_grow(h, (uint64_t)(at + LEAVES_AT_ONCE) << HEAP_PAGE_SHIFT);
		if (r < 0)
			return r;
		if (h->limited)
			r = heap_file_reserve(h, (uint64_t)at << HEAP_PAGE_SHIFT,
					      LEAVES_AT_ONCE * HEAP_PAGE);
		if (r < 0)
			return r;
		heap_change_init(&c, h);
		for (unsigned i = 0; i < LEAVES_AT_ONCE && leaves < HEAP_LEAVES &&
				     (uint64_t)leaves * HEAP_LEAF_PAGES < pages;
		     i++, at++, leaves++) {
			heap_change_put(&c, &heap_directory(h)[leaves].page, at);
			heap_change_put32(&c, &index->leaves, leaves + 1);
			heap_change_put32(&c, &index->pages, at + 1);
			heap_change_put_desc(&c, at, HEAP_DESC(HEAP_PAGE_META, 1), 0);
		}
		r = heap_change_commit(&c);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The number of free pages at the end of the heap. */
static uint32_t free_at_end(struct luo_heap *h)
{
	const struct heap_desc *d = heap_desc(h, heap_pages(h) - 1);
	uint64_t word = d ? heap_load(&d->word) : 0;

	if (HEAP_DESC_KIND(word) != HEAP_PAGE_FREE && HEAP_DESC_KIND(word) != HEAP_PAGE_FREE_TAIL)
		return 0;
	return HEAP_DESC_PAGES(word);
}

/* Adds pages at the end, so that a run of @n is free there. */
static int grow(struct luo_heap *h, uint32_t n)
{
	uint32_t max_pages = (uint32_t)(h->max_size >> HEAP_PAGE_SHIFT), pages = heap_pages(h);
	uint32_t more = MAX2(n, MIN2(MAX2(pages / 4, GROW_MIN), GROW_MAX)), at_end;
	struct heap_change c;
	int r;

	if (n > max_pages)
		return -ENOMEM;
	/* One more leaf always covers the leaves themselves. */
	if ((uint64_t)heap_load32(&heap_index(h)->leaves) * HEAP_LEAF_PAGES < (uint64_t)pages + n) {
		uint64_t target = (uint64_t)pages + more + more / HEAP_LEAF_PAGES + 2;

		r = grow_leaves(h, (uint32_t)MIN2(target, (uint64_t)max_pages), max_pages);
		if (r < 0)
			return r;
		pages = heap_pages(h);
	}
	at_end = free_at_end(h);
	more = MIN2(more, max_pages - MIN2(pages, max_pages));
	more = MIN2((uint64_t)more,
		    (uint64_t)heap_load32(&heap_index(h)->leaves) * HEAP_LEAF_PAGES - pages);
	if (more == 0 || (uint64_t)more + at_end < n)
		return -ENOMEM;
	r = heap_file_grow(h, (uint64_t)(pages + more) << HEAP_PAGE_SHIFT);
	if (r < 0)
		return r;
	heap_change_init(&c, h);
	heap_change_put32(&c, &heap_index(h)->pages, pages + more);
	give(&c, pages, more, HEAP_DESC_ZERO | HEAP_DESC_HOLES);
	return heap_change_commit(&c);
}

int heap_pages_alloc(struct heap_change *c, uint32_t n, uint32_t align, uint32_t *ret_page,
		     bool *ret_zero)
{
	struct luo_heap *h = c->heap;
	uint32_t want = n + (align - 1), page, begin, total;
	struct heap_desc d;
	int r;

	assert(!c->indexed && n > 0);
	page = find_run(h, want);
	if (!page) {
		r = grow(h, want);
		if (r < 0)
			return r;
		page = find_run(h, want);
		if (!page)
			return -ENOMEM;
	}
	d = take(c, page);
	total = HEAP_DESC_PAGES(d.word);
	begin = (page + align - 1) / align * align;
	if (c->damaged || total < n || begin - page > total - n)
		return -EUCLEAN;
	if (h->limited && (d.word & HEAP_DESC_HOLES)) {
		r = heap_file_reserve(h, (uint64_t)begin << HEAP_PAGE_SHIFT,
				      (uint64_t)n << HEAP_PAGE_SHIFT);
		if (r < 0)
			return r;
	}
	d.word &= HEAP_DESC_ZERO | HEAP_DESC_HOLES;
	if (begin > page)
		insert(c, page, begin - page, d.word);
	if (page + total > begin + n)
		insert(c, begin + n, page + total - begin - n, d.word);
	*ret_page = begin;
	*ret_zero = d.word & HEAP_DESC_ZERO;
	return c->damaged ? -EUCLEAN : 0;
}

void heap_pages_describe(struct heap_change *c, uint32_t page, uint64_t word)
{
	uint32_t n = HEAP_DESC_PAGES(word);
	unsigned kind = HEAP_DESC_KIND(word);

	heap_change_put_desc(c, page, word, 0);
	if (kind == HEAP_PAGE_SLAB)
		for (uint32_t i = 1; i < n; i++)
			heap_change_put_desc(c, page + i, HEAP_DESC(HEAP_PAGE_SLAB_PART, i), 0);
	else if (n > 1)
		heap_change_put_desc(
			c, page + n - 1,
			HEAP_DESC(kind == HEAP_PAGE_RUN ? HEAP_PAGE_RUN_TAIL : HEAP_PAGE_LOG_TAIL,
				  n),
			0);
}

void heap_pages_free(struct heap_change *c, uint32_t page)
{
	struct heap_desc d = heap_change_get_desc(c, page);
	uint32_t n = HEAP_DESC_PAGES(d.word);
	uint32_t pages = heap_change_get32(c, &heap_index(c->heap)->pages);
	unsigned kind = HEAP_DESC_KIND(d.word);

	if (n == 0 || n > pages - page || (kind == HEAP_PAGE_SLAB && n > SLAB_PAGES_MAX)) {
		c->damaged = true;
		return;
	}
	if (kind == HEAP_PAGE_SLAB)
		for (uint32_t i = 0; i < n; i++)
			heap_change_put_desc(c, page + i, 0, 0);
	else
		clear_ends(c, page, n);
	give(c, page, n, 0);
}

static int mark(struct luo_heap *h, uint32_t page, uint64_t word, uint64_t links)
{
	struct heap_change c;

	heap_change_init(&c, h);
	heap_change_put_desc(&c, page, word, links);
	return heap_change_commit(&c);
}

/*
 * Gives pages back to the system. Record first that there may be holes, and only afterwards that
 * they are zeros.
 */
static int give_back(struct luo_heap *h, uint32_t page, uint64_t word, uint64_t links)
{
	int r = mark(h, page, word | HEAP_DESC_HOLES, links);

	if (r < 0)
		return r;
	r = heap_file_give_back(h, (uint64_t)page << HEAP_PAGE_SHIFT,
				(uint64_t)HEAP_DESC_PAGES(word) << HEAP_PAGE_SHIFT);
	if (r < 0)
		return r;
	return mark(h, page, word | HEAP_DESC_HOLES | HEAP_DESC_ZERO, links);
}

int heap_pages_trim(struct luo_heap *h, uint32_t min_pages)
{
	const struct heap_index *index = heap_index(h);
	uint32_t steps = heap_pages(h);

	h->dirty_pages = 0;
	for (unsigned list = 0; list < HEAP_FL * HEAP_SL; list++) {
		uint32_t page = heap_load32(&index->lists[list / HEAP_SL][list % HEAP_SL]);

		while (page && page < heap_pages(h)) {
			struct heap_desc *d = heap_desc(h, page);
			uint64_t word = d ? heap_load(&d->word) : 0;
			uint64_t links = d ? heap_load(&d->links) : 0;
			int r;

			if (HEAP_DESC_KIND(word) != HEAP_PAGE_FREE || steps-- == 0)
				return -EUCLEAN;
			if (!(word & HEAP_DESC_ZERO) && HEAP_DESC_PAGES(word) >= min_pages) {
				r = give_back(h, page, word, links);
				if (r < 0)
					return r;
			}
			page = (uint32_t)(links >> 32);
		}
	}
	return 0;
}

void heap_pages_settle(struct luo_heap *h, uint32_t n)
{
	h->dirty_pages += n;
	/* Not more often than it pays, and not too early for a heap whose size varies. */
	if (h->dirty_pages > MAX2((uint32_t)KEEP_DIRTY, heap_pages(h) / 8))
		(void)heap_pages_trim(h, GIVE_BACK_MIN);
}
