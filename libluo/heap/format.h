/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HEAP_FORMAT_H
#define LIBLUO_HEAP_FORMAT_H

/*
 * The layout of a heap in memory: little-endian, 64-bit, offsets from the start of the file, no
 * addresses (except the fixed one). docs/heap-format.md describes it in words.
 *
 *  page 0     super page: identity, page index, heap log, roots, directory
 *  page 1     leaf 0: descriptors of the pages 0 to 4095
 *  page 2     slots 0 to 3
 *  page 3...  free runs, slabs, large objects, further leaves and slot pages
 *
 * A page has 64 KiB. A word has 8 bytes and is 8-aligned.
 */

#include <stdint.h>

#define HEAP_MAGIC        UINT64_C(0x315041454f554c89) /* "\x89LUOEAP1" */
#define HEAP_MAGIC_MAKING UINT64_C(0x304041454f554c89) /* being made; not a heap yet */
#define HEAP_FORMAT       1

#define HEAP_PAGE_SHIFT 16
#define HEAP_PAGE       (UINT64_C(1) << HEAP_PAGE_SHIFT)

/* ------------------------------- super page ------------------------------- */

/* Constant after the heap was made. */
struct heap_super {
	uint64_t magic;  /* stored last */
	uint32_t format; /* HEAP_FORMAT */
	uint32_t page_shift;
	uint64_t id;           /* random */
	uint64_t created_usec; /* CLOCK_REALTIME */
	uint64_t address;      /* fixed address, or 0 */
	char name[64];         /* NUL-terminated */
	uint64_t reserved[18];
	uint64_t sum; /* heap_sum over all words before this one */
};

/* The present or last owner; only for messages, never trusted, not in any sum. */
struct heap_owner {
	uint64_t pid;
	char name[16];
	uint8_t boot_id[16];
	uint64_t openings;
	uint64_t kernels; /* number of boots in which it was opened */
	uint64_t reserved[9];
};

/*
 * The page index: free runs by size, two-level segregated fit (TLSF: Masmano, Ripoll, Crespo,
 * Real, 2004) in units of pages.
 */
#define HEAP_SL_SHIFT 3
#define HEAP_SL       (1 << HEAP_SL_SHIFT)
#define HEAP_FL       24

#define HEAP_SLOTS          128
#define HEAP_SLOTS_PER_PAGE 4
#define HEAP_SLOT_SIZE      (HEAP_PAGE / HEAP_SLOTS_PER_PAGE)
#define HEAP_SLOT_PAGES     (HEAP_SLOTS / HEAP_SLOTS_PER_PAGE)

/* Changes only through the heap log. */
struct heap_index {
	uint64_t sum;   /* of the other words of the index, the roots, and the directory */
	uint32_t pages; /* pages of the heap; the file has at least as many */
	uint32_t free_pages;
	uint32_t leaves; /* entries of the directory in use */
	uint32_t slots;  /* slots that exist */
	uint32_t roots;  /* number of root entries ever used */
	uint32_t fl_bitmap;
	uint8_t sl_bitmap[HEAP_FL];
	uint32_t slot_pages[HEAP_SLOT_PAGES]; /* page of slots 4i to 4i+3 */
	uint32_t lists[HEAP_FL][HEAP_SL];     /* first page of a free run, or 0 */
};

/*
 * A redo log makes several stores atomic. It holds words to be written: {offset, value}. It is
 * valid from the moment its commit word is stored until that is 0 again. The next opener of the
 * heap completes a valid log.
 *
 * commit: number of entries in the low half, sum of the entries in the high half.
 */
struct heap_log_entry {
	uint64_t offset; /* of a word in the file */
	uint64_t value;
};

#define HEAP_LOG_ENTRIES 250
struct heap_log {
	uint64_t commit;
	uint64_t reserved;
	struct heap_log_entry entries[HEAP_LOG_ENTRIES];
};

