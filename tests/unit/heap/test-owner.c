/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* One owner at a time, which messages name, beside any number of readers. */

#include <sys/prctl.h>

#include "tests/unit/heap/helpers.h"

static const struct luo_heap_options read_only = { .struct_size = sizeof(read_only),
						   .flags = LUO_HEAP_READ_ONLY };

static const struct luo_heap_root_type number_type = {
	.struct_size = sizeof(number_type), .name = "number", .type_id = 1, .version = 1, .size = 8
};

/* Through an open file description of its own, as another program would. */
static int reopened(int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static int own_it(void *userdata)
{
	struct luo_heap *heap;
	uint64_t *number;

	prctl(PR_SET_NAME, "the-owner");
	if (luo_heap_open_fd(*(int *)userdata, &small_heap, &heap) < 0)
		return 1;
	if (luo_heap_root(heap, &number_type, (void **)&number) < 0)
		return 2;
	*number = 42;
	return 0;
}

static void test_owned_by_another(void **state)
{
	int fd = empty_memfd(), second = reopened(fd);
	pid_t other = start_other(own_it, &fd);
	char pid[20];
	struct luo_heap *heap;

	snprintf(pid, sizeof(pid), "%d", other);
	assert_refused(fd, -EBUSY);
	assert_non_null(strstr(luo_heap_problem(), pid));
	assert_non_null(strstr(luo_heap_problem(), "the-owner"));
	assert_refused(second, -EBUSY);

	kill_other(other);
	heap = open_heap(fd);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_RESTARTED);
	assert_int_equal(stat_of(heap).owner_pid, getpid());
	luo_heap_close(heap);
	close(second);
	close(fd);
}

static void test_owned_here(void **state)
{
	int fd = empty_memfd(), second = reopened(fd);
	struct luo_heap *heap = open_heap(fd);

	assert_refused(fd, -EBUSY);
	assert_non_null(strstr(luo_heap_problem(), "this process"));
	assert_refused(second, -EBUSY);
	luo_heap_close(heap);
	luo_heap_close(open_heap(second));
	close(second);
	close(fd);
}

/* Closing other fds of the same file must not unlock it, as it would with POSIX locks. */
static void test_lock_survives_other_fds(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);

	close(reopened(fd));
	close(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	assert_refused(fd, -EBUSY);
	luo_heap_close(heap);
	close(fd);
}

static void test_reader_beside_owner(void **state)
{
	int fd = empty_memfd();
	pid_t other = start_other(own_it, &fd);
	struct image before = image_of(fd);
	struct luo_heap *reader = open_with(fd, read_only);
	struct luo_heap *second = open_with(fd, read_only);
	uint64_t *number;

	assert_int_equal(stat_of(reader).owner_pid, other);
	assert_string_equal(stat_of(reader).owner_name, "the-owner");
	assert_int_equal(luo_heap_root(reader, &number_type, (void **)&number), 0);
	assert_int_equal(*number, 42);
	luo_heap_close(second);
	kill_other(other);
	assert_int_equal(stat_of(reader).owner_pid, 0);
	assert_string_equal(stat_of(reader).owner_name, "the-owner");
	assert_image(fd, &before);
	luo_heap_close(reader);
	assert_image(fd, &before);
	free_image(&before);
	close(fd);
}

static void test_owner_beside_reader(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *owner = open_heap(fd), *reader;
	uint64_t *number, *seen;

	assert_int_equal(luo_heap_root(owner, &number_type, (void **)&number), 1);
	luo_heap_close(owner);
	reader = open_with(fd, read_only);
	owner = open_heap(fd);
	assert_int_equal(luo_heap_root(owner, &number_type, (void **)&number), 0);
	assert_int_equal(luo_heap_root(reader, &number_type, (void **)&seen), 0);
	assert_ptr_not_equal(number, seen);
	__atomic_store_n(number, 17, __ATOMIC_RELEASE);
	assert_int_equal(__atomic_load_n(seen, __ATOMIC_ACQUIRE), 17);
	luo_heap_close(owner);
	luo_heap_close(reader);
	close(fd);
}

static int upgrade_nothing(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			   void **ret_object, void *userdata)
{
	*ret_object = object;
	return 0;
}

static int visit_count(void *ptr, size_t size, void *userdata)
{
	++*(size_t *)userdata;
	return 0;
}

