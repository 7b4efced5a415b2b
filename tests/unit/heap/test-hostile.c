/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Forged heaps with correct sums: nothing outside the heap is touched. */

#include "libluo/heap/internal.h"

#include "tests/unit/heap/helpers.h"

struct forged {
	int fd;
	size_t size;
	uint8_t *bytes; /* mapped */
};

static struct luo_heap view_of(const struct forged *f)
{
	return (struct luo_heap){ .base = f->bytes, .max_size = f->size, .file_size = f->size };
}

static struct heap_index *index_of(const struct forged *f)
{
	return (struct heap_index *)(f->bytes + HEAP_INDEX_OFFSET);
}

static struct heap_desc *desc_of(const struct forged *f, uint32_t page)
{
	return (struct heap_desc *)(f->bytes + HEAP_PAGE) + page;
}

static struct heap_slot *slot_of(const struct forged *f, unsigned slot)
{
	return (struct heap_slot *)(f->bytes + 2 * HEAP_PAGE + slot * HEAP_SLOT_SIZE);
}

/* A closed heap with a block of 16 bytes, one of 20 KiB, and some pages in use. */
static struct forged begin(void)
{
	struct forged f = { .fd = empty_memfd() };
	struct luo_heap *heap = open_heap(f.fd);
	struct stat st;

