/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Seals, their names, and changing the size, which seals forbid. */

#include <luo/inspect.h>

#include "tests/unit/memfd/fixture.h"

static int plain(uint64_t size)
{
	return create((struct luo_memfd_options){ .size = size, .flags = LUO_MEMFD_ALLOW_SEALING });
}

static void test_numbers_are_the_kernels(void **state)
{
	assert_int_equal(LUO_SEAL_SEAL, F_SEAL_SEAL);
	assert_int_equal(LUO_SEAL_SHRINK, F_SEAL_SHRINK);
	assert_int_equal(LUO_SEAL_GROW, F_SEAL_GROW);
	assert_int_equal(LUO_SEAL_WRITE, F_SEAL_WRITE);
	assert_int_equal(LUO_SEAL_FUTURE_WRITE, F_SEAL_FUTURE_WRITE);
	assert_int_equal(LUO_SEAL_EXEC, F_SEAL_EXEC);
}

static void test_seals_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int fd = plain(0), read_only = -EBADF, path = path_only(fd);
	unsigned seals = UNTOUCHED;

	assert_int_equal(luo_memfd_get_seals(-1, &seals), -EBADF);
	assert_int_equal(luo_memfd_get_seals(path, &seals), -EBADF);
	assert_int_equal(luo_memfd_get_seals(null, &seals), -EINVAL);
	assert_int_equal(luo_memfd_get_seals(null, NULL), -EINVAL);
	assert_int_equal(seals, UNTOUCHED);
	assert_int_equal(luo_memfd_add_seals(-1, LUO_SEAL_GROW), -EBADF);
	assert_int_equal(luo_memfd_add_seals(path, LUO_SEAL_GROW), -EBADF);
	assert_int_equal(luo_memfd_add_seals(null, LUO_SEAL_GROW), -EINVAL);
	assert_int_equal(luo_memfd_add_seals(fd, 1 << 20), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &read_only), 0);
	assert_int_equal(luo_memfd_add_seals(read_only, LUO_SEAL_GROW), -EPERM);
	assert_int_equal(luo_memfd_has_seals(-1, LUO_SEAL_GROW), -EBADF);
	assert_int_equal(luo_memfd_has_seals(path, LUO_SEAL_GROW), -EBADF);
	assert_int_equal(luo_memfd_has_seals(null, LUO_SEAL_GROW), -EINVAL);
	assert_int_equal(luo_memfd_has_seals(fd, 0), -EINVAL);
}

static void test_every_seal(void **state)
{
	for (unsigned seal = LUO_SEAL_SEAL; seal <= LUO_SEAL_EXEC; seal <<= 1) {
		_cleanup_close_ int fd = plain(10);
		int r = luo_memfd_add_seals(fd, seal);

		if (seal == LUO_SEAL_EXEC && r == -EINVAL) /* before 6.3 */
			continue;
		assert_int_equal(r, 0);
		assert_int_equal(seals_of(fd), seal);
		assert_int_equal(luo_memfd_has_seals(fd, seal), 1);
		assert_int_equal(luo_memfd_has_seals(fd, seal | LUO_SEAL_GROW),
				 seal == LUO_SEAL_GROW);
		assert_int_equal(luo_memfd_add_seals(fd, seal), seal == LUO_SEAL_SEAL ? -EPERM : 0);
	}
}

static void test_seals_of_other_files(void **state)
{
	_cleanup_close_ int disk = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	if (disk < 0)
		skip();
	assert_int_equal(luo_memfd_has_seals(disk, LUO_SEAL_SHRINK), 0);
}

/* W^X: what is executable and must stay so may not be written to. */
static void test_exec_seal_of_an_executable(void **state)
{
	_cleanup_close_ int fd = create(
		(struct luo_memfd_options){ .flags = LUO_MEMFD_EXEC | LUO_MEMFD_ALLOW_SEALING });

	if (luo_memfd_add_seals(fd, LUO_SEAL_EXEC) == -EINVAL)
		skip();
	assert_int_equal(luo_memfd_has_seals(fd, LUO_SEAL_WRITE | LUO_SEALS_SIZE), 1);
}

