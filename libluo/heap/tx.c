/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Transactions. The log of a transaction is in the slot of its thread, and continues in pages of
 * the heap when it gets long. An entry is written first and then counted with one store; only then
 * the action that it records is done. So the log always knows everything that must be undone. One
 * store of the state is the commit. Freeing, which remains, removes entries from the end, each in
 * one change with the word that counts them; undoing works in the same way. After a crash, the next
 * opener of the heap continues where it stopped.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#define HEADER           3 /* words of an entry in front of its data: kind, offset, size */
#define SEGMENT_PAGES    1
#define SEGMENT_OVERHEAD (sizeof(struct heap_tx_segment) / 8)
#define DATA_MAX         8192 /* bytes of one entry; more is saved as several */

#define TX_WORD(state, used) ((uint64_t)(state) << 32 | (used))
#define TX_STATE(word)       ((uint32_t)((word) >> 32))
#define TX_USED(word)        ((uint32_t)(word))

static uint64_t *words_of(const struct luo_heap *h, struct heap_tx *tx)
{
	uint64_t segment = heap_load(&tx->segment);

	return segment ? ((struct heap_tx_segment *)heap_at(h, segment))->words : tx->words;
}

static uint32_t capacity_of(const struct heap_tx *tx)
{
	if (heap_load(&tx->segment))
		return (uint32_t)(SEGMENT_PAGES * HEAP_PAGE / 8 - SEGMENT_OVERHEAD);
	return HEAP_TX_INLINE;
}

