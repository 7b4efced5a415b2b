/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Makes a usable heap of a file: verifies it, completes what a crash interrupted, verifies the
 * rest. The time does not depend on the size of the heap, because the parts that grow (leaves,
 * slabs) are verified when they are first needed.
 *
 * A refused heap must not be changed. So recovery is tried on a private copy first (the kernel
 * copies only the written pages).
 */

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#define MIN_PAGES 4
#define LOOKS_MAX 20 /* a millisecond apart */

/* ------------------------------------ the header ------------------------------------ */

static bool name_is_sound(const char *name, size_t size)
{
	size_t n = strnlen(name, size);

	if (n == size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~')
			return false;
	return true;
}

int heap_verify_super(const struct heap_super *super)
{
	if (super->magic != HEAP_MAGIC)
		return heap_problem(-EUCLEAN, "it is not a heap; nothing was changed");
	if (super->format > HEAP_FORMAT)
		return heap_problem(-EPROTONOSUPPORT,
				    "it has format %" PRIu32 ", and this libluo (" LUO_VERSION
				    ") knows formats up to %d; use the newer libluo that made it",
				    super->format, HEAP_FORMAT);
	if (super->sum != heap_super_sum(super))
		return heap_problem(-EUCLEAN, "its header is damaged (the checksum is wrong)");
	if (super->format == 0 || super->page_shift != HEAP_PAGE_SHIFT ||
	    super->address % ((uint64_t)2 << 20) || super->address >= UINT64_C(1) << 47 ||
	    !name_is_sound(super->name, sizeof(super->name)))
		return heap_problem(-EUCLEAN, "its header is invalid");
	return 0;
}

/* -------------------------------------- sums -------------------------------------- */

static uint64_t sum_range(const struct luo_heap *h, uint64_t begin, uint64_t end)
{
	uint64_t sum = 0;

	for (uint64_t offset = begin; offset < end; offset += 8)
		sum += heap_sum_word(offset, heap_load(heap_at(h, offset)));
	return sum;
}

uint64_t heap_index_sum(const struct luo_heap *h)
{
	const struct heap_index *index = heap_index(h);
	uint64_t roots = MIN2(heap_load32(&index->roots), (uint32_t)HEAP_ROOTS);
	uint64_t leaves = MIN2(heap_load32(&index->leaves), (uint32_t)HEAP_LEAVES);

	return sum_range(h, HEAP_INDEX_OFFSET + 8, HEAP_INDEX_OFFSET + sizeof(*index)) +
	       sum_range(h, HEAP_ROOTS_OFFSET,
			 HEAP_ROOTS_OFFSET + roots * sizeof(struct heap_root)) +
	       sum_range(h, HEAP_DIRECTORY_OFFSET,
			 HEAP_DIRECTORY_OFFSET + leaves * sizeof(struct heap_leaf_entry));
}

uint64_t heap_leaf_sum(const struct luo_heap *h, uint32_t leaf)
{
	uint64_t begin = heap_load(&heap_directory(h)[leaf].page) << HEAP_PAGE_SHIFT;
	uint64_t n = heap_pages(h) - (uint64_t)leaf * HEAP_LEAF_PAGES;

	return sum_range(h, begin,
			 begin + MIN2(n, (uint64_t)HEAP_LEAF_PAGES) * sizeof(struct heap_desc));
}

/* While an owner is alive, this number may change after it was verified. */
static uint32_t pages_in_reach(const struct luo_heap *h)
{
	return (uint32_t)MIN2((uint64_t)heap_pages(h), h->max_size >> HEAP_PAGE_SHIFT);
}

struct heap_desc *heap_leaf_slow(struct luo_heap *h, uint32_t leaf)
{
	struct heap_leaf_entry *entry = &heap_directory(h)[leaf];
	struct heap_desc *descs = NULL;
	uint64_t page;

	pthread_mutex_lock(&h->lock); /* not in the middle of a change */
	page = heap_load(&entry->page);
	if (leaf < heap_load32(&heap_index(h)->leaves) && leaf < HEAP_LEAVES && page > 0 &&
	    page < pages_in_reach(h) &&
	    (h->beside_owner || heap_leaf_sum(h, leaf) == heap_load(&entry->sum))) {
		descs = (struct heap_desc *)heap_page(h, (uint32_t)page);
		__atomic_store_n(&h->leaves[leaf], descs, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&h->lock);
	return descs;
}

static int verify_reach(const struct luo_heap *h)
{
	uint64_t size = (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT;

	if (size <= h->max_size)
		return 0;
	return heap_problem(-EINVAL, "it has grown to %" PRIu64 " bytes, and max_size is %" PRIu64,
			    size, h->max_size);
}

static int verify_sizes(struct luo_heap *h)
{
	const struct heap_index *index = heap_index(h);
	uint64_t pages = heap_pages(h), size = pages << HEAP_PAGE_SHIFT;
	struct stat st;

	if (pages < MIN_PAGES || heap_load32(&index->free_pages) > pages ||
	    heap_load32(&index->leaves) > HEAP_LEAVES ||
	    (uint64_t)heap_load32(&index->leaves) * HEAP_LEAF_PAGES < pages ||
	    heap_load32(&index->slots) == 0 || heap_load32(&index->slots) > HEAP_SLOTS ||
	    heap_load32(&index->roots) > HEAP_ROOTS)
		return heap_problem(-EUCLEAN, "its page index is damaged (impossible counts)");
	/*
	 * While an owner is alive, the heap may have grown: read the file size first, then the
	 * index.
	 */
	if (size > h->file_size && h->beside_owner && fstat(h->fd, &st) == 0)
		h->file_size = (uint64_t)st.st_size;
	if (size > h->file_size)
		return heap_problem(-EUCLEAN,
				    "it is cut off: it has %" PRIu64
				    " bytes, and the file only %" PRIu64,
				    size, h->file_size);
	return verify_reach(h);
}

static int verify_index(struct luo_heap *h)
{
	if (!h->beside_owner && heap_index_sum(h) != heap_load(&heap_index(h)->sum))
		return heap_problem(-EUCLEAN, "its page index is damaged (the checksum is wrong)");
	return verify_sizes(h);
}

/* -------------------------------------- slots -------------------------------------- */

static int slot_problem(uint32_t slot, const char *what)
{
	return heap_problem(-EUCLEAN, "its slot %" PRIu32 " is damaged (%s)", slot, what);
}

static int find_slot(struct luo_heap *h, uint32_t i)
{
	uint32_t page = heap_load32(&heap_index(h)->slot_pages[i / HEAP_SLOTS_PER_PAGE]);
	const struct heap_desc *d;
	struct heap_slot *slot;

	if (page == 0 || page >= pages_in_reach(h))
		return slot_problem(i, "where it is");
	d = heap_desc(h, page);
	if (!d || heap_load(&d->word) != HEAP_DESC(HEAP_PAGE_META, 1))
		return slot_problem(i, "the descriptor of its page");
	slot = (struct heap_slot *)(heap_page(h, page) + i % HEAP_SLOTS_PER_PAGE * HEAP_SLOT_SIZE);
	if (heap_load(&slot->check) != heap_mix(heap_super(h)->id, i, 0))
		return slot_problem(i, "its check word");
	h->slots[i].slot = slot;
	return 0;
}

/* Hints are trusted later, so each must name a block of a slab that this slot owns. */
static bool magazine_is_sound(struct luo_heap *h, uint32_t slot, unsigned class)
{
	const struct heap_magazine *m = &h->slots[slot].slot->magazines[class];
	uint32_t top = heap_load32(&m->top), bottom = heap_load32(&m->bottom);

	if (top - bottom > HEAP_MAGAZINE || heap_load32(&m->list) >= heap_pages(h))
		return false;
	for (uint32_t i = bottom; i != top; i++) {
		uint64_t hint = heap_load(&m->ring[i % HEAP_MAGAZINE]), word;
		const struct heap_desc *d;

		if (HEAP_HINT_PAGE(hint) == 0 || hint >> 16 >= heap_pages(h) ||
		    HEAP_HINT_BLOCK(hint) >= heap_classes[class].blocks)
			return false;
		d = heap_desc(h, HEAP_HINT_PAGE(hint));
		word = d ? heap_load(&d->word) : 0;
		if (word != HEAP_DESC_SLAB(class, slot, heap_classes[class].pages) ||
		    heap_classes[class].pages > heap_pages(h) - HEAP_HINT_PAGE(hint))
			return false;
	}
	return true;
}

static bool slot_is_pending(const struct heap_slot *slot)
{
	return heap_load(&slot->log.commit) || heap_load(&slot->tx.word) ||
	       heap_load(&slot->tx.segment);
}

/* True if the log of slot @i had something to complete, or -EUCLEAN. */
static int complete_slot(struct luo_heap *h, uint32_t i)
{
	struct heap_slot *slot = h->slots[i].slot;

	if (heap_load(&slot->log.commit) == 0)
		return 0;
	if (!heap_log_is_sound(h, &slot->log.commit, slot->log.entries, HEAP_SLOT_LOG_ENTRIES))
		return slot_problem(i, "its log");
	heap_log_complete(h, &slot->log.commit, slot->log.entries);
	return 1;
}

static int verify_slot(struct luo_heap *h, uint32_t i)
{
	if (heap_load(&h->slots[i].slot->remote) >= (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT)
		return slot_problem(i, "its list of freed blocks");
	if (!heap_tx_is_sound(h, h->slots[i].slot))
		return slot_problem(i, "its transaction");
	for (unsigned class = 0; class < HEAP_CLASSES; class ++)
		if (!magazine_is_sound(h, i, class))
			return slot_problem(i, "a magazine");
	return 0;
}

/* ------------------------------------ recovery ------------------------------------ */

static bool is_pending(const struct luo_heap *h)
{
	uint32_t slots = heap_load32(&heap_index(h)->slots);

	for (uint32_t i = 0; i < slots; i++)
		if (h->slots[i].slot && slot_is_pending(h->slots[i].slot))
			return true;
	return false;
}

static void forget_leaves(struct luo_heap *h)
{
	memset(h->leaves, 0, sizeof(h->leaves));
}

static int find_slots(struct luo_heap *h)
{
	uint32_t slots = MIN2(heap_load32(&heap_index(h)->slots), (uint32_t)HEAP_SLOTS);
	int r = 0;

	for (uint32_t i = 0; i < slots && r == 0; i++)
		r = find_slot(h, i);
	return r;
}

/* Verified data may have changed since, and a sound log may be forged. */
static int complete_slots(struct luo_heap *h)
{
	uint32_t slots = heap_load32(&heap_index(h)->slots);
	bool changed = false;

	for (uint32_t i = 0; i < slots; i++) {
		int r = complete_slot(h, i);

		if (r < 0)
			return r;
		changed |= r;
	}
	if (!changed)
		return 0;
	forget_leaves(h);
	return find_slots(h);
}

/* Nothing is written if nothing is pending. */
static int recover(struct luo_heap *h)
{
	struct heap_log *log = heap_log(h);
	uint32_t slots;
	int r;

	/* Its log may refer to pages behind the end of our mapping. */
	r = verify_reach(h);
	if (r < 0)
		return r;
	if (!heap_log_is_sound(h, &log->commit, log->entries, HEAP_LOG_ENTRIES))
		return heap_problem(-EUCLEAN, "its log is damaged");
	heap_log_complete(h, &log->commit, log->entries);
	r = verify_index(h);
	if (r == 0)
		r = find_slots(h);
	if (r == 0)
		r = complete_slots(h);
	slots = heap_load32(&heap_index(h)->slots);
	for (uint32_t i = 0; i < slots && r == 0; i++)
		r = verify_slot(h, i);
	for (uint32_t i = 0; i < slots && r == 0; i++) {
		r = heap_tx_unwind(h, &h->slots[i]);
		if (r < 0)
			r = slot_problem(i, "what its transaction refers to");
	}
	return r;
}

/* 1 if recover() would do something, 0 if not, or the reason why that is unknown. */
static int find_pending(struct luo_heap *h)
{
	int r;

	if (heap_load(&heap_log(h)->commit))
		return 1;
	r = verify_index(h);
	if (r == 0)
		r = find_slots(h);
	return r < 0 ? r : is_pending(h);
}

/* Recovers a private copy, which stays mapped. */
static int recover_copy(struct luo_heap *h, unsigned flags)
{
	int r;

	heap_unmap(h);
	forget_leaves(h);
	h->private_copy = true;
	r = heap_map(h, 0, flags);
	return r < 0 ? r : recover(h);
}

static int recover_owned(struct luo_heap *h, uint64_t address, unsigned flags)
{
	int pending = find_pending(h), r;

	if (pending < 0)
		return pending;
	if (!pending)
		return recover(h);
	h->recovered = true;
	r = recover_copy(h, flags);
	heap_unmap(h);
	forget_leaves(h);
	h->private_copy = false;
	if (r < 0)
		return r;
	r = heap_map(h, address, flags);
	return r < 0 ? r : recover(h);
}

static int verify_beside(struct luo_heap *h)
{
	int r = verify_sizes(h);

	return r < 0 ? r : find_slots(h);
}

static int verify_alone(struct luo_heap *h, unsigned flags)
{
	int pending = find_pending(h);

	if (pending < 0)
		return pending;
	h->recovered = pending;
	return pending ? recover_copy(h, flags) : recover(h);
}

/* Maps it as before. */
static int drop_copy(struct luo_heap *h, uint64_t address, unsigned flags)
{
	forget_leaves(h);
	h->recovered = false;
	if (!h->private_copy)
		return 0;
	heap_unmap(h);
	h->private_copy = false;
	return heap_map(h, address, flags);
}

/*
 * A live owner may be in the middle of a change, so damage is checked again. If an owner came or
 * went meanwhile, everything that was seen is void.
 */
static int look_beside(struct luo_heap *h, uint64_t address, unsigned flags)
{
	bool changed;
	int r = 0;

	for (unsigned i = 0; i < LOOKS_MAX && r == 0; i++) {
		h->beside_owner = heap_owner_is_alive(h);
		r = h->beside_owner ? verify_beside(h) : verify_alone(h, flags);
		changed = h->beside_owner != heap_owner_is_alive(h);
		if (!changed && (r != -EUCLEAN || !h->beside_owner || i + 1 == LOOKS_MAX))
			return r;
		usleep(1000);
		r = drop_copy(h, address, flags);
	}
	return r < 0 ? r : heap_problem(-EBUSY, "its owner changed several times; try again");
}

int heap_attach(struct luo_heap *h, const struct luo_heap_options *o)
{
	struct heap_super super;
	struct stat st;
	int r;

	if (fstat(h->fd, &st) < 0)
		return -errno;
	h->file_size = (uint64_t)st.st_size;
	if (pread(h->fd, &super, sizeof(super), HEAP_SUPER_OFFSET) != sizeof(super))
		return heap_problem(-EUCLEAN, "it has %" PRIu64 " bytes, and is not a heap",
				    h->file_size);
	r = heap_verify_super(&super);
	if (r < 0)
		return r;
	if ((o->flags & LUO_HEAP_FIXED_ADDRESS) && super.address == 0)
		return heap_problem(-EINVAL,
				    "it was made without a fixed address, and cannot get one");
	if (h->file_size < MIN_PAGES * HEAP_PAGE)
		return heap_problem(-EUCLEAN, "it is cut off: the file has only %" PRIu64 " bytes",
				    h->file_size);
	/* Without a requested size, its present size is right. */
	if (o->max_size == 0 && h->file_size > h->max_size)
		h->max_size = MIN2(h->file_size / HEAP_PAGE * HEAP_PAGE * 2, LUO_HEAP_MAX);
	r = heap_map(h, super.address, o->flags);
	if (r < 0)
		return r;
	r = h->read_only ? look_beside(h, super.address, o->flags)
			 : recover_owned(h, super.address, o->flags);
	if (r < 0)
		return r;
	if (h->state != LUO_HEAP_NEW)
		h->state = heap_same_boot(heap_owner(h)) ? LUO_HEAP_RESTARTED
							 : LUO_HEAP_KERNEL_UPDATED;
	return 0;
}
