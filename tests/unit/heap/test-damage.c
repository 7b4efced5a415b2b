/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Damage: a heap that is cut off, overwritten, foreign or newer is refused, and stays as it is. */

#include "libluo/heap/internal.h"

#include "tests/unit/heap/helpers.h"

/* A heap with objects of several sizes, a root, and pages that were freed. */
static struct image some_heap(void)
{
	static const struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = "root", .type_id = 7, .version = 1, .size = 40
	};
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct image image;
	void *large, *root;

	assert_int_equal(luo_heap_root(heap, &type, &root), 1);
	for (size_t size = 16; size < 10000; size *= 3)
		fill(luo_heap_alloc(heap, size), size, size);
	large = luo_heap_alloc(heap, 300 * KIB);
	assert_non_null(large);
	assert_non_null(luo_heap_alloc(heap, 200 * KIB));
	assert_int_equal(luo_heap_free(heap, large), 0);
	luo_heap_close(heap);
	image = image_of(fd);
	close(fd);
	return image;
}

static struct heap_super *super_of(const struct image *image)
{
	return (struct heap_super *)(image->bytes + HEAP_SUPER_OFFSET);
}

static void put_super(int fd, struct heap_super super)
{
	super.sum = heap_super_sum(&super);
	assert_int_equal(pwrite(fd, &super, sizeof(super), HEAP_SUPER_OFFSET), sizeof(super));
}

/* ---- the super page -------------------------------------------------------------------------- */

static void test_foreign_magic(void **state)
{
	struct image image = some_heap();
	struct heap_super super = *super_of(&image);
	int fd = memfd_of_image(&image);

	super.magic ^= 1;
	put_super(fd, super);
	assert_refused(fd, -EUCLEAN);
	close(fd);
	free_image(&image);
}

/* An older libluo reports the newer format, even if the rest has another layout. */
static void test_newer_format(void **state)
{
	struct image image = some_heap();
	struct heap_super super = *super_of(&image);
	int fd = memfd_of_image(&image);

	super.format = HEAP_FORMAT + 1;
	put_super(fd, super);
	assert_refused(fd, -EPROTONOSUPPORT);
	assert_non_null(strstr(luo_heap_problem(), "format"));
	super.format = 0x7fffffff;
	put_super(fd, super);
	assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY },
			    -EPROTONOSUPPORT);
	super.format = 0;
	put_super(fd, super);
	assert_refused(fd, -EUCLEAN);
	close(fd);
	free_image(&image);
}

static void test_other_page_size(void **state)
{
	struct image image = some_heap();
	struct heap_super super = *super_of(&image);
	int fd = memfd_of_image(&image);

	super.page_shift = 12;
	put_super(fd, super);
	assert_refused(fd, -EUCLEAN);
	close(fd);
	free_image(&image);
}

static bool opens(int fd)
{
	struct luo_heap *heap = NULL;
	int r = luo_heap_open_fd(
		fd,
		&(struct luo_heap_options){ .struct_size = sizeof(struct luo_heap_options),
					    .max_size = 64 * MIB },
		&heap);

	/* A byte of the format makes it newer: what a newer one sums up cannot be known. */
	assert_true(r == 0 || r == -EUCLEAN || r == -EPROTONOSUPPORT);
	luo_heap_close(heap);
	return r == 0;
}

/* Bit @bit of the byte at @offset is the other way round. */
static void assert_noticed(int fd, const struct image *image, size_t offset, int bit)
{
	uint8_t byte = image->bytes[offset] ^ (1 << bit);

	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	if (opens(fd))
		fail_msg("byte 0x%zx was not noticed", offset);
	assert_int_equal(pwrite(fd, &image->bytes[offset], 1, offset), 1);
}

