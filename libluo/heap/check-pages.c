/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Checks the descriptors (each page belongs to one run) and the lists of free runs. */

#include <inttypes.h>

#include "libluo/heap/check.h"
#include "common/util.h"

#define INDEX(member) (HEAP_INDEX_OFFSET + offsetof(struct heap_index, member))

static const char *const kind_names[16] = {
	[HEAP_PAGE_FREE] = "a free run", [HEAP_PAGE_RUN] = "an object",
	[HEAP_PAGE_SLAB] = "a slab",     [HEAP_PAGE_META] = "a page of tables",
	[HEAP_PAGE_LOG] = "a log",
};

static uint64_t desc_offset(const struct check *c, uint32_t page)
{
	return check_page_offset(c->leaves[page / HEAP_LEAF_PAGES]) +
	       page % HEAP_LEAF_PAGES * sizeof(struct heap_desc);
}

/* Zeros where there is no leaf. */
static struct heap_desc desc_of(const struct check *c, uint32_t page)
{
	uint64_t offset = desc_offset(c, page);
	struct heap_desc desc = { 0 };

	if (c->leaves[page / HEAP_LEAF_PAGES]) {
		desc.word = check_load(c, offset + offsetof(struct heap_desc, word));
		desc.links = check_load(c, offset + offsetof(struct heap_desc, links));
	}
	return desc;
}

/* The correct descriptor of the @i-th of @n pages, given the first. */
static uint64_t expected_word(uint64_t head, uint32_t i, uint32_t n)
{
	unsigned kind = HEAP_DESC_KIND(head);

	if (kind == HEAP_PAGE_SLAB)
		return HEAP_DESC(HEAP_PAGE_SLAB_PART, i);
	/* The kind of a tail page is the next number. */
	return i + 1 == n ? HEAP_DESC(kind + 1, n) : 0;
}

static void check_body(struct check *c, uint64_t head, uint32_t page, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint64_t expected = expected_word(head, i, n);
		struct heap_desc desc = desc_of(c, page + i);

		if (desc.word == expected && desc.links == 0)
			continue;
		/*
		 * One problem for each run: if a descriptor is wrong once, it is usually wrong for
		 * the whole run.
		 */
		check_problem(c,
			      "page %" PRIu32 " (descriptor at 0x%" PRIx64
			      ") is part of %s of %" PRIu32 " pages that begins at page %" PRIu32
			      ", and has 0x%" PRIx64 " 0x%" PRIx64 " instead of 0x%" PRIx64 " 0",
			      page + i, desc_offset(c, page + i), kind_names[HEAP_DESC_KIND(head)],
			      n, page, desc.word, desc.links, expected);
		return;
	}
}

static bool head_is_sound(const struct check *c, struct heap_desc desc, uint32_t page)
{
	uint32_t n = HEAP_DESC_PAGES(desc.word);
	unsigned class = HEAP_DESC_CLASS(desc.word);

	if (n == 0 || n > c->pages - page)
		return false;
	switch (HEAP_DESC_KIND(desc.word)) {
	case HEAP_PAGE_FREE:
		return (desc.word & ~(HEAP_DESC_ZERO | HEAP_DESC_HOLES)) ==
		       HEAP_DESC(HEAP_PAGE_FREE, n);
	case HEAP_PAGE_META:
		return desc.word == HEAP_DESC(HEAP_PAGE_META, 1) && desc.links == 0;
	case HEAP_PAGE_RUN:
	case HEAP_PAGE_LOG:
		return desc.word == HEAP_DESC(HEAP_DESC_KIND(desc.word), n) && desc.links == 0;
	case HEAP_PAGE_SLAB:
		return desc.word == HEAP_DESC_SLAB(class, HEAP_DESC_OWNER(desc.word), n) &&
		       desc.links == 0 && class < HEAP_CLASSES && heap_classes[class].pages == n &&
		       HEAP_DESC_OWNER(desc.word) < HEAP_SLOTS;
	default:
		return false;
	}
}