static void test_write_seal_is_busy_while_mapped(void **state)
{
	_cleanup_close_ int fd = plain(4096);
	size_t size;
	void *p;

	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED | LUO_MAP_MAY_SHRINK, &p, &size), 0);
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEAL_WRITE), -EBUSY);
	/* This is what the other one is for. */
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEAL_FUTURE_WRITE), 0);
	((char *)p)[0] = 'x';
	assert_text_at(fd, "x", 0);
	assert_int_equal(pwrite(fd, "y", 1, 0), -1);
	munmap(p, size);
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEAL_WRITE), 0);
}

/* Names */

static void assert_seals_text(const char *text, unsigned seals)
{
	char buffer[64];

	assert_string_equal(luo_seals_to_string(seals, buffer), text);
}

static void test_seals_as_text(void **state)
{
	assert_seals_text("-", 0);
	assert_seals_text("write", LUO_SEAL_WRITE);
	assert_seals_text("future-write", LUO_SEAL_FUTURE_WRITE);
	assert_seals_text("shrink,grow", LUO_SEALS_SIZE);
	assert_seals_text("seal,shrink,grow,write,future-write,exec", 0x3f);
	assert_seals_text("seal,0x40", 0x41);
	assert_seals_text("seal,shrink,grow,write,future-write,exec,0xffffffc0", ~0U);
	assert_null(luo_seals_to_string(0, NULL));
}

/* Sizes */

static void test_size_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t size = UNTOUCHED;

	assert_int_equal(luo_memfd_get_size(-1, &size), -EBADF);
	assert_int_equal(luo_memfd_get_size(0, NULL), -EINVAL);
	assert_int_equal(luo_memfd_get_size(null, &size), -EINVAL);
	assert_int_equal(size, UNTOUCHED);
}

static void test_resize_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int fd = plain(100), read_only = -EBADF, path = path_only(fd);

	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &read_only), 0);
	for (int i = 0; i < 2; i++) {
		int (*resize)(int, uint64_t) = i ? luo_memfd_shrink : luo_memfd_grow;

		assert_int_equal(resize(-1, 10), -EBADF);
		assert_int_equal(resize(null, 10), -EINVAL);
		assert_int_equal(resize(read_only, i ? 10 : 1000), -EBADF);
		assert_int_equal(resize(path, i ? 10 : 1000), -EBADF);
	}
	assert_int_equal(luo_memfd_grow(fd, UINT64_MAX), -EFBIG);
	assert_int_equal(luo_memfd_grow(fd, (uint64_t)INT64_MAX + 1), -EFBIG);
	assert_int_equal(status(fd).st_size, 100);
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEALS_SIZE), 0);
	assert_int_equal(luo_memfd_grow(fd, 101), -EPERM);
	assert_int_equal(luo_memfd_shrink(fd, 99), -EPERM);
	assert_int_equal(luo_memfd_grow(fd, 100), 0);
	assert_int_equal(luo_memfd_shrink(fd, 100), 0);
}

static void test_grow_and_shrink(void **state)
{
	_cleanup_close_ int fd = plain(0);

	assert_int_equal(luo_memfd_grow(fd, 0), 0);
	assert_int_equal(luo_memfd_grow(fd, 64 * MIB + 5), 0);
	assert_int_equal(status(fd).st_size, 64 * MIB + 5);
	assert_true(allocated(fd) <= 4096);
	assert_int_equal(luo_memfd_grow(fd, 5), 0); /* it is that large */
	assert_int_equal(status(fd).st_size, 64 * MIB + 5);
	write_at(fd, "text", 0);
	assert_int_equal(luo_memfd_shrink(fd, UINT64_MAX), 0);
	assert_int_equal(luo_memfd_shrink(fd, 100 * MIB), 0);
	assert_int_equal(status(fd).st_size, 64 * MIB + 5);
	assert_int_equal(luo_memfd_shrink(fd, 4), 0);
	assert_content(fd, "text");
	assert_int_equal(luo_memfd_grow(fd, 5), 0);
	assert_int_equal(status(fd).st_size, 5);
	assert_int_equal(luo_memfd_shrink(fd, 0), 0);
	assert_int_equal(status(fd).st_size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers_are_the_kernels),
		TEST(test_seals_refused),
		TEST(test_every_seal),
		TEST(test_seals_of_other_files),
		TEST(test_exec_seal_of_an_executable),
		TEST(test_write_seal_is_busy_while_mapped),
		TEST(test_seals_as_text),
		TEST(test_size_refused),
		TEST(test_resize_refused),
		TEST(test_grow_and_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
