/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Every fd comes to its place, whatever order and whatever numbers they come with. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tools/luo-run/arrange.h"
#include "common/util.h"

#define FIRST 20
#define MANY  40

static int n_displaced;

static void displaced(int fd)
{
	n_displaced++;
}

static int open_at(int at, off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, size), 0);
	if (fd != at) {
		assert_int_equal(dup3(fd, at, O_CLOEXEC), at);
		close(fd);
	}
	return at;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1 : st.st_size;
}

/* The i-th is the one of i + 1 bytes. */
static void arrange_and_check(int *fds, size_t n)
{
	assert_int_equal(arrange_fds(fds, n, FIRST, displaced), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fds[i], FIRST + i);
		assert_int_equal(size_of(FIRST + (int)i), i + 1);
		assert_int_equal(fcntl(FIRST + (int)i, F_GETFD), 0);
	}
	close_many(fds, n);
	/* nothing is left elsewhere */
	for (int fd = 10; fd < 200; fd++)
		assert_int_equal(size_of(fd), -1);
}

static void test_none(void **state)
{
	assert_int_equal(arrange_fds(NULL, 0, FIRST, displaced), 0);
}

static void test_in_place(void **state)
{
	int fds[] = { open_at(20, 1), open_at(21, 2), open_at(22, 3) };

	arrange_and_check(fds, 3);
}

static void test_swapped(void **state)
{
	int fds[] = { open_at(21, 1), open_at(20, 2) };

	arrange_and_check(fds, 2);
}

static void test_cycle(void **state)
{
	int fds[] = { open_at(22, 1), open_at(20, 2), open_at(23, 3), open_at(21, 4) };

	arrange_and_check(fds, 4);
}

static void test_below_and_above(void **state)
{
	int fds[] = { open_at(100, 1), open_at(12, 2), open_at(20, 3), open_at(19, 4) };

	arrange_and_check(fds, 4);
}

static void test_others_give_way(void **state)
{
	int fds[] = { open_at(100, 1), open_at(101, 2), open_at(102, 3) };

	n_displaced = 0;
	open_at(20, 1000);
	assert_int_equal(fcntl(20, F_SETFD, 0), 0);
	open_at(21, 1000); /* would not have outlived the exec anyhow */
	arrange_and_check(fds, 3);
	assert_int_equal(n_displaced, 1);
}

static void test_shuffled(void **state)
{
	unsigned seed = 1;

	for (int round = 0; round < 200; round++) {
		int places[MANY], fds[MANY];

		for (int i = 0; i < MANY; i++)
			places[i] = 12 + i + round % 20;
		for (int i = MANY - 1; i > 0; i--) {
			int k = (int)((seed = seed * 1103515245 + 12345) >> 16) % (i + 1);
			int place = places[i];

			k = k < 0 ? -k : k;
			places[i] = places[k];
			places[k] = place;
		}
		for (int i = 0; i < MANY; i++)
			fds[i] = open_at(places[i], i + 1);
		arrange_and_check(fds, MANY);
	}
}

static void test_one_free_fd_is_enough(void **state)
{
	struct rlimit before, limit;
	int fds[MANY], fillers[64];
	size_t n = 0;

	for (int i = 0; i < MANY; i++)
		fds[i] = open_at(FIRST + MANY - 1 - i, i + 1);
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = FIRST + MANY + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (n < 64 && (fillers[n] = dup(0)) >= 0 && fillers[n] < FIRST)
		n++;
	if (n < 64 && fillers[n] >= FIRST)
		close(fillers[n]);
	assert_int_equal(arrange_fds(fds, MANY, FIRST, displaced), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(size_of(FIRST + i), i + 1);
	setrlimit(RLIMIT_NOFILE, &before);
	close_many(fds, MANY);
	close_many(fillers, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_cycle),
		cmocka_unit_test(test_below_and_above),
		cmocka_unit_test(test_others_give_way),
		cmocka_unit_test(test_shuffled),
		cmocka_unit_test(test_one_free_fd_is_enough),
	};

	/* Whatever we were started with would be in the way of the numbers used here. */
	for (int fd = 3; fd < 200; fd++)
		close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