static bool add_run(struct check *c, uint64_t word, uint32_t page)
{
	struct check_run *run;

	if (c->n_runs == c->runs_size) {
		size_t size = MAX2(c->runs_size * 2, (size_t)256);
		struct check_run *runs = reallocarray(c->runs, size, sizeof(*runs));

		if (!runs) {
			c->error = -ENOMEM;
			return false;
		}
		c->runs = runs;
		c->runs_size = size;
	}
	run = &c->runs[c->n_runs++];
	*run = (struct check_run){
		.page = page,
		.pages = HEAP_DESC_PAGES(word),
		.kind = HEAP_DESC_KIND(word),
		.class = (uint8_t)HEAP_DESC_CLASS(word),
		.owner = (uint16_t)HEAP_DESC_OWNER(word),
		.zero = (word & HEAP_DESC_ZERO) != 0,
	};
	for (uint32_t i = 0; i < run->pages; i++)
		c->run_of[page + i] = (uint32_t)c->n_runs;
	return true;
}

/* Pages that belong to no run, as one problem. */
static uint32_t skip_lost(struct check *c, uint32_t page)
{
	struct heap_desc first = desc_of(c, page), desc;
	uint32_t end = page;

	do {
		end++;
		if (end == c->pages)
			break;
		desc = desc_of(c, end);
	} while (!head_is_sound(c, desc, end));
	check_problem(c,
		      "%" PRIu32 " page%s from page %" PRIu32 " on (offset 0x%" PRIx64
		      ") belong to nothing; the descriptor of the first is 0x%" PRIx64
		      " 0x%" PRIx64,
		      end - page, end - page == 1 ? "" : "s", page, check_page_offset(page),
		      first.word, first.links);
	return end;
}

void check_runs(struct check *c)
{
	const struct check_run *last;
	uint32_t page = 0;

	while (page < c->pages) {
		struct heap_desc desc = desc_of(c, page);

		if (!head_is_sound(c, desc, page)) {
			page = skip_lost(c, page);
			continue;
		}
		check_body(c, desc.word, page, HEAP_DESC_PAGES(desc.word));
		last = c->n_runs > 0 ? &c->runs[c->n_runs - 1] : NULL;
		if (last && HEAP_DESC_KIND(desc.word) == HEAP_PAGE_FREE &&
		    last->kind == HEAP_PAGE_FREE && last->page + last->pages == page)
			check_problem(c,
				      "the free runs at page %" PRIu32 " (%" PRIu32
				      " pages) and page %" PRIu32 " are neighbors, but not one run",
				      last->page, last->pages, page);
		if (!add_run(c, desc.word, page))
			return;
		page += HEAP_DESC_PAGES(desc.word);
	}
}

/* ---- free runs ------------------------------------------------------------------------------- */

#define CHUNK 4096

/*
 * Uses pread(2), because reading a hole through the mapping would fill it. Returns the next data,
 * or @end.
 */
