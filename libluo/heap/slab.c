/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Small objects: slabs of one size class (Bonwick: "The Slab Allocator", 1994), and magazines in
 * front of them (Bonwick, Adams: "Magazines and Vmem", 2001).
 *
 * A block is allocated if its bit in the slab is set. The thread that owns the slab sets and clears
 * it with one store, and that store is the allocation or the freeing. Everything else only helps to
 * find a free block: the magazine holds hints, each of which is checked against the bit when it is
 * used, and a slab with a free block that no hint names is in the list of its owner. To keep this
 * true at every instant, a slab is listed before the last hint to it is dropped, and removed from
 * the list after all its free blocks have hints.
 *
 * A thread that frees a block of another thread's slab cannot clear the bit. It pushes the block to
 * the owner's remote list (as mimalloc does; Leijen, Zorn, de Moura 2019), which the owner drains.
 */

#include <assert.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#define REFILL_MAX 24 /* hints added at once; some room is left for the next freed blocks */
#define REFILL_MIN 8  /* further slabs are examined until there are this many hints */
#define EVICT      16
#define REMOTE_MAX (1 << 20) /* slabs examined at most */
#define TAKE_MAX   256       /* blocks of other sizes that are skipped */
#define BATCH      6         /* blocks or slabs in one change: each takes up to 4 words */

static bool slab_is_sound(struct luo_heap *h, uint32_t page, unsigned class, unsigned slot)
{
	uint32_t pages = heap_classes[class].pages;
	const struct heap_desc *d;

	if (page == 0 || page >= heap_pages(h) || pages > heap_pages(h) - page)
		return false;
	d = heap_desc(h, page);
	return d && heap_load(&d->word) == HEAP_DESC_SLAB(class, slot, pages) &&
	       heap_load(&heap_slab(h, page)->check) == heap_mix(heap_super(h)->id, page, class);
}

/* ----------------------------------- lists ----------------------------------- */

static void put_previous(struct heap_change *c, uint32_t page, uint32_t previous)
{
	heap_change_put32(c, (uint32_t *)&heap_slab(c->heap, page)->links, previous);
}

static void put_next(struct heap_change *c, uint32_t page, uint32_t next)
{
	heap_change_put32(c, (uint32_t *)&heap_slab(c->heap, page)->links + 1, next);
}

static void put_listed(struct heap_change *c, uint32_t page, struct heap_magazine *m)
{
	struct heap_slab *slab = heap_slab(c->heap, page);
	uint32_t head;

	if (heap_change_get(c, &slab->listed))
		return;
	head = heap_change_get32(c, &m->list);
	if (head >= heap_pages(c->heap)) {
		c->damaged = true;
		return;
	}
	heap_change_put(c, &slab->links, (uint64_t)head << 32);
	heap_change_put(c, &slab->listed, 1);
	if (head)
		put_previous(c, head, page);
	heap_change_put32(c, &m->list, page);
}

static void put_unlisted(struct heap_change *c, uint32_t page, struct heap_magazine *m)
{
	struct heap_slab *slab = heap_slab(c->heap, page);
	uint64_t links = heap_change_get(c, &slab->links);
	uint32_t previous = (uint32_t)links, next = (uint32_t)(links >> 32);

	if (!heap_change_get(c, &slab->listed))
		return;
	if (previous >= heap_pages(c->heap) || next >= heap_pages(c->heap)) {
		c->damaged = true;
		return;
	}
	if (next)
		put_previous(c, next, previous);
	if (previous)
		put_next(c, previous, next);
	else
		heap_change_put32(c, &m->list, next);
	heap_change_put(c, &slab->listed, 0);
	heap_change_put(c, &slab->links, 0);
}

static int unlist(struct luo_heap *h, struct heap_slot *slot, unsigned class, uint32_t page)
{
	struct heap_change c;

	heap_change_init(&c, h);
	put_unlisted(&c, page, &slot->magazines[class]);
	return heap_change_commit_slot(&c, slot);
}

/* ------------------------------- giving slabs back ------------------------------- */

static bool is_empty(struct luo_heap *h, uint32_t page, unsigned class)
{
	const struct heap_slab *slab = heap_slab(h, page);

	for (uint32_t i = 0; i < (heap_classes[class].blocks + 63) / 64; i++)
		if (heap_load(&slab->used[i]))
			return false;
	return true;
}

