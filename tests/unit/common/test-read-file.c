/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* common/read-file.c: bounds, files without a size, and what must not be waited for. */

#include "tests/unit/helpers.h"

#include "common/read-file.h"

struct directory {
	char path[DIRECTORY_SIZE];
	int fd;
};

static int setup(void **state)
{
	static struct directory d;

	remember_fds(state);
	make_directory(d.path);
	d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d.fd >= 0);
	*state = &d;
	return 0;
}

static int teardown(void **state)
{
	struct directory *d = *state;

	d->fd = safe_close(d->fd);
	remove_directory(d->path);
	return check_fds(state);
}

static const char *path_of(const struct directory *d, const char *name)
{
	static char path[DIRECTORY_SIZE + 32];

	snprintf(path, sizeof(path), "%s/%s", d->path, name);
	return path;
}

static void write_file(const struct directory *d, const char *name, const void *data, size_t size)
{
	_cleanup_close_ int fd =
		openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, data, size), size);
}

static void assert_file(const struct directory *d, const char *name, size_t max, const char *text)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	size_t size = UNTOUCHED;

	assert_int_equal(read_file(path_of(d, name), max, &a, &size), 0);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(a, text, size + 1);
	size = UNTOUCHED;
	assert_int_equal(read_file_at(d->fd, name, max, &b, &size), 0);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(b, text, size + 1);
}

static void assert_refused(const struct directory *d, const char *name, size_t max, int error)
{
	char *data = NULL;
	size_t size = UNTOUCHED;

	assert_int_equal(read_file(path_of(d, name), max, &data, &size), error);
	assert_int_equal(read_file_at(d->fd, name, max, &data, &size), error);
	assert_null(data);
	assert_int_equal(size, UNTOUCHED);
}

static void test_bound(void **state)
{
	struct directory *d = *state;

	write_file(d, "a", "12345", 5);
	assert_file(d, "a", 5, "12345");
	assert_file(d, "a", 1 << 20, "12345");
	assert_refused(d, "a", 4, -EFBIG);
	assert_refused(d, "a", 0, -EFBIG);
	write_file(d, "empty", "", 0);
	assert_file(d, "empty", 0, "");
	assert_file(d, "empty", 10, "");
}

/* Around the sizes at which the buffer grows. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = { 4094, 4095, 4096, 4097, 65535, 65536, 65537, 1000003 };
	struct directory *d = *state;
	char *data = malloc(1000003);

	assert_non_null(data);
	for (size_t i = 0; i < 1000003; i++)
		data[i] = (char)(i * 2654435761u >> 24);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		_cleanup_free_ char *a = NULL, *b = NULL;
		_cleanup_close_ int fd = -EBADF;
		size_t n = sizes[i], size = 0;

		write_file(d, "a", data, n);
		assert_int_equal(read_file(path_of(d, "a"), n, &a, &size), 0);
		assert_int_equal(size, n);
		assert_memory_equal(a, data, n);
		assert_int_equal(a[n], 0);
		assert_refused(d, "a", n - 1, -EFBIG);

		fd = openat(d->fd, "a", O_RDONLY | O_CLOEXEC);
		assert_int_equal(read_stream(fd, n, &b, &size), 0);
		assert_int_equal(size, n);
		assert_memory_equal(b, data, n);
		assert_int_equal(b[n], 0);
	}
	free(data);
}

/* The bound holds without trusting st_size, which is 0 here. */
static void test_proc(void **state)
{
	_cleanup_free_ char *text = NULL;
	char *none = NULL;
	size_t size = 0;

	assert_int_equal(read_file("/proc/self/status", 1 << 20, &text, &size), 0);
	assert_true(size > 100);
	assert_int_equal(strlen(text), size);
	assert_non_null(strstr(text, "\nUid:"));
	assert_int_equal(read_file("/proc/self/status", 100, &none, &size), -EFBIG);
	assert_null(none);
}

/* sysfs reports the size of a page for a file of a few bytes. */
static void test_sysfs(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r = read_file("/sys/kernel/mm/transparent_hugepage/enabled", 100, &text, &size);

	if (r == -ENOENT || r == -EACCES)
		skip();
	assert_int_equal(r, 0);
	assert_true(size > 0 && size < 100);
}

static void test_fd_keeps_its_offset(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	_cleanup_close_ int fd = memfd_of("0123456789");
	size_t size = 0;

	assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
	assert_int_equal(read_file_fd(fd, 10, &a, &size), 0);
	assert_string_equal(a, "0123456789");
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
	assert_int_equal(read_stream(fd, 10, &b, &size), 0);
	assert_string_equal(b, "789");
}

static void test_not_a_file(void **state)
{
	struct directory *d = *state;
	char *data = NULL;
	size_t size = UNTOUCHED;
	int ends[2];

	assert_int_equal(mkfifoat(d->fd, "fifo", 0600), 0);
	assert_int_equal(mkdirat(d->fd, "directory", 0700), 0);
	/* Nobody writes to it, so this would wait for ever. */
	assert_refused(d, "fifo", 100, -ESPIPE);
	assert_refused(d, "directory", 100, -EISDIR);
	assert_refused(d, "missing", 100, -ENOENT);
	assert_int_equal(read_file("/dev/null", 100, &data, &size), -ESPIPE);
	assert_int_equal(read_file_fd(-1, 100, &data, &size), -EBADF);

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(read_file_fd(ends[0], 100, &data, &size), -ESPIPE);
	safe_close(ends[0]);
	safe_close(ends[1]);
	assert_null(data);
	assert_int_equal(size, UNTOUCHED);
}

static void test_symbolic_link(void **state)
{
	struct directory *d = *state;
	_cleanup_free_ char *text = NULL;
	char *none = NULL;
	size_t size = 0;

	write_file(d, "a", "text", 4);
	assert_int_equal(symlinkat("a", d->fd, "link"), 0);
	assert_int_equal(read_file(path_of(d, "link"), 4, &text, &size), 0);
	assert_string_equal(text, "text");
	assert_int_equal(read_file_at(d->fd, "link", 4, &none, &size), -ELOOP);
	assert_null(none);
}

/* In several pieces, with a bound, and where nothing has a size. */
static void test_stream(void **state)
{
	_cleanup_free_ char *text = NULL;
	char *none = NULL;
	size_t size = UNTOUCHED;
	int ends[2];

	for (int round = 0; round < 2; round++) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_int_equal(write(ends[1], "one ", 4), 4);
		assert_int_equal(write(ends[1], "two", 3), 3);
		safe_close(ends[1]);
		if (round == 0) {
			assert_int_equal(read_stream(ends[0], 6, &none, &size), -EFBIG);
			assert_null(none);
			assert_int_equal(size, UNTOUCHED);
		} else {
			assert_int_equal(read_stream(ends[0], 7, &text, &size), 0);
			assert_string_equal(text, "one two");
			assert_int_equal(size, 7);
		}
		safe_close(ends[0]);
	}
	assert_int_equal(read_stream(-1, 100, &none, &size), -EBADF);
}

static void test_pread_full(void **state)
{
	_cleanup_close_ int fd = memfd_of("0123456789");
	char buffer[16] = "";

	assert_int_equal(pread_full(fd, buffer, 4, 3), 4);
	assert_memory_equal(buffer, "3456", 4);
	assert_int_equal(pread_full(fd, buffer, sizeof(buffer), 8), 2);
	assert_int_equal(pread_full(fd, buffer, sizeof(buffer), 100), 0);
	assert_int_equal(pread_full(-1, buffer, 1, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_proc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sysfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fd_keeps_its_offset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_symbolic_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pread_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