static uint64_t next_data(const struct check *c, uint64_t offset, uint64_t end)
{
	off_t data = lseek(c->heap->fd, (off_t)offset, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? end : offset;
	return MIN2((uint64_t)data, end);
}

/* luo_heap_calloc() relies on this. */
static void check_zero_run(struct check *c, const struct check_run *run)
{
	static const uint8_t zeros[CHUNK];
	uint64_t offset = check_page_offset(run->page),
		 end = offset + check_page_offset(run->pages);
	uint8_t data[CHUNK];

	for (offset = next_data(c, offset, end); offset < end;
	     offset = next_data(c, offset + CHUNK, end)) {
		offset -= offset % CHUNK;
		if (pread(c->heap->fd, data, CHUNK, (off_t)offset) != CHUNK ||
		    memcmp(data, zeros, CHUNK) != 0) {
			check_problem(c,
				      "the free run at page %" PRIu32
				      " is marked as zeros, but is not zero at offset 0x%" PRIx64,
				      run->page, offset);
			return;
		}
	}
}

static void list_of(uint32_t pages, unsigned *ret_fl, unsigned *ret_sl)
{
	unsigned shift;

	*ret_fl = 0;
	*ret_sl = pages;
	if (pages < HEAP_SL)
		return;
	shift = 31 - (unsigned)__builtin_clz(pages);
	*ret_fl = shift - HEAP_SL_SHIFT + 1;
	*ret_sl = pages >> (shift - HEAP_SL_SHIFT) & (HEAP_SL - 1);
}

static void check_free_list(struct check *c, unsigned fl, unsigned sl, uint32_t page)
{
	unsigned right_fl, right_sl;
	struct check_run *run;
	uint32_t before = 0;
	uint64_t links;

	while (page) {
		run = check_run_at(c, page, HEAP_PAGE_FREE);
		if (!run) {
			check_problem(c,
				      "the list %u/%u of free runs names page %" PRIu32
				      " (after page %" PRIu32 "), where none begins",
				      fl, sl, page, before);
			return;
		}
		if (run->reached) {
			check_problem(c,
				      "the free run at page %" PRIu32
				      " is in a list twice, now in %u/%u after page %" PRIu32,
				      page, fl, sl, before);
			return;
		}
		run->reached = true;
		list_of(run->pages, &right_fl, &right_sl);
		if (right_fl != fl || right_sl != sl)
			check_problem(c,
				      "the free run at page %" PRIu32 " has %" PRIu32
				      " pages and is in list %u/%u instead of %u/%u",
				      page, run->pages, fl, sl, right_fl, right_sl);
		links = desc_of(c, page).links;
		if ((uint32_t)links != before)
			check_problem(c,
				      "the free run at page %" PRIu32 " names page %" PRIu32
				      " as the one before it in list %u/%u, which is %" PRIu32,
				      page, (uint32_t)links, fl, sl, before);
		before = page;
		page = (uint32_t)(links >> 32);
	}
}

void check_free_lists(struct check *c)
{
	uint32_t fl_bitmap = check_load32(c, INDEX(fl_bitmap)), expected_fl = 0, free_pages = 0;
	const struct heap_index *index = heap_index(c->heap);

	for (unsigned fl = 0; fl < HEAP_FL; fl++) {
		uint8_t bitmap = __atomic_load_n(&index->sl_bitmap[fl], __ATOMIC_ACQUIRE);
		uint8_t expected = 0;

		for (unsigned sl = 0; sl < HEAP_SL; sl++) {
			uint32_t head = heap_load32(&index->lists[fl][sl]);

			if (head)
				expected |= (uint8_t)(1u << sl);
			check_free_list(c, fl, sl, head);
		}
		if (bitmap != expected)
			check_problem(
				c,
				"the bitmap of the lists %u/0 to %u/7 of free runs is 0x%02x, and those that are not empty are 0x%02x",
				fl, fl, bitmap, expected);
		if (expected)
			expected_fl |= UINT32_C(1) << fl;
	}
	if (fl_bitmap != expected_fl)
		check_problem(c,
			      "the bitmap of all lists of free runs is 0x%06" PRIx32
			      ", and those that are not empty are 0x%06" PRIx32,
			      fl_bitmap, expected_fl);
	for (size_t i = 0; i < c->n_runs; i++) {
		if (c->runs[i].kind != HEAP_PAGE_FREE)
			continue;
		free_pages += c->runs[i].pages;
		if (c->runs[i].zero)
			check_zero_run(c, &c->runs[i]);
	}
	if (check_load32(c, INDEX(free_pages)) != free_pages)
		check_problem(c, "the index has %" PRIu32 " free pages, and there are %" PRIu32,
			      check_load32(c, INDEX(free_pages)), free_pages);
}