/* Continues the log in pages of its own. */
static int add_segment(struct luo_heap *h, struct heap_tx *tx)
{
	struct heap_tx_segment *segment;
	struct heap_change c;
	uint32_t page;
	bool zero;
	int r;

	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	r = heap_pages_alloc(&c, SEGMENT_PAGES, 1, &page, &zero);
	if (r == 0) {
		segment = (struct heap_tx_segment *)heap_page(h, page);
		heap_change_put(&c, &segment->previous, heap_load(&tx->segment));
		heap_change_put(&c, &segment->previous_word, TX_USED(heap_load(&tx->word)));
		heap_pages_describe(&c, page, HEAP_DESC(HEAP_PAGE_LOG, SEGMENT_PAGES));
		heap_change_put(&c, &tx->segment, heap_offset(h, segment));
		heap_change_put(&c, &tx->word, TX_WORD(HEAP_TX_ACTIVE, 0));
		r = heap_change_commit(&c);
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

/*
 * A transaction saves and restores objects only, never the allocator's own data in these pages.
 * Freed memory may be in any other page.
 */
static bool may_be_saved(struct luo_heap *h, uint64_t offset, uint64_t size)
{
	for (uint64_t at = offset; at < offset + size; at = (at / HEAP_PAGE + 1) * HEAP_PAGE) {
		const struct heap_desc *d = heap_desc(h, (uint32_t)(at >> HEAP_PAGE_SHIFT));
		uint64_t word = d ? heap_load(&d->word) : HEAP_PAGE_META;
		unsigned kind = HEAP_DESC_KIND(word), class = HEAP_DESC_CLASS(word);

		if (kind == HEAP_PAGE_META || kind == HEAP_PAGE_LOG || kind == HEAP_PAGE_LOG_TAIL)
			return false;
		if (kind == HEAP_PAGE_SLAB &&
		    (class >= HEAP_CLASSES || at % HEAP_PAGE < heap_classes[class].first))
			return false;
	}
	return true;
}

static uint32_t entry_words(uint64_t size)
{
	return (uint32_t)(HEADER + (size + 7) / 8 + 1);
}

static int make_room(struct luo_heap *h, struct heap_tx *tx, uint32_t words)
{
	if (TX_USED(heap_load(&tx->word)) + words <= capacity_of(tx))
		return 0;
	return add_segment(h, tx);
}

static int append(struct luo_heap *h, struct heap_tx *tx, uint64_t kind, uint64_t offset,
		  uint64_t size, uint64_t data)
{
	uint32_t n = entry_words(data), used;
	uint64_t *at;
	int r;

	r = make_room(h, tx, n);
	if (r < 0)
		return r;
	used = TX_USED(heap_load(&tx->word));
	at = words_of(h, tx) + used;
	heap_store(&at[0], kind);
	heap_store(&at[1], offset);
	heap_store(&at[2], size);
	if (data)
		memcpy(&at[HEADER], heap_at(h, offset), data);
	heap_store(&at[n - 1], n);
	heap_store(&tx->word, TX_WORD(HEAP_TX_ACTIVE, used + n));
	return 0;
}

int heap_tx_note_alloc(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset)
{
	return append(h, &s->slot->tx, HEAP_TX_ALLOC, offset, 0, 0);
}

int heap_tx_note_free(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset)
{
	int r = append(h, &s->slot->tx, HEAP_TX_FREE, offset, 0, 0);

	if (r == 0)
		s->tx_frees = true;
	return r;
}

int heap_tx_reserve(struct luo_heap *h, struct heap_slot_state *s)
{
	return make_room(h, &s->slot->tx, entry_words(0));
}

void heap_tx_put_alloc(struct heap_change *c, struct heap_slot *slot, uint64_t offset)
{
	uint32_t used = TX_USED(heap_load(&slot->tx.word));
	uint64_t *at = words_of(c->heap, &slot->tx) + used;

	/* Behind the counted entries, so it can be written before the commit. */
	heap_store(&at[0], HEAP_TX_ALLOC);
	heap_store(&at[1], offset);
	heap_store(&at[2], 0);
	heap_store(&at[HEADER], entry_words(0));
	heap_change_put(c, &slot->tx.word, TX_WORD(HEAP_TX_ACTIVE, used + entry_words(0)));
}

void heap_tx_put_commit(struct heap_change *c, struct heap_slot *slot)
{
	uint32_t used = TX_USED(heap_load(&slot->tx.word));

	heap_change_put(c, &slot->tx.word, TX_WORD(HEAP_TX_COMMITTING, used));
}

/* ------------------------------- removing entries ------------------------------- */

/* Frees the pages of the newest segment; the log then ends in the one before. */
static int drop_segment(struct luo_heap *h, struct heap_tx *tx, uint32_t state)
{
	struct heap_tx_segment *segment = heap_at(h, heap_load(&tx->segment));
	struct heap_change c;
	int r;

	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	heap_change_put(&c, &tx->segment, heap_load(&segment->previous));
	heap_change_put(&c, &tx->word, TX_WORD(state, TX_USED(heap_load(&segment->previous_word))));
	heap_pages_free(&c, (uint32_t)(heap_offset(h, segment) >> HEAP_PAGE_SHIFT));
	r = heap_change_commit(&c);
	if (r == 0)
		heap_pages_settle(h, SEGMENT_PAGES);
	pthread_mutex_unlock(&h->lock);
	return r;
}

static int free_run_and(struct luo_heap *h, struct heap_tx *tx, uint64_t word, uint32_t page)
{
	struct heap_change c;
	uint32_t n;
	int r;

	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	heap_change_put(&c, &tx->word, word);
	n = HEAP_DESC_PAGES(heap_change_get_desc(&c, page).word);
	heap_pages_free(&c, page);
	r = heap_change_commit(&c);
	if (r == 0)
		heap_pages_settle(h, n);
	pthread_mutex_unlock(&h->lock);
	return r;
}

/* Frees it for the slot that owns its slab. -EAGAIN if the owner changes meanwhile. */
static int free_remote_and(struct luo_heap *h, struct heap_slot *slot, uint64_t word,
			   const struct heap_block *b, uint64_t offset)
{
	struct heap_slot_state *owner = &h->slots[HEAP_DESC_OWNER(b->desc)];
	uint64_t *words = heap_at(h, offset);
	struct heap_change c;
	int r = -EAGAIN;

	pthread_mutex_lock(&owner->remote_lock);
	if (heap_load(&heap_desc(h, b->page)->word) == b->desc) {
		heap_change_init(&c, h);
		heap_change_put(&c, &slot->tx.word, word);
		if (!heap_is_freed(h, owner, offset)) {
			heap_change_put(&c, &words[0], heap_load(&owner->slot->remote));
			heap_change_put(&c, &words[1], heap_freed_mark(h, offset));
			heap_change_put(&c, &owner->slot->remote, offset);
		}
		r = heap_change_commit_slot(&c, slot);
	}
	pthread_mutex_unlock(&owner->remote_lock);
	return r;
}

/* Frees the block and removes its entry at once. */
static int free_and_drop(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset,
			 uint64_t word)
{
	struct heap_tx *tx = &s->slot->tx;
	struct heap_change c;
	struct heap_block b;
	int r;

	r = heap_block_find(h, offset, &b);
	if (r == -EUCLEAN)
		return r;
	if (r < 0) { /* recorded, but a crash came before the allocation; or freed twice */
		heap_store(&tx->word, word);
		return 0;
	}
	if (HEAP_DESC_KIND(b.desc) == HEAP_PAGE_RUN)
		return free_run_and(h, tx, word, b.page);
	if (HEAP_DESC_OWNER(b.desc) != s->index)
		return free_remote_and(h, s->slot, word, &b, offset);
	heap_change_init(&c, h);
	heap_change_put(&c, &tx->word, word);
	heap_change_free_block(&c, b.page, b.block, s->slot);
	return heap_change_commit_slot(&c, s->slot);
}

static int drop_entry(struct luo_heap *h, struct heap_slot_state *s)
{
	struct heap_tx *tx = &s->slot->tx;
	uint64_t word = heap_load(&tx->word), *words = words_of(h, tx);
	uint32_t used = TX_USED(word), state = TX_STATE(word);
	uint32_t begin = used - (uint32_t)heap_load(&words[used - 1]);
	uint64_t kind = heap_load(&words[begin]), offset = heap_load(&words[begin + 1]);
	uint64_t left = TX_WORD(state, begin);

	if (kind == HEAP_TX_UNDO && state == HEAP_TX_ACTIVE)
		memcpy(heap_at(h, offset), &words[begin + HEADER], heap_load(&words[begin + 2]));
	else if ((kind == HEAP_TX_ALLOC && state == HEAP_TX_ACTIVE) ||
		 (kind == HEAP_TX_FREE && state == HEAP_TX_COMMITTING))
		return free_and_drop(h, s, offset, left);
	heap_store(&tx->word, left);
	return 0;
}

int heap_tx_unwind(struct luo_heap *h, struct heap_slot_state *s)
{
	struct heap_tx *tx = &s->slot->tx;

	for (;;) {
		uint64_t word = heap_load(&tx->word);
		int r = 0;

		if (TX_USED(word) > 0)
			r = drop_entry(h, s);
		else if (heap_load(&tx->segment))
			r = drop_segment(h, tx, TX_STATE(word));
		else
			break;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	if (heap_load(&tx->word)) /* it may be mapped read-only */
		heap_store(&tx->word, 0);
	return 0;
}

/* -------------------------------- after a crash -------------------------------- */

/* The entries of one part, backwards. */
static bool entries_are_sound(struct luo_heap *h, const uint64_t *words, uint32_t used, bool active)
{
	uint64_t size = (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT;

	while (used > 0) {
		uint64_t n = heap_load(&words[used - 1]), offset, data;
		const uint64_t *at;

		if (n < entry_words(0) || n > used)
			return false;
		at = &words[used - n];
		offset = heap_load(&at[1]);
		data = heap_load(&at[0]) == HEAP_TX_UNDO ? heap_load(&at[2]) : 0;
		if (heap_load(&at[0]) < HEAP_TX_UNDO || heap_load(&at[0]) > HEAP_TX_FREE)
			return false;
		if (data > DATA_MAX || entry_words(data) != n || offset < HEAP_PAGE ||
		    offset > size - data)
			return false;
		if (active && !may_be_saved(h, offset, data))
			return false;
		used -= (uint32_t)n;
	}
	return true;
}

bool heap_tx_is_sound(struct luo_heap *h, struct heap_slot *slot)
{
	uint64_t word = heap_load(&slot->tx.word), segment = heap_load(&slot->tx.segment);
	uint32_t used = TX_USED(word), steps = heap_pages(h);
	bool active = TX_STATE(word) == HEAP_TX_ACTIVE;

	if (TX_STATE(word) == HEAP_TX_NONE)
		return word == 0 && segment == 0;
	if (TX_STATE(word) > HEAP_TX_COMMITTING)
		return false;
	while (segment) {
		const struct heap_tx_segment *part;
		const struct heap_desc *d;

		if (segment % HEAP_PAGE || segment >> HEAP_PAGE_SHIFT >= heap_pages(h) ||
		    steps-- == 0)
			return false;
		d = heap_desc(h, (uint32_t)(segment >> HEAP_PAGE_SHIFT));
		if (!d || heap_load(&d->word) != HEAP_DESC(HEAP_PAGE_LOG, SEGMENT_PAGES))
			return false;
		part = heap_at(h, segment);
		if (used > SEGMENT_PAGES * HEAP_PAGE / 8 - SEGMENT_OVERHEAD ||
		    !entries_are_sound(h, part->words, used, active))
			return false;
		used = TX_USED(heap_load(&part->previous_word));
		segment = heap_load(&part->previous);
	}
	return used <= HEAP_TX_INLINE && entries_are_sound(h, slot->tx.words, used, active);
}

/* An action that could not be recorded cannot be undone: the transaction can only be aborted. */
void heap_tx_spoil(struct heap_slot_state *s, int r)
{
	if (s->in_tx && r < 0 && s->tx_error == 0)
		s->tx_error = r;
}

bool heap_in_tx(struct luo_heap *h)
{
	struct heap_slot_state *s = h->read_only ? NULL : heap_slot_enter(h);
	bool in_tx = s && s->in_tx;

	if (s)
		heap_slot_leave(s);
	return in_tx;
}

/* ------------------------------------- public ------------------------------------- */

#define BEGINNING  "beginning a transaction of the heap"
#define SAVING     "saving what a transaction will change in the heap"
#define COMMITTING "committing a transaction of the heap"

_public_ int luo_heap_begin(struct luo_heap *h)
{
	struct heap_slot_state *s = heap_slot_enter(h); /* the shared slot stays locked */
	int r;

	if (!s)
		return -errno;
	if (s->in_tx || heap_load(&s->slot->tx.word) != 0) {
		r = s->in_tx ? -EBUSY : -EUCLEAN; /* a transaction that could not be ended because
						     of damage */
		heap_slot_leave(s);
		return r == -EBUSY ? heap_refused(h, BEGINNING, r,
						  "this thread already has an open transaction")
				   : heap_failed(h, BEGINNING, r);
	}
	heap_store(&s->slot->tx.word, TX_WORD(HEAP_TX_ACTIVE, 0));
	s->tx_frees = false;
	s->tx_error = 0;
	s->in_tx = true;
	return 0;
}

_public_ int luo_heap_save(struct luo_heap *h, void *ptr, size_t size)
{
	uint64_t offset = heap_offset(h, ptr), end;
	struct heap_slot_state *s = heap_slot_enter(h);
	int r = 0;

	if (!s)
		return -errno;
	end = (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT;
	if (!s->in_tx || offset < HEAP_PAGE || offset > end || size > end - offset ||
	    !may_be_saved(h, offset, size))
		r = -EINVAL;
	while (r == 0 && size > 0) {
		uint64_t n = MIN2((uint64_t)size, (uint64_t)DATA_MAX);

		r = append(h, &s->slot->tx, HEAP_TX_UNDO, offset, n, n);
		offset += n;
		size -= n;
	}
	heap_tx_spoil(s, r);
	heap_slot_leave(s);
	if (r == -EINVAL)
		return heap_refused(h, SAVING, r,
				    "not in a transaction, or not an object of this heap");
	return r < 0 ? heap_failed(h, SAVING, r) : 0;
}

int heap_tx_end(struct luo_heap *h, struct heap_slot_state *s)
{
	int r = heap_tx_unwind(h, s);

	s->in_tx = false;
	heap_slot_leave(s);
	return r;
}

_public_ int luo_heap_commit(struct luo_heap *h)
{
	struct heap_slot_state *s = heap_slot_enter(h);
	struct heap_tx *tx;
	int r = 0;

	if (!s)
		return -errno;
	if (!s->in_tx) {
		heap_slot_leave(s);
		return heap_refused(h, COMMITTING, -EINVAL, "this thread has no open transaction");
	}
	tx = &s->slot->tx;
	if (s->tx_error < 0) {
		r = s->tx_error;
		(void)heap_tx_end(h, s);
		heap_slot_leave(s);
		return heap_refused(h, COMMITTING, r,
				    "saving or freeing failed in it, so it was undone");
	}
	if (!s->tx_frees && heap_load(&tx->segment) == 0) {
		heap_store(&tx->word, 0);
		s->in_tx = false;
		heap_slot_leave(s);
	} else {
		heap_store(&tx->word, TX_WORD(HEAP_TX_COMMITTING, TX_USED(heap_load(&tx->word))));
		r = heap_tx_end(h, s);
	}
	heap_slot_leave(s);
	return r < 0 ? heap_failed(h, COMMITTING, r) : 0;
}

_public_ void luo_heap_abort(struct luo_heap *h)
{
	struct heap_slot_state *s = heap_slot_enter(h);

	if (!s)
		return;
	if (s->in_tx)
		(void)heap_tx_end(h, s);
	heap_slot_leave(s);
}
