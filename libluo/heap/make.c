/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Makes a heap in an empty file: four pages, written with pwrite(2), the magic number last. */

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "libluo/heap/internal.h"
#include "libluo/memfd/internal.h"
#include "common/util.h"

#define PAGES      HEAP_MADE_PAGES
#define PAGE_SUPER 0
#define PAGE_LEAF  1
#define PAGE_SLOTS 2
#define PAGE_FREE  3
#define FREE_LIST  1 /* of runs of one page */

/* The words of the first three pages that are not zero. */
struct image {
	uint8_t super[HEAP_LOG_OFFSET];
	struct heap_leaf_entry directory[1];
	struct heap_desc leaf[PAGES];
	uint64_t slot_check;
};

static uint64_t sum_words(const void *p, size_t size, uint64_t offset)
{
	const uint64_t *words = p;
	uint64_t sum = 0;

	for (size_t i = 0; i < size / 8; i++)
		sum += heap_sum_word(offset + i * 8, words[i]);
	return sum;
}

uint64_t heap_super_sum(const struct heap_super *super)
{
	struct heap_super copy = *super;

	copy.magic = HEAP_MAGIC; /* stored last, after the sum */
	return sum_words(&copy, offsetof(struct heap_super, sum), HEAP_SUPER_OFFSET);
}

static int fill(struct image *image, const char *name, uint64_t address)
{
	struct heap_super *super = (struct heap_super *)(image->super + HEAP_SUPER_OFFSET);
	struct heap_index *index = (struct heap_index *)(image->super + HEAP_INDEX_OFFSET);

	*super = (struct heap_super){
		.magic = HEAP_MAGIC_MAKING,
		.format = HEAP_FORMAT,
		.page_shift = HEAP_PAGE_SHIFT,
		.created_usec = now_usec(CLOCK_REALTIME),
		.address = address,
	};
	if (getrandom(&super->id, sizeof(super->id), 0) != sizeof(super->id))
		return -errno;
	memcpy(super->name, name, strlen(name)); /* at most 63 */
	super->sum = heap_super_sum(super);

	image->leaf[PAGE_SUPER].word = HEAP_DESC(HEAP_PAGE_META, 1);
	image->leaf[PAGE_LEAF].word = HEAP_DESC(HEAP_PAGE_META, 1);
	image->leaf[PAGE_SLOTS].word = HEAP_DESC(HEAP_PAGE_META, 1);
	image->leaf[PAGE_FREE].word =
		HEAP_DESC(HEAP_PAGE_FREE, 1) | HEAP_DESC_ZERO | HEAP_DESC_HOLES;
	image->directory[0].page = PAGE_LEAF;
	image->directory[0].sum =
		sum_words(image->leaf, sizeof(image->leaf), PAGE_LEAF * HEAP_PAGE);

	index->pages = PAGES;
	index->free_pages = 1;
	index->leaves = 1;
	index->slots = 1;
	index->fl_bitmap = 1;
	index->sl_bitmap[0] = 1 << FREE_LIST;
	index->lists[0][FREE_LIST] = PAGE_FREE;
	index->slot_pages[0] = PAGE_SLOTS;
	index->sum = sum_words(&index->pages, sizeof(*index) - sizeof(index->sum),
			       HEAP_INDEX_OFFSET + sizeof(index->sum)) +
		     sum_words(image->directory, sizeof(image->directory), HEAP_DIRECTORY_OFFSET);
	image->slot_check = heap_mix(super->id, 0, 0);
	return 0;
}

static int write_rest(int fd, const struct image *image)
{
	static const uint64_t magic = HEAP_MAGIC;
	const struct {
		const void *data;
		size_t size;
		uint64_t offset;
	} parts[] = {
		{ image->directory, sizeof(image->directory), HEAP_DIRECTORY_OFFSET },
		{ image->leaf, sizeof(image->leaf), PAGE_LEAF * HEAP_PAGE },
		{ &image->slot_check, sizeof(image->slot_check), PAGE_SLOTS * HEAP_PAGE },
		{ &magic, sizeof(magic), 0 },
	};
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(parts) && r == 0; i++)
		r = luo_pwrite_all(fd, parts[i].data, parts[i].size, (off_t)parts[i].offset);
	return r;
}

int heap_make(int fd, const char *name, uint64_t address)
{
	_cleanup_free_ struct image *image = calloc(1, sizeof(*image));
	int r;

	if (!image)
		return -ENOMEM;
	r = fill(image, name, address);
	if (r < 0)
		return r;
	/* Without this, remains of an earlier attempt could show. */
	if (ftruncate(fd, 0) < 0)
		return -errno;
	/*
	 * First record that the heap is being made, because a crash must not leave an unidentified
	 * file.
	 */
	r = luo_pwrite_all(fd, image->super, sizeof(image->super), 0);
	if (r < 0)
		return r;
	if (ftruncate(fd, PAGES * HEAP_PAGE) < 0)
		return -errno;
	return write_rest(fd, image);
}
