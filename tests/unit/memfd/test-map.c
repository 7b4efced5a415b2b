/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/memfd/fixture.h"

static int sized(uint64_t size, unsigned seals)
{
	return create((struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
						  .size = size,
						  .seals = seals,
						  .flags = LUO_MEMFD_ALLOW_SEALING });
}

static void assert_map(int fd, unsigned how, int expected)
{
	size_t size = UNTOUCHED;
	void *p = &size;

	assert_int_equal(luo_memfd_map(fd, how, &p, &size), expected);
	assert_ptr_equal(p, &size);
	assert_int_equal(size, UNTOUCHED);
}

static void test_map_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int sealed = -EBADF, read_only = -EBADF, write_only = -EBADF, path = -EBADF;
	size_t size;
	void *p;

	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, &sealed), 0);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_READ, NULL, &size), -EINVAL);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_READ, &p, NULL), -EINVAL);
	assert_map(sealed, 3, -EINVAL);
	assert_map(sealed, LUO_MAP_READ | 1 << 9, -EINVAL);
	assert_map(-1, LUO_MAP_READ, -EBADF);
	assert_map(null, LUO_MAP_READ, -EINVAL);
	path = path_only(sealed);
	assert_map(path, LUO_MAP_READ, -EBADF);
	assert_map(sealed, LUO_MAP_SHARED, -EPERM);
	assert_int_equal(luo_memfd_reopen(sealed, O_RDONLY, &read_only), 0);
	assert_map(read_only, LUO_MAP_SHARED, -EACCES);
	close(read_only);
	read_only = sized(1, LUO_SEAL_SHRINK);
	assert_int_equal(luo_memfd_reopen(read_only, O_WRONLY, &write_only), 0);
	assert_map(write_only, LUO_MAP_READ, -EACCES);
	close(write_only);
	assert_int_equal(luo_memfd_reopen(read_only, O_RDONLY, &write_only), 0);
	assert_map(write_only, LUO_MAP_SHARED, -EACCES);
}

static void test_map_of_a_file_that_may_shrink(void **state)
{
	static const unsigned hows[] = { LUO_MAP_READ, LUO_MAP_SHARED, LUO_MAP_PRIVATE };
	_cleanup_close_ int fd = sized(10, LUO_SEAL_GROW), never = -EBADF;
	_cleanup_close_ int disk = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	size_t size;
	void *p;

	for (size_t i = 0; i < ELEMENTSOF(hows); i++) {
		assert_map(fd, hows[i], -EPERM);
		assert_int_equal(luo_memfd_map(fd, hows[i] | LUO_MAP_MAY_SHRINK, &p, &size), 0);
		assert_int_equal(size, 10);
		munmap(p, size);
	}
	/* One that cannot have seals any more, and one that never can. */
	never = create((struct luo_memfd_options){ .size = 10 });
	assert_map(never, LUO_MAP_READ, -EPERM);
	if (disk >= 0)
		assert_map(disk, LUO_MAP_READ, -EPERM);
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEAL_SHRINK), 0);
	for (size_t i = 0; i < ELEMENTSOF(hows); i++) {
		assert_int_equal(luo_memfd_map(fd, hows[i], &p, &size), 0);
		munmap(p, size);
	}
}

/* What all this is about. */
static void test_reading_what_was_cut_off_kills(void **state)
{
	_cleanup_close_ int fd = sized(3 * 4096, 0);
	volatile char *p;
	void *address;
	size_t size;
	int status;
	pid_t pid;

	assert_int_equal(luo_memfd_map(fd, LUO_MAP_READ | LUO_MAP_MAY_SHRINK, &address, &size), 0);
	assert_int_equal(luo_memfd_shrink(fd, 4096), 0);
	p = address;
	assert_int_equal(p[0], 0);
	pid = fork();
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);
		(void)p[2 * 4096];
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap(address, size);
}

