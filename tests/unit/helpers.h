/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_HELPERS_H
#define TESTS_UNIT_HELPERS_H

/* cmocka with the headers that it needs first, and what more than one test does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/util.h"

/* It is missing from the headers of Debian 12. */
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* What a variable holds that a refused call may not write to. */
#define UNTOUCHED 4711

/* ---- fds ------------------------------------------------------------------------------------- */

/* How many fds this process has open: compared before and after, it shows a leak. */
static inline size_t fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory itself */
}

static size_t fds_before;

/* For a setup. */
static inline int remember_fds(void **state)
{
	fds_before = fd_count();
	return 0;
}

/* For a teardown: the test ends with as many fds open as it began with. */
static inline int check_fds(void **state)
{
	assert_int_equal(fd_count(), fds_before);
	return 0;
}

static inline ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* A memfd that holds @text, at offset 0. */
static inline int memfd_of(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	return fd;
}

/* The file holds @text and nothing else. */
static inline void assert_content(int fd, const char *text)
{
	char buffer[256];
	ssize_t n = pread(fd, buffer, sizeof(buffer), 0);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
}

/* ---- names and places ------------------------------------------------------------------------ */

/* @n times the same letter; valid until the next call. */
static inline const char *long_name(size_t n)
{
	static char buffer[600];

	assert_true(n < sizeof(buffer));
	memset(buffer, 'x', n);
	buffer[n] = '\0';
	return buffer;
}

/* Where the files of the source tree are. */
static inline const char *source_dir(void)
{
	return getenv("SRCDIR") ?: ".";
}

#define DIRECTORY_SIZE sizeof("/tmp/luo-test.XXXXXX")

static inline void make_directory(char path[static DIRECTORY_SIZE])
{
	strcpy(path, "/tmp/luo-test.XXXXXX");
	assert_non_null(mkdtemp(path));
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* With everything in it. */
static inline void remove_directory(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A socket of this type that is bound to @path. */
static inline int bound_socket(int type, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	assert_true(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

#endif
