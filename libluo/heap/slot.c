/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Assigns slots to threads. A slot is in the heap and stays there. Only this process knows which
 * thread has it, so a crash needs no cleanup: the next thread takes the slot as it is. A thread
 * that ends gives its slots back. The last slot is shared by all threads without another one.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

/* The slots of a thread, in a list that is walked when the thread ends. */
struct claim {
	uint64_t serial;
	struct heap_slot_state *slot;
	struct claim *next;
};

_Thread_local struct heap_slot_cache heap_slot_cache[HEAP_SLOTS_CACHED];

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct luo_heap *open_heaps;
static pthread_key_t claims_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_result;

static struct luo_heap *find_open(uint64_t serial)
{
	struct luo_heap *h = open_heaps;

	while (h && h->serial != serial)
		h = h->next;
	return h;
}

static void give_up(struct luo_heap *h, struct heap_slot_state *s)
{
	/*
	 * A thread with an open transaction in the shared slot holds its lock, and takes it once
	 * more.
	 */
	if (!s->shared || pthread_mutex_trylock(&s->shared_lock) == 0) {
		if (s->in_tx) {
			(void)heap_tx_unwind(h, s);
			s->in_tx = false;
			heap_slot_leave(s);
		}
		heap_slot_leave(s);
	}
	pthread_mutex_lock(&h->lock);
	s->claimed = false;
	pthread_mutex_unlock(&h->lock);
}

/* The thread ends. */
static void end_claims(void *p)
{
	struct claim *claim = p;

	/* A later destructor of the thread may claim again. */
	memset(heap_slot_cache, 0, sizeof(heap_slot_cache));
	pthread_mutex_lock(&open_lock);
	while (claim) {
		struct claim *next = claim->next;
		struct luo_heap *h = find_open(claim->serial);

		if (h)
			give_up(h, claim->slot);
		free(claim);
		claim = next;
	}
	pthread_mutex_unlock(&open_lock);
}

/*
 * A child process is not the owner: it does not have the memory (MADV_DONTFORK), and must not keep
 * the lock when its parent is dead. It can only close the heap, which must not unmap what the child
 * has at these addresses by then. A child keeps read-only heaps completely.
 */
static void forked(void)
{
	for (struct luo_heap **at = &open_heaps; *at;) {
		struct luo_heap *h = *at;

		if (h->read_only) {
			at = &h->next;
			continue;
		}
		h->lock_fd = safe_close(h->lock_fd);
		h->base = NULL;
		memset(h->leaves, 0, sizeof(h->leaves));
		for (unsigned i = 0; i < HEAP_SLOTS; i++) {
			h->slots[i].slot = NULL;
			h->slots[i].in_tx = false;
		}
		*at = h->next; /* a thread that ends gives nothing up */
	}
	pthread_mutex_unlock(&open_lock);
}

static void before_fork(void)
{
	pthread_mutex_lock(&open_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&open_lock);
}

static void initialise(void)
{
	once_result = -pthread_key_create(&claims_key, end_claims);
	if (once_result == 0)
		once_result = -pthread_atfork(before_fork, after_fork, forked);
}

int heap_slots_open(struct luo_heap *h)
{
	static uint64_t serial;
	int r;

	r = pthread_once(&once, initialise);
	if (r != 0 || once_result < 0)
		return r ? -r : once_result;
	pthread_mutex_lock(&open_lock);
	h->serial = ++serial;
	h->next = open_heaps;
	open_heaps = h;
	pthread_mutex_unlock(&open_lock);
	return 0;
}