static void test_map(void **state)
{
	_cleanup_close_ int fd = sized(0, 0), sealed = -EBADF;
	size_t size;
	char *p;

	/* Nothing can be cut off from an empty file. */
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, (void **)&p, &size), 0);
	assert_null(p);
	assert_int_equal(size, 0);
	write_at(fd, "hello", 0);
	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEAL_SHRINK), 0);
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_PRIVATE, (void **)&p, &size), 0);
	assert_int_equal(size, 5);
	p[0] = 'J';
	assert_text_at(fd, "hello", 0);
	munmap(p, size);
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, (void **)&p, &size), 0);
	p[0] = 'J';
	assert_text_at(fd, "Jello", 0);
	munmap(p, size);
	assert_int_equal(luo_memfd_new_sealed(NULL, "sealed", 6, &sealed), 0);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_READ, (void **)&p, &size), 0);
	assert_memory_equal(p, "sealed", 6);
	munmap(p, size);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_PRIVATE, (void **)&p, &size), 0);
	p[0] = 'S';
	assert_text_at(sealed, "sealed", 0);
	munmap(p, size);
}

static void test_reopen(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = "x" });
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), again = -EBADF;
	int untouched = UNTOUCHED;

	assert_int_equal(luo_memfd_reopen(-1, O_RDONLY, &untouched), -EBADF);
	assert_int_equal(luo_memfd_reopen(null, O_RDONLY, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR | O_TRUNC, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_ACCMODE, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, NULL), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
	write_at(fd, "hello", 0);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR | O_APPEND, &again), 0);
	assert_int_equal(fcntl(again, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(again, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	assert_int_equal(lseek(again, 0, SEEK_CUR), 0);
	assert_int_equal(write(again, "!", 1), 1);
	assert_text_at(fd, "hello!", 0);
}

static void test_reopen_read_only(void **state)
{
	_cleanup_close_ int fd = memfd_of("text"), again = -EBADF;

	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &again), 0);
	assert_content(again, "text");
	assert_int_equal(pwrite(again, "x", 1, 0), -1);
	assert_int_equal(luo_memfd_add_seals(again, LUO_SEAL_GROW), -EPERM);
}

/* A file whose owner wants to be asked before others open it so: for 45 seconds, by default. */
static void refuse_lease(int fd, int type, int flags)
{
	_cleanup_close_ int again = -EBADF, copy = -EBADF;
	int untouched = UNTOUCHED;

	if (fcntl(fd, F_SETLEASE, type) < 0)
		return; /* this kernel does not have them, or not for this file */
	alarm(20);
	assert_int_equal(luo_memfd_reopen(fd, flags, &untouched), -EAGAIN);
	assert_int_equal(untouched, UNTOUCHED);
	/* Reading does without. */
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(luo_memfd_new_from_fd(NULL, fd, 0, &copy), 0);
	assert_int_equal(luo_memfd_equal(fd, copy), 1);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 2);
	alarm(0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR | O_APPEND, &again), 0);
	assert_int_equal(fcntl(again, F_GETFL) & (O_NONBLOCK | O_APPEND), O_APPEND);
}

static void test_reopen_of_a_lease(void **state)
{
	char name[] = "/tmp/luo-test-XXXXXX";
	_cleanup_close_ int fd = memfd_of("text"), file = mkostemp(name, O_CLOEXEC);

	assert_true(file >= 0);
	unlink(name);
	write_at(file, "text", 0);
	signal(SIGIO, SIG_IGN); /* which tells the owner */
	refuse_lease(fd, F_RDLCK, O_RDWR);
	refuse_lease(file, F_WRLCK, O_RDONLY);
	signal(SIGIO, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_map_refused),
		TEST(test_map_of_a_file_that_may_shrink),
		TEST(test_reading_what_was_cut_off_kills),
		TEST(test_map),
		TEST(test_reopen),
		TEST(test_reopen_read_only),
		TEST(test_reopen_of_a_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
