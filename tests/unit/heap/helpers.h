/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_HEAP_HELPERS_H
#define TESTS_UNIT_HEAP_HELPERS_H

/* Heaps for tests, what is in them byte by byte, and children that open them. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <luo/heap.h>

#include "tests/unit/helpers.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)

#define HEAP_TEST(f) cmocka_unit_test_setup_teardown(f, remember_fds, check_fds)

static const struct luo_heap_options small_heap = { .struct_size = sizeof(small_heap),
						    .max_size = 64 * MIB };

/* ---- files ----------------------------------------------------------------------------------- */

/* The whole of a file, and what it is called outside. */
struct image {
	size_t size;
	int seals;
	mode_t mode;
	uint8_t *bytes;
};

static inline struct image image_of(int fd)
{
	struct image image;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	image.size = st.st_size;
	image.mode = st.st_mode;
	image.seals = fcntl(fd, F_GET_SEALS);
	image.bytes = malloc(image.size + 1);
	assert_non_null(image.bytes);
	assert_int_equal(pread(fd, image.bytes, image.size, 0), image.size);
	return image;
}

static inline void free_image(struct image *image)
{
	free(image->bytes);
	image->bytes = NULL;
}

/* The file is as it was, to the last byte. */
static inline void assert_image(int fd, const struct image *image)
{
	struct image now = image_of(fd);

	assert_int_equal(now.size, image->size);
	assert_int_equal(now.mode, image->mode);
	assert_int_equal(now.seals, image->seals);
	assert_memory_equal(now.bytes, image->bytes, image->size);
	free_image(&now);
}

static inline int empty_memfd(void)
{
	int fd = memfd_create("heap-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	return fd;
}

/* A memfd with these bytes. */
static inline int memfd_of_image(const struct image *image)
{
	int fd = empty_memfd();

	assert_int_equal(pwrite(fd, image->bytes, image->size, 0), image->size);
	return fd;
}

/* ---- heaps ----------------------------------------------------------------------------------- */

static inline struct luo_heap *open_with(int fd, struct luo_heap_options options)
{
	struct luo_heap *heap = NULL;
	int r;

	options.struct_size = sizeof(options);
	r = luo_heap_open_fd(fd, &options, &heap);
	if (r < 0)
		print_error("%s\n", luo_heap_problem());
	assert_int_equal(r, 0);
	assert_non_null(heap);
	return heap;
}

static inline struct luo_heap *open_heap(int fd)
{
	return open_with(fd, (struct luo_heap_options){ .max_size = 64 * MIB });
}

static inline struct luo_heap *memory_heap(uint64_t max_size)
{
	struct luo_heap *heap = NULL;

	assert_int_equal(
		luo_heap_open_memory(
			&(struct luo_heap_options){ .struct_size = sizeof(struct luo_heap_options),
						    .max_size = max_size },
			&heap),
		0);
	assert_non_null(heap);
	return heap;
}

static inline struct luo_heap_stat stat_of(struct luo_heap *heap)
{
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };

	assert_int_equal(luo_heap_stat(heap, &stat), 0);
	return stat;
}

/* Opening is refused with @error and a sentence, and nothing is changed, on the fd as in it. */
static inline void assert_refused_with(int fd, struct luo_heap_options options, int error)
{
	struct luo_heap *heap = (void *)UNTOUCHED;
	struct image before = image_of(fd);
	size_t fds = fd_count();
	int r;

	options.struct_size = sizeof(options);
	r = luo_heap_open_fd(fd, &options, &heap);
	if (r != error)
		print_error("%s\n", luo_heap_problem());
	assert_int_equal(r, error);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	assert_true(strlen(luo_heap_problem()) > 10);
	assert_int_equal(fd_count(), fds);
	assert_image(fd, &before);
	free_image(&before);
}

static inline void assert_refused(int fd, int error)
{
	assert_refused_with(fd, (struct luo_heap_options){ .max_size = 64 * MIB }, error);
}

static inline void print_heap_problem(const char *text, void *userdata)
{
	print_error("%s\n", text);
}

static inline struct luo_heap_usage usage_of(struct luo_heap *heap)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };

	assert_int_equal(luo_heap_check(heap, print_heap_problem, NULL, &usage), 0);
	assert_int_equal(usage.problems, 0);
	return usage;
}

/* ---- content --------------------------------------------------------------------------------- */

static inline uint8_t pattern_byte(uint64_t seed, size_t i)
{
	return (uint8_t)(seed * 31 + i + (i >> 8) * 7);
}

static inline void fill(void *ptr, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)ptr)[i] = pattern_byte(seed, i);
}

static inline bool is_filled(const void *ptr, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)ptr)[i] != pattern_byte(seed, i))
			return false;
	return true;
}

static inline bool is_zero(const void *ptr, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)ptr)[i])
			return false;
	return true;
}

/* ---- other processes ------------------------------------------------------------------------- */

/* valgrind has a list of mappings of its own: they do not differ in a child, and are not large. */
static inline bool is_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/*
 * Children are killed, and do not exit: that is the death that heaps are made for. And valgrind
 * would look for leaks in all of the mapping first, also behind the end of the file, for minutes.
 */
static int result_pipe[2];

/* In the child: tells how it went, and waits to be killed. */
static inline void die(int result)
{
	char byte = (char)result;

	if (write(result_pipe[1], &byte, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static inline pid_t fork_child(void)
{
	pid_t pid;

	assert_int_equal(pipe2(result_pipe, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	/* A failing test must not leave a child process that waits and keeps its output open. */
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(result_pipe[pid == 0 ? 0 : 1]);
	return pid;
}

static inline void kill_other(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* When it returns, the child has done @run, which must return 0, and waits. */
static inline pid_t start_other(int (*run)(void *userdata), void *userdata)
{
	pid_t pid = fork_child();
	char result = 1;

	if (pid == 0)
		die(run(userdata));
	assert_int_equal(read(result_pipe[0], &result, 1), 1);
	assert_int_equal(result, 0);
	close(result_pipe[0]);
	return pid;
}

static inline void in_child(int (*run)(void *userdata), void *userdata)
{
	kill_other(start_other(run, userdata));
}

#endif
