/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_MEMFD_FIXTURE_H
#define TESTS_UNIT_MEMFD_FIXTURE_H

/* What the tests of luo/memfd.h share. */

#include <luo/memfd.h>

#include "tests/unit/helpers.h"

#define MIB (UINT64_C(1024) * 1024)

static inline int create(struct luo_memfd_options options)
{
	int fd;

	options.struct_size = sizeof(options);
	assert_int_equal(luo_memfd_create(&options, &fd), 0);
	return fd;
}

static inline void assert_create(struct luo_memfd_options options, int expected)
{
	int fd = UNTOUCHED;

	options.struct_size = sizeof(options);
	assert_int_equal(luo_memfd_create(&options, &fd), expected);
	assert_int_equal(fd, UNTOUCHED);
}

static inline struct stat status(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

static inline unsigned seals_of(int fd)
{
	unsigned seals;

	assert_int_equal(luo_memfd_get_seals(fd, &seals), 0);
	return seals;
}

static inline void write_at(int fd, const char *text, off_t offset)
{
	assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
}

static inline void assert_text_at(int fd, const char *text, off_t offset)
{
	char buffer[64] = "";

	assert_int_equal(pread(fd, buffer, strlen(text), offset), strlen(text));
	assert_string_equal(buffer, text);
}

/* An fd to the same file that nothing can be read through. */
static inline int path_only(int fd)
{
	char path[64];
	int only;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	only = open(path, O_PATH | O_CLOEXEC);
	assert_true(only >= 0);
	return only;
}

/* How much of the file is memory. */
static inline uint64_t allocated(int fd)
{
	return (uint64_t)status(fd).st_blocks * 512;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, remember_fds, check_fds)

#endif