static bool is_hinted(const struct heap_magazine *m, uint32_t page)
{
	for (uint32_t i = m->bottom; i != m->top; i++)
		if (HEAP_HINT_PAGE(m->ring[i % HEAP_MAGAZINE]) == page)
			return true;
	return false;
}

/*
 * A list keeps one empty slab, so that a program whose use varies around a boundary does not pay
 * each time.
 */
static bool can_be_spared(struct luo_heap *h, const struct heap_magazine *m, uint32_t page)
{
	const struct heap_slab *slab = heap_slab(h, page);

	return heap_load(&slab->listed) && (m->list != page || heap_load(&slab->links) >> 32 != 0);
}

static void give_back_slab(struct luo_heap *h, struct heap_slot *slot, unsigned class,
			   uint32_t page)
{
	struct heap_change c;
	int r;

	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	put_unlisted(&c, page, &slot->magazines[class]);
	heap_pages_free(&c, page);
	r = heap_change_commit(&c);
	if (r == 0)
		heap_pages_settle(h, heap_classes[class].pages);
	pthread_mutex_unlock(&h->lock);
}

static void give_back_if_empty(struct luo_heap *h, struct heap_slot *slot, unsigned class,
			       uint32_t page)
{
	const struct heap_magazine *m = &slot->magazines[class];

	if (can_be_spared(h, m, page) && is_empty(h, page, class) && !is_hinted(m, page))
		give_back_slab(h, slot, class, page);
}

/* Drops all hints, and gives back the empty slabs among the first @steps of each list. */
static void trim_slot(struct luo_heap *h, struct heap_slot_state *s, uint32_t steps)
{
	(void)heap_drain(h, s);
	for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
		struct heap_magazine *m = &s->slot->magazines[class];
		uint32_t page, left = steps;

		while (m->top - m->bottom >= EVICT)
			if (heap_evict(h, s, class) < 0)
				return;
		if (heap_flush(h, s, class) < 0)
			return;
		for (page = m->list; page && left > 0; left--) {
			uint32_t next;

			if (!slab_is_sound(h, page, class, s->index))
				return;
			next = (uint32_t)(heap_load(&heap_slab(h, page)->links) >> 32);
			if (is_empty(h, page, class))
				give_back_slab(h, s->slot, class, page);
			page = next;
		}
	}
}

void heap_slabs_trim(struct luo_heap *h, struct heap_slot_state *s, uint32_t steps)
{
	trim_slot(h, s, steps);
	for (unsigned i = 0; i < HEAP_SLOTS; i++)
		if (h->slots[i].slot && !h->slots[i].claimed && !h->slots[i].shared)
			trim_slot(h, &h->slots[i], steps);
}

bool heap_slabs_reclaim(struct luo_heap *h, struct heap_slot_state *s)
{
	uint32_t before = heap_load32(&heap_index(h)->free_pages);

	/* Slabs that only hints held are then first in their lists. */
	heap_slabs_trim(h, s, HEAP_MAGAZINE + 1);
	return heap_load32(&heap_index(h)->free_pages) > before;
}

/* --------------------------------- magazines --------------------------------- */

/* Lists the slabs of the @n oldest hints, and then drops the hints. */
static int drop_hints(struct luo_heap *h, struct heap_slot_state *s, unsigned class, uint32_t n)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	uint32_t bottom = m->bottom;
	struct heap_change c;
	int r;

	for (uint32_t done = 0; done < n;) {
		heap_change_init(&c, h);
		for (unsigned i = 0; i < BATCH && done < n; i++, done++) {
			uint64_t hint = m->ring[(bottom + done) % HEAP_MAGAZINE];

			put_listed(&c, HEAP_HINT_PAGE(hint), m);
		}
		r = heap_change_commit_slot(&c, s->slot);
		if (r < 0)
			return r;
	}
	heap_store32(&m->bottom, bottom + n);
	return 0;
}

int heap_flush(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	const struct heap_magazine *m = &s->slot->magazines[class];

	return drop_hints(h, s, class, m->top - m->bottom);
}

