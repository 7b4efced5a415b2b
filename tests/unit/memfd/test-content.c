/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Equal content. */

#include <pthread.h>

#include "tests/unit/memfd/fixture.h"

static void test_equal_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd = memfd_of("x");
	_cleanup_close_ int path = path_only(fd);

	assert_int_equal(luo_memfd_equal(-1, fd), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, -1), -EBADF);
	assert_int_equal(luo_memfd_equal(path, fd), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, path), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, null), -EINVAL);
	assert_int_equal(luo_memfd_equal(null, fd), -EINVAL);
}

static void test_equal(void **state)
{
	_cleanup_close_ int a = memfd_of("text"), same = memfd_of("text"),
			    longer = memfd_of("texts");
	_cleanup_close_ int other = memfd_of("tent"), empty = memfd_of(""), none = memfd_of("");
	_cleanup_close_ int again = dup(a);

	assert_int_equal(luo_memfd_equal(a, a), 1);
	assert_int_equal(luo_memfd_equal(a, again), 1);
	assert_int_equal(luo_memfd_equal(a, same), 1);
	assert_int_equal(luo_memfd_equal(a, longer), 0);
	assert_int_equal(luo_memfd_equal(a, other), 0);
	assert_int_equal(luo_memfd_equal(a, empty), 0);
	assert_int_equal(luo_memfd_equal(none, empty), 1);
}

/* Holes equal zeros, wherever each of them has its own. */
static void test_equal_with_holes(void **state)
{
	_cleanup_close_ int a = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });
	_cleanup_close_ int b = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });
	char zeros[4096] = { 0 };

	assert_int_equal(luo_memfd_equal(a, b), 1);
	assert_int_equal(pwrite(a, zeros, 4096, 5 * MIB), 4096);
	assert_int_equal(pwrite(b, zeros, 4096, 500 * MIB), 4096);
	assert_int_equal(luo_memfd_equal(a, b), 1);
	write_at(a, "last", INT64_MAX - 4095 - 4);
	assert_int_equal(luo_memfd_equal(a, b), 0);
	assert_int_equal(luo_memfd_equal(b, a), 0);
	write_at(b, "last", INT64_MAX - 4095 - 4);
	assert_int_equal(luo_memfd_equal(a, b), 1);
	assert_true(allocated(a) <= 2 * 4096);
}

/* Somebody who wants to kill us. */

struct changer {
	int fd;
	volatile bool stop;
};

static void *resize(void *userdata)
{
	struct changer *c = userdata;

	for (unsigned i = 0; !c->stop; i++) {
		(void)!ftruncate(c->fd, i % 2 ? 4096 : 8 * (off_t)MIB);
		(void)!pwrite(c->fd, &i, sizeof(i), 7 * (off_t)MIB);
	}
	return NULL;
}

static void test_file_that_changes(void **state)
{
	_cleanup_close_ int a = create((struct luo_memfd_options){ .size = 8 * MIB });
	_cleanup_close_ int b = create((struct luo_memfd_options){ .size = 8 * MIB });
	struct changer c = { .fd = a };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, resize, &c), 0);
	for (int i = 0; i < 30; i++) {
		int r = luo_memfd_equal(a, b);

		assert_true(r == 0 || r == 1 || r == -EIO);
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_equal_refused),
		TEST(test_equal),
		TEST(test_equal_with_holes),
		TEST(test_file_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