#define HEAP_ROOTS     128
#define HEAP_ROOT_NAME 48
struct heap_root {
	uint64_t object; /* offset; 0: the entry is free */
	uint64_t size;
	uint64_t type_id;
	uint64_t version;
	char name[HEAP_ROOT_NAME]; /* NUL-padded */
	uint64_t reserved[6];
};

/* The directory: the place of the descriptors of the pages 4096i to 4096i+4095. */
#define HEAP_LEAF_PAGES 4096
#define HEAP_LEAVES     2048
struct heap_leaf_entry {
	uint64_t page; /* 0: none */
	uint64_t sum;  /* of all words of the leaf */
};

#define HEAP_SUPER_OFFSET     0x0000
#define HEAP_OWNER_OFFSET     0x0100
#define HEAP_INDEX_OFFSET     0x0400
#define HEAP_LOG_OFFSET       0x1000
#define HEAP_ROOTS_OFFSET     0x2000
#define HEAP_DIRECTORY_OFFSET 0x6000
#define HEAP_SUPER_END        0xe000 /* zeros from here to the end of the page */

/* ----------------------------- page descriptors ----------------------------- */

/*
 * Pages form runs; each page belongs to exactly one. The descriptors of a run's first and last page
 * describe it, those between are zero (slabs: every page). They change through the heap log.
 */
enum heap_page_kind {
	HEAP_PAGE_NONE = 0,
	HEAP_PAGE_FREE = 1,      /* first page of a free run */
	HEAP_PAGE_FREE_TAIL = 2, /* its last, if it has more than one */
	HEAP_PAGE_RUN = 3,       /* first page of an object with pages of its own */
	HEAP_PAGE_RUN_TAIL = 4,  /* its last, if it has more than one */
	HEAP_PAGE_SLAB = 5,      /* first page of a slab */
	HEAP_PAGE_SLAB_PART = 6, /* its others; pages: the distance to the first */
	HEAP_PAGE_META = 7,      /* super page, leaf, slots: runs of one page */
	HEAP_PAGE_LOG = 8,       /* first page of a segment of a transaction's log */
	HEAP_PAGE_LOG_TAIL = 9,
};

struct heap_desc {
	/* bits 0-3 kind, 4-11 size class of a slab, 12-27 slot that owns a slab,
	 * 28 all content is zeros (FREE), 29 some of it may be holes (FREE), 32-63 pages of the run
	 * (TAILs: too) */
	uint64_t word;
	uint64_t links; /* FREE: previous run in its list in the low half, next in the high; or 0 */
};

#define HEAP_DESC_KIND(w)      ((unsigned)(0xf & (w)))
#define HEAP_DESC_CLASS(w)     ((unsigned)((w) >> 4 & 0xff))
#define HEAP_DESC_OWNER(w)     ((unsigned)((w) >> 12 & 0xffff))
#define HEAP_DESC_ZERO         (UINT64_C(1) << 28)
#define HEAP_DESC_HOLES        (UINT64_C(1) << 29)
#define HEAP_DESC_PAGES(w)     ((uint32_t)((w) >> 32))
#define HEAP_DESC(kind, pages) ((uint64_t)(kind) | (uint64_t)(pages) << 32)
#define HEAP_DESC_SLAB(class, owner, pages) \
	(HEAP_DESC(HEAP_PAGE_SLAB, pages) | (uint64_t)(class) << 4 | (uint64_t)(owner) << 12)

/* ------------------------------ slabs and slots ------------------------------ */

/*
 * Small objects are in slabs (Bonwick 1994), each of one size class. One bit in the slab says
 * whether a block is allocated; nothing else does. The classes are 16 to 128 in steps of 16, then
 * four for each doubling.
 */
#define HEAP_CLASSES   48
#define HEAP_CLASS_MAX (UINT64_C(128) << 10) /* larger objects have pages of their own */

struct heap_slab {
	uint64_t check;  /* heap_mix(id, page, class) */
	uint64_t links;  /* previous slab in its list in the low half, next in the high; or 0 */
	uint64_t listed; /* 1: in the list of its owner and class */
	uint64_t reserved[5];
	uint64_t used[]; /* bit i: block i is allocated; one bit for each block, the rest are 0 */
};