void heap_slots_close(struct luo_heap *h)
{
	pthread_mutex_lock(&open_lock);
	for (struct luo_heap **at = &open_heaps; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	pthread_mutex_unlock(&open_lock);
}

/* A slot that was never used; called with heap->lock. */
static int make_slot(struct luo_heap *h, uint32_t slot)
{
	struct heap_index *index = heap_index(h);
	uint32_t *page = &index->slot_pages[slot / HEAP_SLOTS_PER_PAGE], at;
	struct heap_slot *memory;
	struct heap_change c;
	int r;

	heap_change_init(&c, h);
	at = heap_load32(page);
	if (slot % HEAP_SLOTS_PER_PAGE == 0) {
		bool zero;

		r = heap_pages_alloc(&c, 1, 1, &at, &zero);
		if (r < 0)
			return r;
		heap_pages_describe(&c, at, HEAP_DESC(HEAP_PAGE_META, 1));
		heap_change_put32(&c, page, at);
	}
	memory = (struct heap_slot *)(heap_page(h, at) +
				      slot % HEAP_SLOTS_PER_PAGE * HEAP_SLOT_SIZE);
	memset(memory, 0, HEAP_SLOT_SIZE);
	heap_change_put(&c, &memory->check, heap_mix(heap_super(h)->id, slot, 0));
	heap_change_put32(&c, &index->slots, slot + 1);
	r = heap_change_commit(&c);
	if (r == 0)
		h->slots[slot].slot = memory;
	return r;
}

/* Called with heap->lock. */
static int choose_slot(struct luo_heap *h, struct heap_slot_state **ret)
{
	uint32_t slots = heap_load32(&heap_index(h)->slots);
	int r;

	for (uint32_t i = 0; i < slots; i++)
		if (!h->slots[i].claimed && !h->slots[i].shared) {
			*ret = &h->slots[i];
			return 0;
		}
	if (slots < HEAP_SLOTS) {
		r = make_slot(h, slots);
		/* Without memory for one more slot, the shared one would not help either. */
		if (r < 0)
			return r;
		*ret = &h->slots[slots];
		return 0;
	}
	*ret = &h->slots[HEAP_SLOTS - 1];
	return 0;
}

/* Heaps that were closed meanwhile are dropped from the list. */
static struct claim *prune(struct claim *claim)
{
	struct claim *kept = NULL;

	pthread_mutex_lock(&open_lock);
	while (claim) {
		struct claim *next = claim->next;

		if (find_open(claim->serial)) {
			claim->next = kept;
			kept = claim;
		} else {
			free(claim);
		}
		claim = next;
	}
	pthread_mutex_unlock(&open_lock);
	return kept;
}

static struct heap_slot_state *claim_slot(struct luo_heap *h)
{
	struct claim *claim = malloc(sizeof(*claim));
	int r;

	if (!claim)
		return NULL;
	pthread_mutex_lock(&h->lock);
	r = choose_slot(h, &claim->slot);
	if (r == 0)
		claim->slot->claimed = true;
	pthread_mutex_unlock(&h->lock);
	claim->serial = h->serial;
	claim->next = r == 0 ? prune(pthread_getspecific(claims_key)) : NULL;
	if (r == 0)
		r = -pthread_setspecific(claims_key, claim);
	if (r < 0) {
		free(claim);
		errno = -r;
		return NULL;
	}
	return claim->slot;
}

/* The slot of a heap that this thread used before, or a newly claimed one. */
static struct heap_slot_state *find_slot(struct luo_heap *h)
{
	const struct claim *claim;

	if (h->read_only) {
		errno = EROFS;
		return NULL;
	}
	for (claim = pthread_getspecific(claims_key); claim; claim = claim->next)
		if (claim->serial == h->serial)
			return claim->slot;
	return claim_slot(h);
}

struct heap_slot_state *heap_slot_enter_slow(struct luo_heap *h)
{
	struct heap_slot_cache *cached = &heap_slot_cache[h->serial % HEAP_SLOTS_CACHED];
	struct heap_slot_state *s = cached->slot;

	if (cached->serial != h->serial) {
		s = find_slot(h);
		if (!s) {
			int error = errno;

			(void)heap_failed(h, "changing the heap", -error);
			errno = error;
			return NULL;
		}
		cached->serial = h->serial;
		cached->slot = s;
	}
	if (s->shared)
		pthread_mutex_lock(&s->shared_lock);
	return s;
}