static void test_every_byte_of_super(void **state)
{
	struct image image = some_heap();
	int fd = memfd_of_image(&image);

	for (size_t i = 0; i < sizeof(struct heap_super); i++)
		assert_noticed(fd, &image, HEAP_SUPER_OFFSET + i, i % 8);
	/* All of this was refused, and not a byte has changed. */
	assert_int_equal(fcntl(fd, F_GET_SEALS), 0);
	struct image after = image_of(fd);

	assert_memory_equal(after.bytes, image.bytes, image.size);
	free_image(&after);
	close(fd);
	free_image(&image);
}

static void test_every_byte_of_index(void **state)
{
	struct image image = some_heap(), after;
	int fd = memfd_of_image(&image);

	for (size_t i = 0; i < sizeof(struct heap_index); i++)
		assert_noticed(fd, &image, HEAP_INDEX_OFFSET + i, i % 8);
	after = image_of(fd);
	assert_memory_equal(after.bytes, image.bytes, image.size);
	free_image(&after);
	close(fd);
	free_image(&image);
}

/* The first root, and the first entry of the directory. */
static void test_every_byte_of_tables(void **state)
{
	struct image image = some_heap(), after;
	int fd = memfd_of_image(&image);

	for (size_t i = 0; i < sizeof(struct heap_root); i++)
		assert_noticed(fd, &image, HEAP_ROOTS_OFFSET + i, i % 8);
	for (size_t i = 0; i < sizeof(struct heap_leaf_entry); i++)
		assert_noticed(fd, &image, HEAP_DIRECTORY_OFFSET + i, i % 8);
	after = image_of(fd);
	assert_memory_equal(after.bytes, image.bytes, image.size);
	free_image(&after);
	close(fd);
	free_image(&image);
}

/* Logs that are committed but invalid; a commit word without entries. */
static void test_damaged_log(void **state)
{
	static const uint64_t commits[] = { 1, 250, 251, UINT64_MAX, UINT64_C(0x1234567800000001) };
	struct image image = some_heap();
	int fd = memfd_of_image(&image);

	for (size_t i = 0; i < ELEMENTSOF(commits); i++) {
		assert_int_equal(pwrite(fd, &commits[i], 8, HEAP_LOG_OFFSET), 8);
		assert_refused(fd, -EUCLEAN);
	}
	close(fd);
	free_image(&image);
}

/* Fields that are only for messages must not prevent access to the data. */
static void test_damaged_owner(void **state)
{
	struct image image = some_heap();
	int fd = memfd_of_image(&image);
	uint8_t bytes[0x100];
	struct luo_heap *heap;

	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), HEAP_OWNER_OFFSET), sizeof(bytes));
	heap = open_heap(fd);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_KERNEL_UPDATED);
	assert_int_equal(stat_of(heap).owner_pid, getpid());
	luo_heap_close(heap);
	close(fd);
	free_image(&image);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void test_cut_off(void **state)
{
	struct image image = some_heap();
	size_t pages = ((struct heap_index *)(image.bytes + HEAP_INDEX_OFFSET))->pages;

	assert_true(pages * HEAP_PAGE <= image.size);

	const size_t sizes[] = { 1,
				 100,
				 4096,
				 HEAP_PAGE - 1,
				 HEAP_PAGE,
				 2 * HEAP_PAGE,
				 3 * HEAP_PAGE,
				 (pages - 1) * HEAP_PAGE,
				 pages * HEAP_PAGE - 4096,
				 pages * HEAP_PAGE - 1 };

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		int fd = memfd_of_image(&image);

		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		assert_refused(fd, -EUCLEAN);
		assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY },
				    -EUCLEAN);
		close(fd);
	}
	free_image(&image);
}