	assert_non_null(luo_heap_alloc(heap, 16));
	assert_non_null(luo_heap_alloc(heap, 20 * KIB));
	assert_non_null(luo_heap_alloc(heap, 300 * KIB));
	luo_heap_close(heap);
	assert_int_equal(fstat(f.fd, &st), 0);
	f.size = st.st_size;
	f.bytes = mmap(NULL, f.size, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	assert_ptr_not_equal(f.bytes, MAP_FAILED);
	return f;
}

static void end(struct forged *f)
{
	munmap(f->bytes, f->size);
	close(f->fd);
}

/* As if the owner had written all of it. */
static void put_sums(struct forged *f)
{
	struct luo_heap view = view_of(f);

	((struct heap_leaf_entry *)(f->bytes + HEAP_DIRECTORY_OFFSET))->sum =
		heap_leaf_sum(&view, 0);
	index_of(f)->sum = heap_index_sum(&view);
}

static uint64_t commit_of(const struct heap_log_entry *entries, unsigned n)
{
	uint64_t sum = n;

	for (unsigned i = 0; i < n; i++)
		sum = heap_mix(sum, entries[i].offset, entries[i].value);
	return n | (uint64_t)(uint32_t)(sum ^ sum >> 32) << 32;
}

static void put_slot_log(struct forged *f, const struct heap_log_entry *entries, unsigned n)
{
	struct heap_slot_log *log = &slot_of(f, 0)->log;

	memcpy(log->entries, entries, n * sizeof(*entries));
	log->commit = commit_of(entries, n);
}

/* The first page of a slab of that class. */
static uint32_t slab_of(const struct forged *f, unsigned class)
{
	for (uint32_t page = 3; page < index_of(f)->pages; page++) {
		uint64_t word = desc_of(f, page)->word;

		if (HEAP_DESC_KIND(word) == HEAP_PAGE_SLAB && HEAP_DESC_CLASS(word) == class)
			return page;
	}
	fail();
	return 0;
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* Its first entry makes the second another one, of which the sum says nothing. */
static void test_slot_log_changes_itself(void **state)
{
	struct forged f = begin();
	uint64_t entries = 2 * HEAP_PAGE + offsetof(struct heap_slot, log.entries);
	const struct heap_log_entry forged[] = {
		{ entries + sizeof(struct heap_log_entry), UINT64_C(1) << 44 },
		{ 3 * HEAP_PAGE, 1 },
	};

	put_slot_log(&f, forged, 2);
	assert_refused(f.fd, -EUCLEAN);
	end(&f);
}

/* The super page was verified before the slots. */
static void test_slot_log_changes_index(void **state)
{
	struct forged f = begin();
	struct heap_log_entry forged[] = {
		{ HEAP_INDEX_OFFSET + offsetof(struct heap_index, pages), UINT32_MAX },
		{ HEAP_INDEX_OFFSET, 0 },
	};

	put_slot_log(&f, forged, 2);
	assert_refused(f.fd, -EUCLEAN);
	end(&f);
}

static void test_slot_log_changes_leaf(void **state)
{
	struct forged f = begin();
	uint64_t word = desc_of(&f, slab_of(&f, 0))->word;
	struct heap_log_entry forged[] = {
		{ (uint64_t)((uint8_t *)desc_of(&f, slab_of(&f, 0)) - f.bytes),
		  word | UINT64_C(0xffff) << 32 },
		{ 2 * HEAP_PAGE - 8, 1 },
	};

	put_slot_log(&f, forged, 2);
	assert_refused(f.fd, -EUCLEAN);
	end(&f);
}

/* No forgery: a heap that has grown, a death in the middle, and less address space than before. */
static void test_log_beyond_max_size(void **state)
{
	struct forged f = begin();
	const uint64_t slab = slab_of(&f, 0) * HEAP_PAGE + offsetof(struct heap_slab, links);
	const uint64_t links = *(uint64_t *)(f.bytes + slab);
	const struct heap_log_entry at_end[] = { { f.size - 16, 0 }, { f.size - 8, 0 } };
	const struct heap_log_entry harmless[] = { { slab, links }, { slab, links } };
	struct heap_log *log = (struct heap_log *)(f.bytes + HEAP_LOG_OFFSET);
	const struct luo_heap_options options[] = {
		{ .max_size = 4 * HEAP_PAGE },
		{ .max_size = 4 * HEAP_PAGE, .flags = LUO_HEAP_READ_ONLY },
	};

	for (size_t i = 0; i < ELEMENTSOF(options); i++) {
		put_slot_log(&f, at_end, 2);
		assert_refused_with(f.fd, options[i], -EINVAL);
		memcpy(log->entries, at_end, sizeof(at_end));
		log->commit = commit_of(at_end, 2);
		assert_refused_with(f.fd, options[i], -EINVAL);
		log->commit = 0;
		put_slot_log(&f, harmless, 2);
		assert_refused_with(f.fd, options[i], -EINVAL);
	}
	luo_heap_close(open_heap(f.fd));
	end(&f);
}

/* The file is larger than what is mapped of it. */
static void test_log_beyond_mapping(void **state)
{
	struct forged f = begin();
	const struct heap_log_entry forged[] = { { 1 * MIB * MIB - 8, 1 },
						 { 1 * MIB * MIB - 16, 1 } };
	struct heap_log *log = (struct heap_log *)(f.bytes + HEAP_LOG_OFFSET);

	assert_int_equal(ftruncate(f.fd, MIB * MIB), 0);
	memcpy(log->entries, forged, sizeof(forged));
	log->commit = commit_of(forged, 2);
	for (unsigned i = is_under_valgrind(); i < 2; i++) {
		struct luo_heap *heap = NULL;

		assert_int_equal(
			luo_heap_open_fd(f.fd,
					 &(struct luo_heap_options){
						 .struct_size = sizeof(struct luo_heap_options),
						 .max_size = i ? 64 * MIB : 0 },
					 &heap),
			-EUCLEAN);
	}
	end(&f);
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* What it would bring back is what the allocator goes by. */
static void test_transaction_over_metadata(void **state)
{
	struct forged f = begin();
	const uint64_t targets[] = {
		HEAP_PAGE,                                             /* a leaf */
		2 * HEAP_PAGE + offsetof(struct heap_slot, tx.word),   /* itself */
		2 * HEAP_PAGE + offsetof(struct heap_slot, magazines), /* hints */
		slab_of(&f, 0) * HEAP_PAGE,                            /* a slab's bits */
		slab_of(&f, 0) * HEAP_PAGE - 8,                        /* and from before it */
	};
	struct heap_tx *tx = &slot_of(&f, 0)->tx;

	for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
		const uint64_t words[] = { HEAP_TX_UNDO, targets[i], 16, 3, 3, 6 };

		memcpy(tx->words, words, sizeof(words));
		tx->word = (uint64_t)HEAP_TX_ACTIVE << 32 | ELEMENTSOF(words);
		assert_refused(f.fd, -EUCLEAN);
		/* What is committed is not brought back. */
		tx->word = (uint64_t)HEAP_TX_COMMITTING << 32 | ELEMENTSOF(words);
		luo_heap_close(open_heap(f.fd));
		assert_int_equal(tx->word, 0);
	}
	end(&f);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* Each page of a slab that is given back is a word in a log, and logs have an end. */
static void test_slab_of_many_pages(void **state)
{
	struct forged f = begin();
	uint32_t page = slab_of(&f, 0), pages = 400;
	struct heap_slab *slab = (struct heap_slab *)(f.bytes + page * HEAP_PAGE);
	struct luo_heap *heap;

	munmap(f.bytes, f.size);
	f.size = (page + pages + 1) * HEAP_PAGE;
	assert_int_equal(ftruncate(f.fd, f.size), 0);
	f.bytes = mmap(NULL, f.size, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	slab = (struct heap_slab *)(f.bytes + page * HEAP_PAGE);
	index_of(&f)->pages = page + pages + 1;
	for (uint32_t i = 1; i < pages; i++)
		desc_of(&f, page + i)->word = HEAP_DESC(HEAP_PAGE_SLAB_PART, i);
	desc_of(&f, page)->word = HEAP_DESC_SLAB(0, 0, pages);
	memset(slab->used, 0, 16);
	memset(slot_of(&f, 0)->magazines, 0, sizeof(slot_of(&f, 0)->magazines));
	slot_of(&f, 0)->magazines[0].list = page;
	put_sums(&f);
	heap = open_heap(f.fd);
	(void)luo_heap_trim(heap);
	assert_null(luo_heap_alloc(heap, 16));
	assert_int_equal(errno, EUCLEAN);
	luo_heap_close(heap);
	end(&f);
}

/* A slab and an object that do not fit between their first page and the end. */
static void test_beyond_the_end(void **state)
{
	struct forged f = begin();
	unsigned class = heap_class_of(20 * KIB);
	uint32_t slab = slab_of(&f, class);
	struct luo_heap *heap;
	void *block;

	for (unsigned i = 0; i < 2; i++) {
		index_of(&f)->pages = slab + 1;
		desc_of(&f, slab)->word = i ? HEAP_DESC(HEAP_PAGE_RUN, 100)
					    : HEAP_DESC_SLAB(class, 0, heap_classes[class].pages);
		index_of(&f)->free_pages = 0;
		memset(slot_of(&f, 0)->magazines, 0, sizeof(slot_of(&f, 0)->magazines));
		((struct heap_slab *)(f.bytes + slab * HEAP_PAGE))->used[0] |= 1;
		put_sums(&f);
		heap = open_heap(f.fd);
		block = (uint8_t *)heap_page(heap, slab) + (i ? 0 : heap_classes[class].first);
		assert_int_equal(luo_heap_usable_size(heap, block), 0);
		assert_null(luo_heap_realloc(heap, block, 1 * MIB));
		assert_int_equal(luo_heap_free(heap, block), -EUCLEAN);
		luo_heap_close(heap);
	}
	end(&f);
}

/* The heap grows into a leaf that was not verified yet. */
static void test_leaf_outside(void **state)
{
	struct forged f = begin();
	struct heap_leaf_entry *directory =
		(struct heap_leaf_entry *)(f.bytes + HEAP_DIRECTORY_OFFSET);
	struct heap_index *index = index_of(&f);
	struct luo_heap *heap;

	assert_int_equal(ftruncate(f.fd, HEAP_LEAF_PAGES * HEAP_PAGE), 0);
	index->pages = HEAP_LEAF_PAGES;
	index->leaves = 2;
	directory[1].page = UINT64_C(0xfffffff0);
	put_sums(&f);
	heap = open_with(f.fd, (struct luo_heap_options){ .max_size = 1024 * MIB });
	assert_null(luo_heap_alloc(heap, 10 * MIB));
	assert_int_equal(errno, EUCLEAN);
	luo_heap_close(heap);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_slot_log_changes_itself),
		HEAP_TEST(test_slot_log_changes_index),
		HEAP_TEST(test_slot_log_changes_leaf),
		HEAP_TEST(test_log_beyond_max_size),
		HEAP_TEST(test_log_beyond_mapping),
		HEAP_TEST(test_transaction_over_metadata),
		HEAP_TEST(test_slab_of_many_pages),
		HEAP_TEST(test_beyond_the_end),
		HEAP_TEST(test_leaf_outside),
	};

	return cmocka_run_group_tests_name("heap-hostile", tests, NULL, NULL);
}
