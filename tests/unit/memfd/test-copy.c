/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tests/unit/memfd/fixture.h"

static void test_copy_refused(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = 10 });
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), again = dup(fd);
	_cleanup_close_ int sealed = -EBADF;

	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, &sealed), 0);
	assert_int_equal(luo_memfd_copy(-1, fd), -EBADF);
	assert_int_equal(luo_memfd_copy(fd, -1), -EBADF);
	assert_int_equal(luo_memfd_copy(fd, null), -EINVAL);
	assert_int_equal(luo_memfd_copy(null, fd), -EINVAL);
	assert_int_equal(luo_memfd_copy(fd, again), -EINVAL);
	assert_int_equal(luo_memfd_copy(fd, sealed), -EPERM);
	assert_text_at(sealed, "x", 0);
}

static void test_copy_keeps_holes_and_offsets(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 64 * MIB });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });

	write_at(from, "begin", 0);
	write_at(from, "middle", 32 * MIB + 4000);
	write_at(from, "end", 64 * MIB - 3);
	assert_int_equal(lseek(from, 77, SEEK_SET), 77);
	assert_int_equal(lseek(to, 5, SEEK_SET), 5);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(lseek(from, 0, SEEK_CUR), 77);
	assert_int_equal(lseek(to, 0, SEEK_CUR), 5);
	assert_int_equal(status(to).st_size, 64 * MIB);
	assert_true(status(to).st_blocks * 512 <= 5 * 4096);
	assert_text_at(to, "begin", 0);
	assert_text_at(to, "middle", 32 * MIB + 4000);
	assert_text_at(to, "end", 64 * MIB - 3);
}

static void test_copy_more_than_a_chunk(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .name = "from" });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	char a[8], b[8];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(a, sizeof(a), "%07u", i);
		assert_int_equal(pwrite(from, a, 7, i * 7), 7);
	}
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 700000);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(a, sizeof(a), "%07u", i);
		assert_int_equal(pread(to, b, 7, i * 7), 7);
		assert_memory_equal(a, b, 7);
	}
}

/* What was there must not show through the holes, whatever the sizes. */
static void test_copy_replaces(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 8192 });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	char zero[4] = { 0 }, got[4];

	write_at(from, "new", 4096);
	write_at(to, "old", 0);
	write_at(to, "old", 20000);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 8192);
	assert_int_equal(pread(to, got, 4, 0), 4);
	assert_memory_equal(got, zero, 4);
	assert_text_at(to, "new", 4096);
	assert_int_equal(ftruncate(from, 0), 0);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 0);
}

/* A destination of the right size may be sealed against changing it. */
static void test_copy_into_sealed_size(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 4096 });
	_cleanup_close_ int to = create(
		(struct luo_memfd_options){ .size = 4096, .seals = F_SEAL_GROW | F_SEAL_SHRINK });

	write_at(from, "new", 1);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_text_at(to, "new", 1);
}

static void test_copy_append_and_access(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .name = "from" });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	_cleanup_close_ int write_only = -EBADF, append = -EBADF;

	write_at(from, "text", 0);
	write_at(to, "longer than that", 0);
	assert_int_equal(luo_memfd_reopen(from, O_WRONLY, &write_only), 0);
	assert_int_equal(luo_memfd_reopen(to, O_RDWR | O_APPEND, &append), 0);
	assert_int_equal(luo_memfd_copy(write_only, append), 0);
	assert_int_equal(status(to).st_size, 4);
	assert_text_at(to, "text", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copy_refused),           TEST(test_copy_keeps_holes_and_offsets),
		TEST(test_copy_more_than_a_chunk), TEST(test_copy_replaces),
		TEST(test_copy_into_sealed_size),  TEST(test_copy_append_and_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
