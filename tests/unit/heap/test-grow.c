/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* A heap grows without moving anything, gives memory back, and says why it could do neither. */

#include <sys/resource.h>

#include "tests/unit/heap/helpers.h"

static uint64_t memory_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks * UINT64_C(512);
}

static void test_nothing_moves(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);
	uint8_t *first = luo_heap_alloc(heap, 1000);
	uint64_t size = stat_of(heap).size;
	size_t grown = 0;

	fill(first, 1000, 1);
	for (int i = 0; i < 60; i++) {
		assert_non_null(luo_heap_alloc(heap, 3 * MIB));
		grown += stat_of(heap).size > size;
		assert_true(stat_of(heap).size >= size);
		size = stat_of(heap).size;
	}
	assert_true(size >= 180 * MIB && size <= 256 * MIB);
	assert_true(grown > 3);
	assert_true(is_filled(first, 1000, 1));
	assert_int_equal(luo_heap_usable_size(heap, first) >= 1000, 1);
	luo_heap_close(heap);
}

/* Untouched address space costs nothing, nor does what was freed. */
static void test_gives_back(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	uint8_t *blocks[40], *small = luo_heap_alloc(heap, 100);
	uint64_t before;

	fill(small, 100, 2);
	before = memory_of(fd);
	assert_true(before < 2 * MIB);
	for (size_t i = 0; i < ELEMENTSOF(blocks); i++) {
		blocks[i] = luo_heap_alloc(heap, 1 * MIB);
		assert_non_null(blocks[i]);
		memset(blocks[i], 1, 1 * MIB);
	}
	assert_true(memory_of(fd) > 40 * MIB);
	for (size_t i = 0; i < ELEMENTSOF(blocks); i++)
		assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	assert_int_equal(luo_heap_trim(heap), 0);
	assert_true(memory_of(fd) <= before + 512 * KIB);
	assert_true(stat_of(heap).free_pages_size >= 40 * MIB);
	assert_true(is_filled(small, 100, 2));
	usage_of(heap);
	/* And once more, in memory that is not there at the moment. */
	blocks[0] = luo_heap_calloc(heap, 1, 30 * MIB);
	assert_non_null(blocks[0]);
	assert_true(is_zero(blocks[0], 30 * MIB));
	luo_heap_close(heap);
	close(fd);
}

/* Slabs that are empty again become pages for anything. */
static void test_slabs_come_back(void **state)
{
	struct luo_heap *heap = memory_heap(8 * MIB);
	static void *blocks[60000];
	size_t n = 0;

	while (n < ELEMENTSOF(blocks) && (blocks[n] = luo_heap_alloc(heap, 100)))
		n++;
	assert_true(n * 112 > 5 * MIB);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	assert_int_equal(luo_heap_trim(heap), 0);
	blocks[0] = luo_heap_alloc(heap, 6 * MIB);
	assert_non_null(blocks[0]);
	usage_of(heap);
	luo_heap_close(heap);
}

/* By itself, without luo_heap_trim(): a heap that was large once must not stay it. */
static void test_gives_back_by_itself(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_with(fd, (struct luo_heap_options){ .max_size = 512 * MIB });
	void *blocks[200];

	for (size_t i = 0; i < ELEMENTSOF(blocks); i++) {
		blocks[i] = luo_heap_alloc(heap, 1 * MIB);
		assert_non_null(blocks[i]);
		memset(blocks[i], 1, 1 * MIB);
	}
	assert_true(memory_of(fd) > 200 * MIB);
	for (size_t i = 0; i < ELEMENTSOF(blocks); i++)
		assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	assert_true(memory_of(fd) < 100 * MIB);
	usage_of(heap);
	luo_heap_close(heap);
	close(fd);
}