int heap_evict(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	const struct heap_magazine *m = &s->slot->magazines[class];
	uint32_t pages[EVICT], bottom = m->bottom;
	int r;

	for (unsigned i = 0; i < EVICT; i++)
		pages[i] = HEAP_HINT_PAGE(m->ring[(bottom + i) % HEAP_MAGAZINE]);
	r = drop_hints(h, s, class, EVICT);
	for (unsigned i = 0; r == 0 && i < EVICT; i++)
		/* Only once for each slab, and only if it still is ours. */
		if ((i == 0 || pages[i] != pages[i - 1]) &&
		    slab_is_sound(h, pages[i], class, s->index))
			give_back_if_empty(h, s->slot, class, pages[i]);
	return r;
}

/*
 * Adds hints to free blocks of a slab, up to REFILL_MAX in all; returns whether the slab may have
 * more.
 */
static bool hint_at(struct luo_heap *h, struct heap_magazine *m, uint32_t page, unsigned class,
		    uint32_t *top)
{
	const struct heap_slab *slab = heap_slab(h, page);
	uint32_t blocks = heap_classes[class].blocks;

	for (uint32_t i = 0; i < blocks; i += 64) {
		uint64_t free = ~heap_load(&slab->used[i / 64]);

		if (blocks - i < 64)
			free &= (UINT64_C(1) << (blocks - i)) - 1;
		while (free) {
			if (*top - m->bottom == REFILL_MAX)
				return true;
			heap_store(&m->ring[(*top)++ % HEAP_MAGAZINE],
				   HEAP_HINT(page, i + (unsigned)__builtin_ctzll(free)));
			free &= free - 1;
		}
	}
	return false;
}

/*
 * Refills from the listed slabs. A slab stays listed if it has free blocks without hints
 * afterwards.
 */
