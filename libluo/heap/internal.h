/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HEAP_INTERNAL_H
#define LIBLUO_HEAP_INTERNAL_H

/*
 * Shared by the files of this folder. The rules:
 *
 *  - Everything in the heap is read and written with heap_load() and heap_store(), one word at a
 * time: other threads may read it, and the order of the stores makes a crash harmless.
 *  - The page index, descriptors, directory and roots: under heap->lock, through a change that is
 * committed to the heap's log.
 *  - A slot, its magazines and lists, the bits of its slabs: only by the thread that has claimed
 * it; several words at once through a change that is committed to the slot's log. Unclaimed slots:
 * under heap->lock.
 *  - A slot's list of blocks that other threads freed (remote): under the slot's remote lock.
 *  - Order of locks: shared slot, heap->lock, remote lock.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luo/heap.h>
#include "libluo/heap/format.h"

struct heap_slot_state { /* of this process, for one slot */
	struct heap_slot *slot;
	pthread_mutex_t remote_lock;
	pthread_mutex_t shared_lock; /* recursive; of the last slot only */
	bool claimed;
	bool shared; /* the last slot, for all threads without another one */
	bool in_tx;
	int tx_error;  /* the first failure that the commit will return */
	bool tx_frees; /* the transaction has something to free */
	unsigned index;
};

struct luo_heap {
	uint8_t *base;
	uint64_t max_size;
	uint64_t file_size;
	uint64_t serial; /* of this opening; never used again in this process */
	int fd;          /* of its memory; given out by luo_heap_get_fd() */
	int lock_fd;     /* an open file description that no other process has */
	bool read_only;
	bool beside_owner; /* read-only, while another process may change it */
	bool private_copy; /* private copy, in which an interrupted change is completed */
	bool limited; /* its file system may be full: pages are allocated before they are used */
	bool recovered;
	enum luo_heap_state state;
	uint64_t dirty_pages;       /* free pages that were used since they were last given back */
	pthread_mutex_t lock;       /* recursive */
	pthread_mutex_t roots_lock; /* taken before all other locks, while a root is made */
	struct heap_desc *leaves[HEAP_LEAVES]; /* verified; NULL: look in the directory */
	struct heap_slot_state slots[HEAP_SLOTS];
	struct luo_heap *next; /* all heaps that are open in this process */
};

/* ------------------------------ words and sums ------------------------------ */

