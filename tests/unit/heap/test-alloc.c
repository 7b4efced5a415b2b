/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Allocating: sizes and alignments, reuse, realloc, what a wrong free says, and the end of memory.
 */

#include "libluo/heap/internal.h"

#include "tests/unit/heap/helpers.h"

/* ---- classes --------------------------------------------------------------------------------- */

/* The table is part of the format: here it is computed again. */
static void test_classes(void **state)
{
	uint32_t size = 0;

	for (unsigned i = 0; i < HEAP_CLASSES; i++) {
		const struct heap_class *c = &heap_classes[i];
		uint32_t align = c->size & -c->size;

		size += i < 8 ? 16 : UINT32_C(32) << (i - 8) / 4;
		assert_int_equal(c->size, size);
		assert_int_equal(c->first % MIN2(align, UINT32_C(4096)), 0);
		/* Header, bitmap, blocks: it all fits, and one more block would not. */
		assert_true(c->first >= sizeof(struct heap_slab) + (c->blocks + 63) / 64 * 8);
		assert_true(c->first + (uint64_t)c->blocks * c->size <= c->pages * HEAP_PAGE);
		assert_true(c->first + (uint64_t)(c->blocks + 1) * c->size > c->pages * HEAP_PAGE);
		assert_true(c->blocks >= 7);
		assert_int_equal(c->reciprocal, ((UINT64_C(1) << 40) + size - 1) / size);
		for (uint64_t n = 0; n < c->pages * HEAP_PAGE; n += 1 + n % 7)
			assert_int_equal(n * c->reciprocal >> 40, n / size);
	}
	assert_int_equal(size, HEAP_CLASS_MAX);
	for (size_t n = 1; n <= HEAP_CLASS_MAX; n += 1 + n / 50) {
		unsigned class = heap_class_of(n);

		assert_true(heap_classes[class].size >= n);
		assert_true(class == 0 || heap_classes[class - 1].size < n);
	}
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Every kind of size: each class's last and first, and objects with pages of their own. */
static const size_t sizes[] = {
	0,     1,     15,    16,     17,     24,     100,    128,    129,
	160,   161,   1000,  1024,   1025,   4096,   4097,   10000,  32768,
	65535, 65536, 65537, 100000, 131072, 131073, 200000, 262144, 1000001
};

static void test_sizes(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	uint8_t *blocks[ELEMENTSOF(sizes)];
	size_t usable[ELEMENTSOF(sizes)];

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		blocks[i] = luo_heap_alloc(heap, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % 16, 0);
		usable[i] = luo_heap_usable_size(heap, blocks[i]);
		assert_true(usable[i] >= sizes[i] && usable[i] > 0);
		/* A fifth is wasted at most, or what is left of the last page. */
		assert_true(usable[i] <= MAX2(sizes[i] + 64 * KIB, 16));
		if (sizes[i] > 128 && sizes[i] <= HEAP_CLASS_MAX)
			assert_true(usable[i] <= sizes[i] + sizes[i] / 4 + 1);
		fill(blocks[i], usable[i], i);
	}
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
		assert_true(is_filled(blocks[i], usable[i], i));
	assert_int_equal(usage_of(heap).objects, ELEMENTSOF(sizes));
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
		assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

static void test_absurd_sizes(void **state)
{
	static const size_t absurd[] = { SIZE_MAX,     SIZE_MAX - 15,    SIZE_MAX - 65535,
					 PTRDIFF_MAX,  SIZE_MAX / 2 + 1, UINT64_C(1) << 48,
					 LUO_HEAP_MAX, 64 * MIB,         64 * MIB - 1 };
	struct luo_heap *heap = memory_heap(64 * MIB);
	void *block = luo_heap_alloc(heap, 10);

	for (size_t i = 0; i < ELEMENTSOF(absurd); i++) {
		errno = 0;
		assert_null(luo_heap_alloc(heap, absurd[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(luo_heap_calloc(heap, 1, absurd[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(luo_heap_aligned_alloc(heap, 4096, absurd[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(luo_heap_realloc(heap, block, absurd[i]));
		assert_int_equal(errno, ENOMEM);
	}
	/* The product has an overflow. */
	errno = 0;
	assert_null(luo_heap_calloc(heap, SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(luo_heap_calloc(heap, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 16));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(luo_heap_free(heap, block), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

static void test_errno_is_left_alone(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	void *block;

	errno = 4711;
	block = luo_heap_alloc(heap, 2 * MIB);
	assert_int_equal(luo_heap_free(heap, block), 0);
	block = luo_heap_alloc(heap, 10);
	assert_int_equal(luo_heap_free(heap, block), 0);
	assert_int_equal(errno, 4711);
	luo_heap_close(heap);
}

static void test_alignments(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);
	static const size_t bad[] = { 0, 3, 24, 100, 4 * MIB, SIZE_MAX };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		errno = 0;
		assert_null(luo_heap_aligned_alloc(heap, bad[i], 100));
		assert_int_equal(errno, EINVAL);
	}
	for (size_t align = 1; align <= 2 * MIB; align *= 2) {
		void *blocks[ELEMENTSOF(sizes)];

		for (size_t i = 0; i < ELEMENTSOF(sizes); i += 2) {
			blocks[i] = luo_heap_aligned_alloc(heap, align, sizes[i]);
			assert_non_null(blocks[i]);
			assert_int_equal((uintptr_t)blocks[i] % align, 0);
			assert_true(luo_heap_usable_size(heap, blocks[i]) >= sizes[i]);
			memset(blocks[i], 1, MIN2(sizes[i], 64));
		}
		for (size_t i = 0; i < ELEMENTSOF(sizes); i += 2)
			assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	}
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

/* Also where the memory held something else before. */
static void test_calloc_after_reuse(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
		for (int round = 0; round < 2; round++) {
			uint8_t *block = luo_heap_alloc(heap, sizes[i]);

			assert_non_null(block);
			memset(block, 0xff, luo_heap_usable_size(heap, block));
			assert_int_equal(luo_heap_free(heap, block), 0);
			block = luo_heap_calloc(heap, 1, sizes[i]);
			assert_non_null(block);
			assert_true(is_zero(block, sizes[i]));
			memset(block, 0xff, sizes[i]);
			assert_int_equal(luo_heap_free(heap, block), 0);
			if (round == 0)
				assert_int_equal(luo_heap_trim(heap), 0);
		}
	luo_heap_close(heap);
}

/* From each size to each other. */
static void test_realloc_sizes(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);

	for (size_t i = 0; i < ELEMENTSOF(sizes); i += 2)
		for (size_t j = 0; j < ELEMENTSOF(sizes); j += 3) {
			size_t common = MIN2(sizes[i], sizes[j]);
			void *block = luo_heap_alloc(heap, sizes[i]), *moved;

			assert_non_null(block);
			fill(block, MIN2(sizes[i], 70000), i);
			moved = luo_heap_realloc(heap, block, sizes[j]);
			assert_non_null(moved);
			assert_true(luo_heap_usable_size(heap, moved) >= sizes[j]);
			assert_true(is_filled(moved, MIN2(common, 70000), i));
			if (moved != block)
				assert_int_equal(luo_heap_usable_size(heap, block), 0);
			assert_int_equal(luo_heap_free(heap, moved), 0);
		}
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

static void test_realloc_edges(void **state)
{
	struct luo_heap *heap = memory_heap(16 * MIB);
	int outside;
	uint8_t *block = luo_heap_realloc(heap, NULL, 100);

	assert_non_null(block);
	fill(block, 100, 3);
	/* Nothing moves as long as it fits. */
	assert_ptr_equal(luo_heap_realloc(heap, block, luo_heap_usable_size(heap, block)), block);
	/* A failure leaves the block. */
	errno = 0;
	assert_null(luo_heap_realloc(heap, block, 20 * MIB));
	assert_int_equal(errno, ENOMEM);
	assert_true(is_filled(block, 100, 3));
	assert_true(luo_heap_usable_size(heap, block) >= 100);
	errno = 0;
	assert_null(luo_heap_realloc(heap, block + 16, 10));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(luo_heap_realloc(heap, &outside, 10));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(luo_heap_free(heap, block), 0);
	luo_heap_close(heap);
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static void test_double_free(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);

	assert_int_equal(luo_heap_free(heap, NULL), 0);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		void *first = luo_heap_alloc(heap, sizes[i]);
		void *block = luo_heap_alloc(heap, sizes[i]);
		int r;

		assert_int_equal(luo_heap_free(heap, block), 0);
		assert_int_equal(luo_heap_usable_size(heap, block), 0);
		r = luo_heap_free(heap, block);
		/* The pages of a large one may be anything by now. */
		assert_true(r == -EALREADY || (sizes[i] > HEAP_CLASS_MAX && r == -EINVAL));
		assert_true(strlen(luo_heap_problem()) > 10);
		assert_int_equal(luo_heap_free(heap, first), 0);
	}
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

static void test_wrong_pointers(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB), *other = memory_heap(64 * MIB);
	void *foreign = luo_heap_alloc(other, 100);
	uint64_t on_stack;

	assert_non_null(foreign);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		uint8_t *block = luo_heap_alloc(heap, sizes[i]);
		size_t usable = luo_heap_usable_size(heap, block);

		assert_int_equal(luo_heap_free(heap, block + 1), -EINVAL);
		assert_int_equal(luo_heap_free(heap, block + 8), -EINVAL);
		assert_int_equal(luo_heap_free(heap, block + usable / 2 + 1), -EINVAL);
		assert_int_equal(luo_heap_free(heap, block + usable - 1), -EINVAL);
		assert_int_equal(luo_heap_usable_size(heap, block + 1), 0);
		assert_int_equal(luo_heap_usable_size(heap, block), usable);
		assert_int_equal(luo_heap_free(other, block), -EINVAL);
		assert_int_equal(luo_heap_free(heap, block), 0);
	}
	assert_int_equal(luo_heap_free(heap, &on_stack), -EINVAL);
	assert_int_equal(luo_heap_free(heap, foreign), -EINVAL);
	assert_int_equal(luo_heap_free(heap, (void *)(uintptr_t)1), -EINVAL);
	assert_int_equal(luo_heap_free(heap, (void *)UINTPTR_MAX), -EINVAL);
	assert_int_equal(luo_heap_usable_size(heap, NULL), 0);
	assert_int_equal(luo_heap_usable_size(heap, foreign), 0);
	assert_int_equal(luo_heap_free(other, foreign), 0);
	luo_heap_close(heap);
	luo_heap_close(other);
}

/* Not even the heap's own pages, byte for byte, can be freed. */
static void test_metadata_is_no_block(void **state)
{
	struct luo_heap *heap = memory_heap(4 * MIB);
	uint8_t *block = luo_heap_alloc(heap, 100);
	uint8_t *base = (uint8_t *)((uintptr_t)block & -HEAP_PAGE) - 64 * HEAP_PAGE;

	for (uintptr_t i = 0; i < 128 * HEAP_PAGE; i += 16) {
		int r;

		if (base + i == block)
			continue;
		r = luo_heap_free(heap, base + i);
		assert_true(r == -EINVAL || r == -EALREADY);
	}
	assert_int_equal(luo_heap_free(heap, block), 0);
	usage_of(heap);
	luo_heap_close(heap);
}

/* ---- the end of memory ----------------------------------------------------------------------- */

static size_t exhaust(struct luo_heap *heap, size_t size, void **blocks, size_t most)
{
	size_t n = 0;

	while (n < most && (blocks[n] = luo_heap_alloc(heap, size))) {
		memset(blocks[n], (int)n, MIN2(size, 32));
		n++;
	}
	assert_true(n < most);
	assert_int_equal(errno, ENOMEM);
	return n;
}

/* Everything is given back, whatever it was cut into before. */
static void test_exhausted(void **state)
{
	static const size_t steps[] = { 5000, 100, 65536, 131073, 1 * MIB, 24, 5000 };
	struct luo_heap *heap = memory_heap(4 * MIB);
	size_t first = 0, most = 200000;
	void **blocks = calloc(most, sizeof(void *));

	assert_non_null(blocks);
	for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
		size_t n = exhaust(heap, steps[i], blocks, most);

		/* More than half of it can be had, in pieces of any size. */
		assert_true(n * steps[i] >= 2 * MIB);
		if (i == 0)
			first = n;
		for (size_t j = 0; j < n; j++) /* not in the order in which they came */
			assert_int_equal(luo_heap_free(heap, blocks[(j * 7919) % n]), 0);
	}
	assert_int_equal(luo_heap_trim(heap), 0);
	assert_int_equal(exhaust(heap, steps[0], blocks, most), first);
	usage_of(heap);
	luo_heap_close(heap);
	free(blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_classes),
		HEAP_TEST(test_sizes),
		HEAP_TEST(test_absurd_sizes),
		HEAP_TEST(test_errno_is_left_alone),
		HEAP_TEST(test_alignments),
		HEAP_TEST(test_calloc_after_reuse),
		HEAP_TEST(test_realloc_sizes),
		HEAP_TEST(test_realloc_edges),
		HEAP_TEST(test_double_free),
		HEAP_TEST(test_wrong_pointers),
		HEAP_TEST(test_metadata_is_no_block),
		HEAP_TEST(test_exhausted),
	};

	return cmocka_run_group_tests_name("heap-alloc", tests, NULL, NULL);
}