/*
 * A thread that allocates has a slot, which owns slabs. For each class the slot has a magazine
 * (Bonwick, Adams 2001): a ring of hints to blocks that may be free. A hint is right if the bit of
 * its block is clear. A slab with a free block that no hint of its owner names is listed.
 */
#define HEAP_MAGAZINE          32 /* a power of 2 */
#define HEAP_HINT(page, block) ((uint64_t)(page) << 16 | (block))
#define HEAP_HINT_PAGE(h)      ((uint32_t)((h) >> 16))
#define HEAP_HINT_BLOCK(h)     ((uint32_t)(0xffff & (h)))

struct heap_magazine {
	uint32_t top;    /* ring[(top - 1) % HEAP_MAGAZINE] is the newest; counts up and wraps */
	uint32_t bottom; /* ring[bottom % HEAP_MAGAZINE] is the oldest, if bottom != top */
	uint32_t list;   /* first listed slab, or 0. A word with the next: logged together */
	uint32_t reserved;
	uint64_t ring[HEAP_MAGAZINE];
};

#define HEAP_SLOT_LOG_ENTRIES 48
struct heap_slot_log {
	uint64_t commit;
	uint64_t reserved;
	struct heap_log_entry entries[HEAP_SLOT_LOG_ENTRIES];
};

/*
 * The log of a transaction: entries, newest last, in words: {kind, offset, size, data..., length}.
 * The last word of an entry is its length in words, so the log can be read backwards. Undoing and
 * completing it both work this way: each step removes the newest entry.
 */
enum heap_tx_state {
	HEAP_TX_NONE = 0,
	HEAP_TX_ACTIVE = 1,     /* the next opener of the heap undoes it */
	HEAP_TX_COMMITTING = 2, /* the next opener of the heap completes it */
};
enum heap_tx_kind {
	HEAP_TX_UNDO = 1,  /* size bytes of the old data at offset */
	HEAP_TX_ALLOC = 2, /* the block at offset was allocated */
	HEAP_TX_FREE = 3,  /* the block at offset is to be freed at the commit */
};
#define HEAP_TX_INLINE 300 /* words of the log that are in the slot */
struct heap_tx {
	uint64_t word;    /* words in use of the newest part in the low half, state in the high */
	uint64_t segment; /* offset of the newest segment; 0: all is in the slot */
	uint64_t words[HEAP_TX_INLINE];
};
/* A segment is a run of pages of kind HEAP_PAGE_LOG. */
struct heap_tx_segment {
	uint64_t previous;      /* segment, or 0: the slot */
	uint64_t previous_word; /* value of heap_tx.word after this segment is removed; state
				   ignored */
	uint64_t words[];
};

struct heap_slot {
	uint64_t check;  /* heap_mix(id, slot, 0) */
	uint64_t remote; /* offset of the block that another thread freed last; its first word has
			    the offset of the one before, or 0 */
	struct heap_slot_log log;
	struct heap_tx tx;
	uint64_t reserved[2];
	struct heap_magazine magazines[HEAP_CLASSES];
};

_Static_assert(sizeof(struct heap_super) == HEAP_OWNER_OFFSET, "super");
_Static_assert(sizeof(struct heap_index) <= HEAP_LOG_OFFSET - HEAP_INDEX_OFFSET, "index");
_Static_assert(sizeof(struct heap_log) <= HEAP_ROOTS_OFFSET - HEAP_LOG_OFFSET, "log");
_Static_assert(sizeof(struct heap_root) == 128, "root");
_Static_assert(HEAP_ROOTS_OFFSET + HEAP_ROOTS * 128 == HEAP_DIRECTORY_OFFSET, "roots");
_Static_assert(HEAP_DIRECTORY_OFFSET + HEAP_LEAVES * 16 == HEAP_SUPER_END, "directory");
_Static_assert(sizeof(struct heap_desc) * HEAP_LEAF_PAGES == 65536, "leaf");
_Static_assert(sizeof(struct heap_slot) <= HEAP_SLOT_SIZE, "slot");

#endif