static void test_sealed_against_growing(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	void *block;

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	errno = 0;
	assert_null(luo_heap_alloc(heap, 30 * MIB));
	assert_int_equal(errno, ENOMEM);
	assert_true(strlen(luo_heap_problem()) > 10);
	/* What fits still fits. */
	block = luo_heap_alloc(heap, 50);
	assert_non_null(block);
	assert_int_equal(luo_heap_free(heap, block), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
	close(fd);
}

static void test_no_address_space(void **state)
{
	struct rlimit limit, old;
	int fd;
	struct luo_heap *heap = (void *)UNTOUCHED;
	struct image empty = { .mode = 0100777, .bytes = (uint8_t *)"" };

	if (getenv("ASAN_OPTIONS") || getenv("LD_PRELOAD")) /* they need address space themselves */
		skip();
	fd = empty_memfd();
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	limit = old;
	limit.rlim_cur = UINT64_C(1) << 30;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	int r = luo_heap_open_fd(fd, NULL, &heap);

	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(r, -ENOMEM);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	assert_image(fd, &empty);
	luo_heap_close(open_heap(fd));
	close(fd);
}

/* Without RLIMIT_FSIZE's signal, too: it is an error like any other. */
static int grow_past_limit(void *userdata)
{
	struct rlimit limit = { 4 * MIB, 4 * MIB };
	char path[] = "/var/tmp/luo-heap.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct luo_heap *heap;
	void *block;

	if (fd < 0 || unlink(path) < 0)
		return 1;
	if (luo_heap_open_fd(fd, &small_heap, &heap) < 0)
		return 2;
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 3;
	errno = 0;
	if (luo_heap_alloc(heap, 10 * MIB) ||
	    (errno != ENOSPC && errno != ENOMEM && errno != EFBIG))
		return 4;
	block = luo_heap_alloc(heap, 100);
	if (!block || luo_heap_free(heap, block) < 0)
		return 5;
	if (luo_heap_check(heap, NULL, NULL, NULL) < 0)
		return 6;
	luo_heap_close(heap);
	return 0;
}

static void test_file_size_limit(void **state)
{
	in_child(grow_past_limit, NULL);
}

/* ---- several heaps --------------------------------------------------------------------------- */

static void test_several(void **state)
{
	struct luo_heap *heaps[12];
	uint8_t *blocks[ELEMENTSOF(heaps)][20];

	for (size_t i = 0; i < ELEMENTSOF(heaps); i++)
		heaps[i] = memory_heap(16 * MIB);
	for (size_t j = 0; j < 20; j++)
		for (size_t i = 0; i < ELEMENTSOF(heaps); i++) {
			blocks[i][j] = luo_heap_alloc(heaps[i], 10 + j * 100);
			assert_non_null(blocks[i][j]);
			fill(blocks[i][j], 10 + j * 100, i * 20 + j);
		}
	/* Closing one leaves the others. */
	for (size_t i = 0; i < ELEMENTSOF(heaps); i += 2)
		luo_heap_close(heaps[i]);
	for (size_t i = 1; i < ELEMENTSOF(heaps); i += 2) {
		for (size_t j = 0; j < 20; j++) {
			assert_true(is_filled(blocks[i][j], 10 + j * 100, i * 20 + j));
			assert_int_equal(luo_heap_free(heaps[i], blocks[i][j]), 0);
		}
		assert_int_equal(usage_of(heaps[i]).objects, 0);
		luo_heap_close(heaps[i]);
	}
}

/* Opened and closed often: nothing of an opening stays behind. */
static void test_open_close_often(void **state)
{
	int fd = empty_memfd();

	for (int i = 0; i < 300; i++) {
		struct luo_heap *heap = open_heap(fd);

		assert_non_null(luo_heap_alloc(heap, 100));
		luo_heap_close(heap);
	}
	struct luo_heap *heap = open_heap(fd);

	assert_int_equal(usage_of(heap).objects, 300);
	assert_true(stat_of(heap).size <= 2 * MIB);
	luo_heap_close(heap);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_nothing_moves),          HEAP_TEST(test_gives_back),
		HEAP_TEST(test_slabs_come_back),        HEAP_TEST(test_gives_back_by_itself),
		HEAP_TEST(test_sealed_against_growing), HEAP_TEST(test_no_address_space),
		HEAP_TEST(test_file_size_limit),        HEAP_TEST(test_several),
		HEAP_TEST(test_open_close_often),
	};

	return cmocka_run_group_tests_name("heap-grow", tests, NULL, NULL);
}