static inline uint64_t heap_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void heap_store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint32_t heap_load32(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void heap_store32(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint64_t heap_mix(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) ^
		     (b + UINT64_C(0xd1b54a32d192ed03)) * UINT64_C(0xff51afd7ed558ccd) ^
		     (c + UINT64_C(0x2545f4914f6cdd1d)) * UINT64_C(0xc4ceb9fe1a85ec53);

	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

/*
 * What one word adds to the sum of an area. A sum adds these up, so a changed word changes it by a
 * difference, and zeros, of which most areas consist, add nothing.
 */
static inline uint64_t heap_sum_word(uint64_t offset, uint64_t value)
{
	return value ? heap_mix(offset, value, 0) : 0;
}

/* ------------------------------ where things are ------------------------------ */

static inline struct heap_super *heap_super(const struct luo_heap *h)
{
	return (struct heap_super *)(h->base + HEAP_SUPER_OFFSET);
}

static inline struct heap_owner *heap_owner(const struct luo_heap *h)
{
	return (struct heap_owner *)(h->base + HEAP_OWNER_OFFSET);
}

static inline struct heap_index *heap_index(const struct luo_heap *h)
{
	return (struct heap_index *)(h->base + HEAP_INDEX_OFFSET);
}

static inline struct heap_log *heap_log(const struct luo_heap *h)
{
	return (struct heap_log *)(h->base + HEAP_LOG_OFFSET);
}

static inline struct heap_root *heap_roots(const struct luo_heap *h)
{
	return (struct heap_root *)(h->base + HEAP_ROOTS_OFFSET);
}

static inline struct heap_leaf_entry *heap_directory(const struct luo_heap *h)
{
	return (struct heap_leaf_entry *)(h->base + HEAP_DIRECTORY_OFFSET);
}

static inline uint64_t heap_offset(const struct luo_heap *h, const void *p)
{
	return (uint64_t)((const uint8_t *)p - h->base);
}

static inline void *heap_at(const struct luo_heap *h, uint64_t offset)
{
	return h->base + offset;
}

static inline uint8_t *heap_page(const struct luo_heap *h, uint32_t page)
{
	return h->base + ((uint64_t)page << HEAP_PAGE_SHIFT);
}

static inline uint32_t heap_pages(const struct luo_heap *h)
{
	return heap_load32(&heap_index(h)->pages);
}

/* The verified leaf @leaf, NULL if it is damaged; in attach.c. */
struct heap_desc *heap_leaf_slow(struct luo_heap *h, uint32_t leaf);

/* The descriptor of a page below heap_pages(); NULL if its leaf is damaged. */
static inline struct heap_desc *heap_desc(struct luo_heap *h, uint32_t page)
{
	uint32_t leaf = page / HEAP_LEAF_PAGES;
	struct heap_desc *descs = __atomic_load_n(&h->leaves[leaf], __ATOMIC_ACQUIRE);

	if (__builtin_expect(!descs, 0)) {
		descs = heap_leaf_slow(h, leaf);
		if (!descs)
			return NULL;
	}
	return &descs[page % HEAP_LEAF_PAGES];
}

/* -------------------------------- size classes (class.c) -------------------------------- */

struct heap_class {
	uint32_t size;   /* of a block */
	uint32_t first;  /* offset of block 0 in the slab, aligned as the size, to 4096 at most */
	uint32_t blocks; /* in a slab */
	uint32_t pages;  /* of a slab */
	uint64_t reciprocal; /* ceil(2^40 / size): n / size == n * reciprocal >> 40 inside a slab */
};

extern const struct heap_class heap_classes[HEAP_CLASSES];

/* The smallest class for @size, 1 to HEAP_CLASS_MAX. */
static inline unsigned heap_class_of(size_t size)
{
	unsigned shift;

	if (size <= 128) /* in steps of 16 */
		return size ? (unsigned)((size - 1) >> 4) : 0;
	/* Doublings above 128, and which quarter of the next one. */
	shift = 63 - (unsigned)__builtin_clzll(size - 1);
	return 8 + (shift - 7) * 4 + (unsigned)((size - 1) >> (shift - 2) & 3);
}

/* ------------------------------- changes (change.c) ------------------------------- */

/* Words that are to be written in one atomic step. */
struct heap_change {
	struct luo_heap *heap;
	unsigned n;
	unsigned n_leaves;
	bool damaged;         /* something that it needs is invalid */
	bool indexed;         /* it includes words that the sum of the index covers */
	uint64_t index_delta; /* to the sum of the index */
	struct {
		uint32_t leaf;
		uint64_t delta;
	} leaves[24];
	struct heap_log_entry entries[HEAP_LOG_ENTRIES];
};

void heap_change_init(struct heap_change *c, struct luo_heap *h);
uint64_t heap_change_get(const struct heap_change *c, const uint64_t *word);
void heap_change_put(struct heap_change *c, uint64_t *word, uint64_t value);
uint32_t heap_change_get32(const struct heap_change *c, const uint32_t *half);
void heap_change_put32(struct heap_change *c, uint32_t *half, uint32_t value);
uint8_t heap_change_get8(const struct heap_change *c, const uint8_t *byte);
void heap_change_put8(struct heap_change *c, uint8_t *byte, uint8_t value);

/* A missing page, or one whose leaf is damaged, makes the change damaged and reads as 0. */
struct heap_desc heap_change_get_desc(struct heap_change *c, uint32_t page);
void heap_change_put_desc(struct heap_change *c, uint32_t page, uint64_t word, uint64_t links);

/*
 * Commits to the heap's log, or a slot's. -EUCLEAN if the change is damaged; then nothing is done.
 */
int heap_change_commit(struct heap_change *c);
int heap_change_commit_slot(struct heap_change *c, struct heap_slot *slot);

/*
 * Checks that a committed log is sound, and what its completion stores. A log beyond h->max_size is
 * not sound, so the caller must check that size first.
 */
bool heap_log_is_sound(const struct luo_heap *h, const uint64_t *commit,
		       const struct heap_log_entry *entries, unsigned capacity);
void heap_log_complete(struct luo_heap *h, uint64_t *commit, const struct heap_log_entry *entries);

/* -------------------------------- pages (pages.c) -------------------------------- */

/*
 * Called with heap->lock held. They add to the change; nothing is done before it is committed. 0 or
 * -ENOMEM, -ENOSPC, -EBUSY, -EUCLEAN.
 */
int heap_pages_alloc(struct heap_change *c, uint32_t n, uint32_t align, uint32_t *ret_page,
		     bool *ret_zero);
/* Makes the descriptors of a run of @n pages; of a slab with HEAP_DESC_SLAB. */
void heap_pages_describe(struct heap_change *c, uint32_t page, uint64_t word);
void heap_pages_free(struct heap_change *c, uint32_t page);
/* After a commit that freed @n pages: perhaps give some back to the system. */
void heap_pages_settle(struct luo_heap *h, uint32_t n);
int heap_pages_trim(struct luo_heap *h, uint32_t min_pages);

/* --------------------------------- slabs (slab.c) --------------------------------- */

static inline struct heap_slab *heap_slab(const struct luo_heap *h, uint32_t page)
{
	return (struct heap_slab *)heap_page(h, page);
}

/* Fills an empty magazine. 0, or -ENOMEM and so on. */
int heap_refill(struct luo_heap *h, struct heap_slot_state *s, unsigned class);
/*
 * Without memory: takes a block that was freed for another thread, which may not drain its list for
 * a long time. Returns its offset; the block is ours now. 0 if there is none of that class.
 */
uint64_t heap_take_freed(struct luo_heap *h, struct heap_slot_state *s, unsigned class);
/* Makes room in a magazine that is at least half full. */
int heap_evict(struct luo_heap *h, struct heap_slot_state *s, unsigned class);
/* Drops all hints. */
int heap_flush(struct luo_heap *h, struct heap_slot_state *s, unsigned class);
/* Adds the freeing of a block of a slab that @owner owns to the change; the slab gets listed. */
void heap_change_free_block(struct heap_change *c, uint32_t page, uint32_t block,
			    struct heap_slot *owner);
/*
 * Gives back empty slabs of this slot, and of unclaimed slots, among the first @steps of their
 * lists. Called with heap->lock.
 */
void heap_slabs_trim(struct luo_heap *h, struct heap_slot_state *s, uint32_t steps);
/*
 * Before out of memory is reported: gives back the slabs that only hints hold, in a time that does
 * not depend on the heap's size. True if there are more free pages now.
 */
bool heap_slabs_reclaim(struct luo_heap *h, struct heap_slot_state *s);
/* Frees the blocks that other threads freed. */
int heap_drain(struct luo_heap *h, struct heap_slot_state *s);

/* The place of a block. */
struct heap_block {
	uint32_t page; /* first page of its slab or run */
	uint32_t block;
	uint64_t desc;
};

/*
 * The second word of a block in a remote list, which helps to notice a second free. It is set
 * before the block is in the list, and cleared after it has left it. So a crash can leave a mark,
 * and old data can look like one; a reader that finds it checks the list.
 */
static inline uint64_t heap_freed_mark(const struct luo_heap *h, uint64_t offset)
{
	return heap_mix(heap_super(h)->id, offset, UINT64_C(0x6672656564206279));
}

/* True if the block is in the remote list of @owner; the caller holds its remote lock. */
bool heap_is_freed(struct luo_heap *h, const struct heap_slot_state *owner, uint64_t offset);

/* Finds the block that starts at @offset: -EINVAL if there is none, -EALREADY if it is free. */
int heap_block_find(struct luo_heap *h, uint64_t offset, struct heap_block *ret);

/* --------------------------------- slots (slot.c) --------------------------------- */

#define HEAP_SLOTS_CACHED 4 /* heaps whose slot a thread finds without a search */
struct heap_slot_cache {
	uint64_t serial;
	struct heap_slot_state *slot;
};
extern _Thread_local struct heap_slot_cache heap_slot_cache[HEAP_SLOTS_CACHED]
	__attribute__((tls_model("initial-exec")));

/* The slot of this thread, claimed if needed; NULL with errno. The caller leaves it afterwards. */
struct heap_slot_state *heap_slot_enter_slow(struct luo_heap *h);

/* The slot of this thread, if it is available without a lock. */
static inline struct heap_slot_state *heap_slot_cached(const struct luo_heap *h)
{
	const struct heap_slot_cache *cached = &heap_slot_cache[h->serial % HEAP_SLOTS_CACHED];

	return cached->serial == h->serial && !cached->slot->shared ? cached->slot : NULL;
}

static inline struct heap_slot_state *heap_slot_enter(struct luo_heap *h)
{
	struct heap_slot_state *s = heap_slot_cached(h);

	return __builtin_expect(s != NULL, 1) ? s : heap_slot_enter_slow(h);
}

static inline void heap_slot_leave(struct heap_slot_state *s)
{
	if (__builtin_expect(s->shared, 0))
		pthread_mutex_unlock(&s->shared_lock);
}

int heap_slots_open(struct luo_heap *h); /* the heap is open: threads may claim */
void heap_slots_close(struct luo_heap *h);

/* -------------------------------- transactions (tx.c) -------------------------------- */

int heap_tx_note_alloc(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset);
int heap_tx_note_free(struct luo_heap *h, struct heap_slot_state *s, uint64_t offset);
/* Makes room in the log for an allocation that a change of the heap will record. */
int heap_tx_reserve(struct luo_heap *h, struct heap_slot_state *s);
void heap_tx_put_alloc(struct heap_change *c, struct heap_slot *slot, uint64_t offset);
/* Adds the commit to a change of the heap, so that both happen at once. */
void heap_tx_put_commit(struct heap_change *c, struct heap_slot *slot);
/* After a commit: frees what is to be freed; otherwise undoes everything. */
bool heap_tx_is_sound(struct luo_heap *h, struct heap_slot *slot);
int heap_tx_unwind(struct luo_heap *h, struct heap_slot_state *s);
/* The same for the open transaction of the thread, which ends. */
int heap_tx_end(struct luo_heap *h, struct heap_slot_state *s);
bool heap_in_tx(struct luo_heap *h);
void heap_tx_spoil(struct heap_slot_state *s, int r);

/* ---------------------------- opening (open.c and others) ---------------------------- */

/*
 * For luo_heap_problem(): records what is tried and on what; the reason of a failure (returns @r);
 * the end.
 */
void heap_problem_begin(const char *verb, const char *name);
int heap_problem_end(int r);
/*
 * All of it in one call, for functions that are called too often to record what they do before it
 * fails.
 */
int heap_failed(const struct luo_heap *h, const char *verb, int r) __attribute__((__cold__));
int heap_refused(const struct luo_heap *h, const char *verb, int r, const char *why)
	__attribute__((__cold__));
/* The same for a block: sets errno, and returns NULL. */
void *heap_alloc_failed(const struct luo_heap *h, int r) __attribute__((__cold__));
int heap_problem(int r, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* make.c: makes a heap in the file, which is empty. */
#define HEAP_MADE_PAGES 4 /* that it has then */
int heap_make(int fd, const char *name, uint64_t address);
/* map.c */
int heap_map(struct luo_heap *h, uint64_t address, unsigned flags);
void heap_unmap(struct luo_heap *h);
/* An address for a new heap with a fixed address. */
uint64_t heap_find_address(uint64_t size);
/* attach.c: maps, verifies, recovers. */
int heap_verify_super(const struct heap_super *super);
int heap_attach(struct luo_heap *h, const struct luo_heap_options *o);
uint64_t heap_index_sum(const struct luo_heap *h);
uint64_t heap_leaf_sum(const struct luo_heap *h, uint32_t leaf);
uint64_t heap_super_sum(const struct heap_super *super);
/* file.c: the file below. */
int heap_file_grow(struct luo_heap *h, uint64_t size);
int heap_file_reserve(struct luo_heap *h, uint64_t offset, uint64_t size);
int heap_file_give_back(struct luo_heap *h, uint64_t offset, uint64_t size);
bool heap_file_is_limited(int fd);
/* owner.c: the owner. */
int heap_owner_lock(struct luo_heap *h, const struct heap_owner *owner);
bool heap_owner_is_alive(const struct luo_heap *h);
void heap_owner_record(struct luo_heap *h);
bool heap_same_boot(const struct heap_owner *owner);

#endif