static int refill_from_list(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	uint32_t page, top = m->top;
	int r;

	while ((page = m->list) && top - m->bottom < REFILL_MIN) {
		bool more;

		if (!slab_is_sound(h, page, class, s->index))
			return -EUCLEAN;
		more = hint_at(h, m, page, class, &top);
		heap_store32(&m->top, top);
		if (more)
			break;
		r = unlist(h, s->slot, class, page);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_slab(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	uint32_t pages = heap_classes[class].pages, page;
	struct heap_slab *slab;
	struct heap_change c;
	bool zero;
	int r;

	heap_change_init(&c, h);
	r = heap_pages_alloc(&c, pages, 1, &page, &zero);
	if (r < 0)
		return r;
	heap_pages_describe(&c, page, HEAP_DESC_SLAB(class, s->index, pages));
	/* The pages are unowned before the commit, but pages that are known to be zeros stay so. */
	slab = heap_slab(h, page);
	if (!zero)
		memset(slab, 0, heap_classes[class].first);
	heap_change_put(&c, &slab->check, heap_mix(heap_super(h)->id, page, class));
	put_listed(&c, page, m);
	return heap_change_commit(&c);
}

/*
 * Takes one of the blocks that other threads freed for @from. Removing it from the list is the
 * allocation.
 */
static uint64_t take_from(struct luo_heap *h, struct heap_slot_state *s,
			  struct heap_slot_state *from, unsigned class)
{
	uint64_t *link = &from->slot->remote, found = 0;

	pthread_mutex_lock(&from->remote_lock);
	for (unsigned steps = 0; steps < TAKE_MAX && !found; steps++) {
		uint64_t offset = heap_load(link), *words = heap_at(h, offset);
		struct heap_block b;

		if (!offset || heap_block_find(h, offset, &b) < 0 ||
		    HEAP_DESC_KIND(b.desc) != HEAP_PAGE_SLAB)
			break;
		if (HEAP_DESC_CLASS(b.desc) != class) {
			link = &words[0];
			continue;
		}
		if (s->in_tx && heap_tx_note_alloc(h, s, offset) < 0)
			break;
		heap_store(link, heap_load(&words[0]));
		heap_store(&words[1],
			   0); /* not earlier, because what is recorded may still be in the list */
		found = offset;
	}
	pthread_mutex_unlock(&from->remote_lock);
	return found;
}

uint64_t heap_take_freed(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	uint64_t found = 0;
	uint32_t slots;

	if (s->in_tx && heap_tx_reserve(h, s) < 0)
		return 0;
	pthread_mutex_lock(&h->lock);
	slots = MIN2(heap_load32(&heap_index(h)->slots), (uint32_t)HEAP_SLOTS);
	for (uint32_t i = 0; i < slots && !found; i++)
		if (&h->slots[i] != s)
			found = take_from(h, s, &h->slots[i], class);
	pthread_mutex_unlock(&h->lock);
	return found;
}

static int drain_some(struct luo_heap *h, struct heap_slot_state *s, uint32_t slabs[static BATCH]);

/* Takes a slab of an unclaimed slot. Called with heap->lock; 1 if one is ours now. */
static int adopt_slab(struct luo_heap *h, struct heap_slot_state *s, struct heap_slot_state *from,
		      unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class], *m2 = &from->slot->magazines[class];
	uint32_t page, drained[BATCH];
	struct heap_change c;
	int r;

	r = heap_flush(h, from, class);
	if (r < 0)
		return r;
	page = heap_load32(&m2->list);
	if (!page)
		return 0;
	if (!slab_is_sound(h, page, class, from->index))
		return -EUCLEAN;
	/* A thread that frees a block checks the owner again under this lock. */
	pthread_mutex_lock(&from->remote_lock);
	while (r == 0 && heap_load(&from->slot->remote))
		r = drain_some(h, from, drained);
	if (r == 0) {
		heap_change_init(&c, h);
		put_unlisted(&c, page, m2);
		heap_change_put_desc(&c, page,
				     HEAP_DESC_SLAB(class, s->index, heap_classes[class].pages), 0);
		put_listed(&c, page, m);
		r = heap_change_commit(&c);
	}
	pthread_mutex_unlock(&from->remote_lock);
	return r < 0 ? r : 1;
}

static int more_slabs(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	uint32_t slots;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	slots = MIN2(heap_load32(&heap_index(h)->slots), (uint32_t)HEAP_SLOTS);
	for (uint32_t i = 0; i < slots && r == 0; i++)
		if (!h->slots[i].claimed && !h->slots[i].shared && &h->slots[i] != s)
			r = adopt_slab(h, s, &h->slots[i], class);
	if (r == 0)
		r = make_slab(h, s, class);
	if (r < 0 && r != -EUCLEAN && heap_slabs_reclaim(h, s))
		r = make_slab(h, s, class);
	pthread_mutex_unlock(&h->lock);
	return r < 0 ? r : 0;
}

int heap_refill(struct luo_heap *h, struct heap_slot_state *s, unsigned class)
{
	struct heap_magazine *m = &s->slot->magazines[class];
	int r;

	for (;;) {
		if (heap_load(&s->slot->remote)) {
			r = heap_drain(h, s);
			if (r < 0)
				return r;
		}
		r = refill_from_list(h, s, class);
		if (r < 0 || m->top != m->bottom)
			return r;
		r = more_slabs(h, s, class);
		if (r < 0)
			return r;
	}
}

/* --------------------------------- freed by other threads --------------------------------- */

int heap_block_find(struct luo_heap *h, uint64_t offset, struct heap_block *ret)
{
	uint32_t page = (uint32_t)(offset >> HEAP_PAGE_SHIFT), block, rel;
	const struct heap_class *class;
	const struct heap_desc *d;
	uint64_t word;

	if (offset >= h->max_size || page >= heap_pages(h))
		return -EINVAL;
	d = heap_desc(h, page);
	if (!d)
		return -EUCLEAN;
	word = heap_load(&d->word);
	if (HEAP_DESC_KIND(word) == HEAP_PAGE_SLAB_PART && HEAP_DESC_PAGES(word) <= page) {
		page -= HEAP_DESC_PAGES(word);
		d = heap_desc(h, page);
		if (!d)
			return -EUCLEAN;
		word = heap_load(&d->word);
	}
	*ret = (struct heap_block){ .page = page, .desc = word };
	if (offset % HEAP_PAGE == 0 && HEAP_DESC_KIND(word) == HEAP_PAGE_RUN)
		return HEAP_DESC_PAGES(word) <= heap_pages(h) - page ? 0 : -EUCLEAN;
	if (offset % HEAP_PAGE == 0 && HEAP_DESC_KIND(word) == HEAP_PAGE_FREE)
		return -EALREADY;
	if (HEAP_DESC_KIND(word) != HEAP_PAGE_SLAB)
		return -EINVAL;
	if (HEAP_DESC_CLASS(word) >= HEAP_CLASSES || HEAP_DESC_OWNER(word) >= HEAP_SLOTS ||
	    !h->slots[HEAP_DESC_OWNER(word)].slot)
		return -EUCLEAN;
	class = &heap_classes[HEAP_DESC_CLASS(word)];
	if (HEAP_DESC_PAGES(word) != class->pages || class->pages > heap_pages(h) - page)
		return -EUCLEAN;
	rel = (uint32_t)(offset - ((uint64_t)page << HEAP_PAGE_SHIFT));
	if (rel < class->first)
		return -EINVAL;
	block = (uint32_t)((rel - class->first) * class->reciprocal >> 40);
	if (block >= class->blocks || class->first + block * class->size != rel)
		return -EINVAL;
	ret->block = block;
	if (!(heap_load(&heap_slab(h, page)->used[block / 64]) >> block % 64 & 1))
		return -EALREADY;
	return 0;
}

bool heap_is_freed(struct luo_heap *h, const struct heap_slot_state *owner, uint64_t offset)
{
	const uint64_t *words = heap_at(h, offset);
	uint64_t size = (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT, at;

	if (heap_load(&words[1]) != heap_freed_mark(h, offset))
		return false;
	at = heap_load(&owner->slot->remote);
	for (uint32_t steps = 0; at && at < size && at % 16 == 0 && steps < REMOTE_MAX; steps++) {
		if (at == offset)
			return true;
		at = heap_load(heap_at(h, at));
	}
	return at != 0; /* damaged: losing a block is better than giving it out twice */
}

void heap_change_free_block(struct heap_change *c, uint32_t page, uint32_t block,
			    struct heap_slot *owner)
{
	struct heap_slab *slab = heap_slab(c->heap, page);
	uint64_t *word = &slab->used[block / 64];
	struct heap_desc *d = heap_desc(c->heap, page);

	heap_change_put(c, word, heap_change_get(c, word) & ~(UINT64_C(1) << block % 64));
	put_listed(c, page, &owner->magazines[HEAP_DESC_CLASS(heap_load(&d->word))]);
}

/*
 * Drains some blocks of the remote list; called with its lock held. Returns the slabs they were in,
 * or 0.
 */
static int drain_some(struct luo_heap *h, struct heap_slot_state *s, uint32_t slabs[static BATCH])
{
	uint64_t offset = heap_load(&s->slot->remote);
	uint64_t *words[BATCH] = { NULL };
	struct heap_change c;
	int r;

	heap_change_init(&c, h);
	for (unsigned i = 0; i < BATCH; i++) {
		struct heap_block b;

		slabs[i] = 0;
		if (!offset)
			continue;
		if (heap_block_find(h, offset, &b) < 0 ||
		    HEAP_DESC_KIND(b.desc) != HEAP_PAGE_SLAB || HEAP_DESC_OWNER(b.desc) != s->index)
			return -EUCLEAN;
		words[i] = heap_at(h, offset);
		heap_change_free_block(&c, b.page, b.block, s->slot);
		offset = heap_load(&words[i][0]);
		slabs[i] = b.page;
	}
	heap_change_put(&c, &s->slot->remote, offset);
	r = heap_change_commit_slot(&c, s->slot);
	for (unsigned i = 0; i < BATCH && r == 0 && words[i]; i++)
		heap_store(&words[i][1], 0); /* it no longer looks freed */
	return r;
}

int heap_drain(struct luo_heap *h, struct heap_slot_state *s)
{
	int r = 0;

	while (r == 0 && heap_load(&s->slot->remote)) {
		uint32_t slabs[BATCH];

		pthread_mutex_lock(&s->remote_lock);
		r = drain_some(h, s, slabs);
		pthread_mutex_unlock(&s->remote_lock);
		for (unsigned i = 0; r == 0 && i < BATCH; i++) {
			const struct heap_desc *d = slabs[i] ? heap_desc(h, slabs[i]) : NULL;
			uint64_t word = d ? heap_load(&d->word) : 0;

			if (HEAP_DESC_KIND(word) == HEAP_PAGE_SLAB &&
			    HEAP_DESC_OWNER(word) == s->index)
				give_back_if_empty(h, s->slot, HEAP_DESC_CLASS(word), slabs[i]);
		}
	}
	return r;
}