/* A page is lost in the middle, as on a bad disk. */
static void test_lost_pages(void **state)
{
	struct image image = some_heap();

	for (int page = 0; page < 3; page++) {
		int fd = memfd_of_image(&image);

		assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   page * HEAP_PAGE, HEAP_PAGE),
				 0);
		if (page == 2) { /* its slots are found at the latest when they are needed */
			struct luo_heap *heap = NULL;

			if (luo_heap_open_fd(fd, &small_heap, &heap) == 0) {
				assert_null(luo_heap_alloc(heap, 16));
				assert_int_equal(errno, EUCLEAN);
				assert_int_equal(luo_heap_check(heap, NULL, NULL, NULL), -EUCLEAN);
				luo_heap_close(heap);
			}
		} else if (page == 1) { /* so is a leaf */
			struct luo_heap *heap = NULL;

			if (luo_heap_open_fd(fd, &small_heap, &heap) == 0) {
				assert_null(luo_heap_alloc(heap, 1 * MIB));
				assert_int_equal(errno, EUCLEAN);
				assert_int_equal(luo_heap_check(heap, NULL, NULL, NULL), -EUCLEAN);
				luo_heap_close(heap);
			}
		} else {
			assert_refused(fd, -EUCLEAN);
		}
		close(fd);
	}
	free_image(&image);
}

/* A heap on a file that has grown is intact: the file was copied to a larger device. */
static void test_larger_file(void **state)
{
	struct image image = some_heap();
	int fd = memfd_of_image(&image);
	struct luo_heap *heap;

	assert_int_equal(ftruncate(fd, image.size + 5 * HEAP_PAGE + 17), 0);
	heap = open_heap(fd);
	usage_of(heap);
	assert_non_null(luo_heap_alloc(heap, 5 * MIB));
	usage_of(heap);
	luo_heap_close(heap);
	close(fd);
	free_image(&image);
}

/* Its maker crashed before it was a heap, so a new one is made. */
static void test_never_finished(void **state)
{
	const uint64_t making = HEAP_MAGIC_MAKING;
	int fd = empty_memfd();
	struct luo_heap *heap;

	assert_int_equal(ftruncate(fd, 3 * HEAP_PAGE), 0);
	assert_int_equal(pwrite(fd, &making, 8, HEAP_SUPER_OFFSET), 8);
	assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_MUST_EXIST }, -ENOENT);
	assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY }, -ENOENT);
	heap = open_heap(fd);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	usage_of(heap);
	luo_heap_close(heap);
	close(fd);
}

/* ---- what is not looked at when opening ------------------------------------------------------ */

/* The descriptors in use are under a sum: nothing is done on the word of a wrong one. */
static void test_every_descriptor(void **state)
{
	struct image image = some_heap();
	size_t pages = ((struct heap_index *)(image.bytes + HEAP_INDEX_OFFSET))->pages;
	int fd = memfd_of_image(&image);

	for (size_t i = 0; i < pages * sizeof(struct heap_desc); i += 5) {
		size_t offset = HEAP_PAGE + i;
		uint8_t byte = image.bytes[offset] ^ (1 << i % 8);
		struct luo_heap *heap = NULL;

		assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
		if (opens(fd)) {
			heap = open_heap(fd);
			assert_null(luo_heap_alloc(heap, 1 * MIB));
			assert_int_equal(errno, EUCLEAN);
			assert_true(strlen(luo_heap_problem()) > 10);
			luo_heap_close(heap);
		}
		assert_int_equal(pwrite(fd, image.bytes, image.size, 0), image.size);
	}
	close(fd);
	free_image(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_foreign_magic),
		HEAP_TEST(test_newer_format),
		HEAP_TEST(test_other_page_size),
		HEAP_TEST(test_every_byte_of_super),
		HEAP_TEST(test_every_byte_of_index),
		HEAP_TEST(test_every_byte_of_tables),
		HEAP_TEST(test_damaged_log),
		HEAP_TEST(test_damaged_owner),
		HEAP_TEST(test_cut_off),
		HEAP_TEST(test_lost_pages),
		HEAP_TEST(test_larger_file),
		HEAP_TEST(test_never_finished),
		HEAP_TEST(test_every_descriptor),
	};

	return cmocka_run_group_tests_name("heap-damage", tests, NULL, NULL);
}