static void test_reader_changes_nothing(void **state)
{
	static const struct luo_heap_root_type other = {
		.struct_size = sizeof(other), .name = "other", .type_id = 1, .version = 1, .size = 8
	};
	struct luo_heap_root_type newer = number_type;
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };
	struct image before;
	void *object, *kept;
	size_t count = 0;

	assert_int_equal(luo_heap_root(heap, &number_type, &object), 1);
	assert_non_null(luo_heap_alloc(heap, 1000));
	luo_heap_close(heap);
	before = image_of(fd);

	heap = open_with(fd, read_only);
	errno = 0;
	assert_null(luo_heap_alloc(heap, 10));
	assert_int_equal(errno, EROFS);
	assert_null(luo_heap_calloc(heap, 10, 10));
	assert_int_equal(errno, EROFS);
	assert_null(luo_heap_aligned_alloc(heap, 64, 10));
	assert_int_equal(errno, EROFS);
	assert_int_equal(luo_heap_root_at(heap, 0, &info), 0);
	errno = 0;
	assert_null(luo_heap_realloc(heap, info.object, 100));
	assert_int_equal(errno, EROFS);
	assert_int_equal(luo_heap_free(heap, info.object), -EROFS);
	assert_int_equal(luo_heap_free(heap, NULL), 0);
	assert_int_equal(luo_heap_begin(heap), -EROFS);
	assert_int_equal(luo_heap_save(heap, info.object, 8), -EROFS);
	assert_int_equal(luo_heap_commit(heap), -EROFS);
	luo_heap_abort(heap);
	assert_int_equal(luo_heap_trim(heap), -EROFS);
	assert_int_equal(luo_heap_remove_root(heap, "number"), -EROFS);
	kept = (void *)UNTOUCHED;
	assert_int_equal(luo_heap_root(heap, &other, &kept), -ENOENT);
	newer.version = 2;
	newer.upgrade = upgrade_nothing;
	assert_int_equal(luo_heap_root(heap, &newer, &kept), -EPROTONOSUPPORT);
	assert_ptr_equal(kept, (void *)UNTOUCHED);

	assert_true(luo_heap_usable_size(heap, info.object) >= 8);
	assert_int_equal(luo_heap_walk(heap, visit_count, &count), 0);
	assert_int_equal(count, 2);
	usage_of(heap);
	assert_int_equal(stat_of(heap).openings, 1);
	luo_heap_close(heap);
	assert_image(fd, &before);
	free_image(&before);
	close(fd);
}

/* An owner that died within a transaction: a reader leaves it for the next owner to undo. */
static int change_within(void *userdata)
{
	struct luo_heap *heap;
	uint64_t *number;

	if (luo_heap_open_fd(*(int *)userdata, &small_heap, &heap) < 0)
		return 1;
	if (luo_heap_root(heap, &number_type, (void **)&number) < 0)
		return 2;
	*number = 1;
	if (luo_heap_begin(heap) < 0 || luo_heap_save(heap, number, 8) < 0)
		return 3;
	*number = 2;
	return luo_heap_alloc(heap, 100) ? 0 : 4;
}

static void test_reader_after_a_death(void **state)
{
	int fd = empty_memfd();
	pid_t other = start_other(change_within, &fd);
	struct luo_heap *heap;
	struct image before;
	uint64_t *number;

	kill_other(other);
	before = image_of(fd);
	heap = open_with(fd, read_only);
	assert_int_equal(luo_heap_root(heap, &number_type, (void **)&number), 0);
	assert_int_equal(stat_of(heap).owner_pid, 0);
	luo_heap_close(heap);
	assert_image(fd, &before);
	free_image(&before);

	heap = open_heap(fd);
	assert_true(stat_of(heap).recovered);
	assert_int_equal(luo_heap_root(heap, &number_type, (void **)&number), 0);
	assert_int_equal(*number, 1);
	assert_int_equal(usage_of(heap).objects, 1);
	luo_heap_close(heap);
	heap = open_heap(fd);
	assert_false(stat_of(heap).recovered);
	luo_heap_close(heap);
	close(fd);
}

/* ---- fork ------------------------------------------------------------------------------------ */

/*
 * A child has not got the parent's heap in its address space: it cannot break it, whatever it does,
 * and closing it there, or ending, does not unlock it.
 */
static int close_inherited(void *userdata)
{
	luo_heap_close(userdata);
	return 0;
}

static int open_inherited(void *userdata)
{
	struct luo_heap *heap;

	return luo_heap_open_fd(*(int *)userdata, &small_heap, &heap) == -EBUSY ? 0 : 1;
}

static void test_fork(void **state)
{
	int fd = empty_memfd(), status;
	struct luo_heap *heap = open_with(fd, (struct luo_heap_options){ .max_size = 1 * MIB });
	uint64_t *number;
	pid_t pid;

	assert_int_equal(luo_heap_root(heap, &number_type, (void **)&number), 1);
	*number = 5;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) { /* dies of that */
		signal(SIGSEGV, SIG_DFL);
		*number = 6;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	in_child(close_inherited, heap);
	in_child(open_inherited, &fd);
	assert_int_equal(*number, 5);
	assert_refused(fd, -EBUSY);
	assert_non_null(luo_heap_alloc(heap, 50));
	assert_int_equal(usage_of(heap).objects, 2);
	luo_heap_close(heap);
	luo_heap_close(open_heap(fd));
	close(fd);
}

/* A child that lives on does not keep the heap from the parent's next start. */
static int do_nothing(void *userdata)
{
	return 0;
}

static void test_fork_and_outlive(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	pid_t other = start_other(do_nothing, NULL);

	luo_heap_close(heap);
	luo_heap_close(open_heap(fd));
	kill_other(other);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_owned_by_another),        HEAP_TEST(test_owned_here),
		HEAP_TEST(test_lock_survives_other_fds), HEAP_TEST(test_reader_beside_owner),
		HEAP_TEST(test_owner_beside_reader),     HEAP_TEST(test_reader_changes_nothing),
		HEAP_TEST(test_reader_after_a_death),    HEAP_TEST(test_fork),
		HEAP_TEST(test_fork_and_outlive),
	};

	return cmocka_run_group_tests_name("heap-owner", tests, NULL, NULL);
}
