/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* What preserving a memfd costs, and making that less. */

#include <pthread.h>
#include <sys/eventfd.h>

#include <luo/session.h>

#include "tests/fake/fake-luo.h"
#include "tests/unit/memfd/fixture.h"

static struct luo_memfd_cost cost_of(int fd)
{
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };

	assert_int_equal(luo_memfd_cost(fd, &cost), 0);
	assert_int_equal(cost.small, cost.data - cost.huge);
	return cost;
}

/* In pages of the smallest size: written bit by bit. */
static int filled(uint64_t size)
{
	int fd = create((struct luo_memfd_options){ .flags = LUO_MEMFD_ALLOW_SEALING });
	static char block[4096];

	memset(block, 'x', sizeof(block));
	for (uint64_t at = 0; at < size; at += sizeof(block))
		assert_true(pwrite(fd, block, MIN2(size - at, sizeof(block)), (off_t)at) > 0);
	return fd;
}

static void assert_refused(int fd, unsigned advice)
{
	struct luo_memfd_cost cost = cost_of(fd);
	struct luo_memfd_prepared p = { .struct_size = sizeof(p), .fill_error = UNTOUCHED };

	assert_int_equal(cost.cost_class, LUO_COST_REFUSED);
	assert_int_equal(cost.advice, advice);
	assert_non_null(cost.reason);
	assert_int_equal(luo_memfd_prepare(fd, LUO_PREPARE_ALL, &cost, &cost, &p), -EOPNOTSUPP);
	assert_int_equal(p.fill_error, UNTOUCHED);
	assert_int_equal(cost.advice, advice);
}

static void test_refused(void **state)
{
	_cleanup_close_ int event = eventfd(0, EFD_CLOEXEC), fd = filled(1), path = path_only(fd);
	_cleanup_close_ int disk = open("/etc/passwd", O_RDONLY | O_CLOEXEC), huge = -EBADF;
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };
	int p[2];

	assert_int_equal(luo_memfd_cost(-1, &cost), -EBADF);
	assert_int_equal(luo_memfd_cost(fd, NULL), -EINVAL);
	assert_int_equal(luo_memfd_prepare(-1, 0, NULL, NULL, NULL), -EBADF);
	assert_int_equal(luo_memfd_prepare(fd, 1 << 10, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_refused(p[0], LUO_ADVICE_KIND);
	close_many(p, 2);
	assert_refused(event, LUO_ADVICE_KIND);
	assert_refused(path, LUO_ADVICE_KIND);
	if (disk >= 0)
		assert_refused(disk, LUO_ADVICE_KIND);
	huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (huge >= 0)
		assert_refused(huge, LUO_ADVICE_HUGETLB);
}

static void test_too_large(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });
	struct luo_memfd_cost cost = cost_of(fd);

	assert_true(cost.advice & LUO_ADVICE_TOO_LARGE);
	assert_true(cost.advice & LUO_ADVICE_NO_ROOM);
	assert_int_equal(cost.cost_class, LUO_COST_REFUSED);
	assert_string_equal(cost.reason, luo_memfd_advice_to_string(LUO_ADVICE_TOO_LARGE));
	assert_int_equal(luo_memfd_prepare(fd, LUO_PREPARE_ALL, NULL, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(allocated(fd), 0);
}

static void test_small_and_empty(void **state)
{
	_cleanup_close_ int empty = filled(0), fd = filled(5000);
	struct luo_memfd_cost cost = cost_of(empty);

	assert_int_equal(cost.cost_class, LUO_COST_FAST);
	assert_int_equal(cost.advice, 0);
	assert_null(cost.reason);
	assert_int_equal(cost.size, 0);
	assert_int_equal(cost.kernel, 13312);
	cost = cost_of(fd);
	assert_int_equal(cost.cost_class, LUO_COST_FAST);
	assert_int_equal(cost.size, 5000);
	assert_int_equal(cost.data, 8192);
	assert_int_equal(cost.holes, 0);
	assert_int_equal(cost.kernel, 13312 + 2 * 16);
	if (cost.runs_known)
		assert_in_range(cost.runs, 1, 2);
}

static void test_holes(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = 100 * MIB });
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };

	write_at(fd, "x", 50 * MIB);
	assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
	cost = cost_of(fd);
	assert_int_equal(cost.data, 4096);
	assert_int_equal(cost.holes, 100 * MIB - 4096);
	assert_int_equal(cost.advice, LUO_ADVICE_HOLES);
	assert_int_equal(cost.cost_class, LUO_COST_SLOW);
	assert_int_equal(allocated(fd), 4096); /* looking does not fill */
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
	/* Smaller ones are not worth a word. */
	assert_int_equal(luo_memfd_shrink(fd, 10 * MIB), 0);
	assert_int_equal(cost_of(fd).advice, 0);
	assert_int_equal(cost_of(fd).holes, 10 * MIB);
}

static void test_exec_seal(void **state)
{
	struct luo_memfd_options o = { .struct_size = sizeof(o), .flags = LUO_MEMFD_NOEXEC_SEAL };
	_cleanup_close_ int fd = -EBADF;
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };

	if (luo_memfd_create(&o, &fd) < 0)
		skip();
	cost = cost_of(fd);
	assert_int_equal(cost.cost_class, LUO_COST_COPIED);
	assert_int_equal(cost.advice, LUO_ADVICE_EXEC_SEAL);
	assert_null(cost.reason);
}

static void test_words(void **state)
{
	assert_string_equal(luo_cost_class_to_string(LUO_COST_FAST), "fast");
	assert_string_equal(luo_cost_class_to_string(LUO_COST_REFUSED), "refused");
	assert_string_equal(luo_cost_class_to_string((enum luo_cost_class)99), "unknown");
	for (unsigned bit = LUO_ADVICE_KIND; bit <= LUO_ADVICE_SCATTERED; bit <<= 1)
		assert_non_null(luo_memfd_advice_to_string(bit));
	assert_null(luo_memfd_advice_to_string(0));
	assert_null(luo_memfd_advice_to_string(LUO_ADVICE_SCATTERED << 1));
	assert_string_equal(luo_memfd_advice_to_string(LUO_ADVICE_HOLES | LUO_ADVICE_SCATTERED),
			    luo_memfd_advice_to_string(LUO_ADVICE_HOLES));
}

/* Preparing */

struct prepared {
	struct luo_memfd_cost before, after;
	struct luo_memfd_prepared done;
};

static int prepare(int fd, unsigned flags, struct prepared *p)
{
	p->before.struct_size = p->after.struct_size = sizeof(p->before);
	p->done.struct_size = sizeof(p->done);
	return luo_memfd_prepare(fd, flags, &p->before, &p->after, &p->done);
}

static void assert_huge(const struct prepared *p, uint64_t bytes)
{
	/* Before 6.1 or 6.7, or where huge pages are off, there is nothing to see. */
	if (!p->after.huge_known || p->done.collapse_error < 0)
		return;
	assert_int_equal(p->after.huge, bytes);
}

static void test_prepare(void **state)
{
	_cleanup_close_ int fd = filled(21 * MIB + 5000), copy = -EBADF;
	struct prepared p = { 0 };

	assert_int_equal(luo_memfd_new_from_fd(NULL, fd, 0, &copy), 0);
	assert_int_equal(lseek(fd, 12345, SEEK_SET), 12345);
	assert_int_equal(prepare(fd, LUO_PREPARE_ALL, &p), 0);
	assert_int_equal(p.before.small, 21 * MIB + 8192);
	assert_int_equal(p.before.cost_class, LUO_COST_SLOW);
	assert_true(p.before.advice & LUO_ADVICE_SMALL_PAGES);
	assert_int_equal(p.done.fill_error, 0);
	assert_huge(&p, 20 * MIB);
	if (p.after.huge > 0)
		assert_int_equal(p.after.cost_class, LUO_COST_FAST);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 12345);
	assert_int_equal(status(fd).st_size, 21 * MIB + 5000);
	assert_int_equal(luo_memfd_equal(fd, copy), 1);
	/* Again: nothing to do. */
	assert_int_equal(prepare(fd, LUO_PREPARE_ALL, &p), 0);
	assert_huge(&p, 20 * MIB);
	assert_int_equal(luo_memfd_prepare(fd, LUO_PREPARE_ALL, NULL, NULL, NULL), 0);
}

static void test_prepare_sealed_and_read_only(void **state)
{
	_cleanup_close_ int fd = filled(4 * MIB), only = -EBADF;
	struct prepared p = { 0 };

	assert_int_equal(luo_memfd_add_seals(fd, LUO_SEALS_CONSTANT), 0);
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &only), 0);
	assert_int_equal(prepare(only, LUO_PREPARE_ALL, &p), 0);
	assert_huge(&p, 4 * MIB);
	assert_int_equal(seals_of(fd), LUO_SEALS_CONSTANT);
	assert_text_at(fd, "xxxx", 4 * MIB - 4);
}

static void test_prepare_only_looks(void **state)
{
	_cleanup_close_ int fd = filled(4 * MIB);
	struct prepared p = { 0 };

	assert_int_equal(luo_memfd_grow(fd, 40 * MIB), 0);
	assert_int_equal(prepare(fd, 0, &p), 0);
	assert_int_equal(p.after.huge, p.before.huge);
	assert_int_equal(p.after.holes, p.before.holes);
	assert_int_equal(p.done.collapse_error, 0);
	assert_true(allocated(fd) <= 4 * MIB + 4096);
}

/* Without leave to fill holes, what has some stays in small pages. */
static void test_prepare_holes(void **state)
{
	_cleanup_close_ int fd = filled(6 * MIB);
	struct prepared p = { 0 };

	assert_int_equal(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * (off_t)MIB, 4096), 0);
	assert_int_equal(ftruncate(fd, 20 * (off_t)MIB + 1), 0);
	assert_int_equal(prepare(fd, LUO_PREPARE_COLLAPSE, &p), 0);
	assert_int_equal(p.after.holes, 14 * MIB + 4096 + 4096);
	assert_huge(&p, 4 * MIB);
	assert_true(allocated(fd) <= 6 * MIB);
	assert_int_equal(prepare(fd, LUO_PREPARE_FILL_HOLES, &p), 0);
	assert_int_equal(p.after.holes, 0);
	assert_int_equal(allocated(fd), 20 * MIB + 4096);
	assert_int_equal(prepare(fd, LUO_PREPARE_ALL, &p), 0);
	assert_huge(&p, 20 * MIB);
	assert_text_at(fd, "xxxx", 3 * MIB - 4);
	assert_int_equal(status(fd).st_size, 20 * MIB + 1);
}

/* Allocated, but never written: the kernel would have to zero it in the blackout. */
static void test_prepare_what_is_allocated(void **state)
{
	_cleanup_close_ int fd = create(
		(struct luo_memfd_options){ .size = 4 * MIB, .flags = LUO_MEMFD_PREALLOCATE });
	struct prepared p = { 0 };

	assert_int_equal(prepare(fd, LUO_PREPARE_FILL_HOLES, &p), 0);
	assert_int_equal(p.before.holes, 4 * MIB);
	assert_int_equal(p.after.holes, 0);
	assert_int_equal(allocated(fd), 4 * MIB);
}

static void test_prepare_more_than_there_is(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = UINT64_C(1) << 43 });
	struct prepared p = { 0 };

	assert_int_equal(prepare(fd, LUO_PREPARE_ALL, &p), -ENOMEM);
	assert_int_equal(allocated(fd), 0);
	assert_int_equal(prepare(fd, LUO_PREPARE_COLLAPSE, &p), 0);
	assert_true(p.before.advice & LUO_ADVICE_NO_ROOM);
	assert_int_equal(allocated(fd), 0);
}

static void test_prepare_what_is_preserved(void **state)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, fd = filled(4 * MIB);

	fake_luo_install();
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "s", &session), 0);
	assert_int_equal(luo_session_preserve_fd(session, fd, 1), 0);
	assert_int_equal(luo_memfd_prepare(fd, LUO_PREPARE_ALL, NULL, NULL, NULL), 0);
	assert_int_equal(cost_of(fd).data, 4 * MIB);
	fake_luo_uninstall();
}

/* A process that tries to crash us, or to keep us busy. */

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
		(void)!pwrite(c->fd, &i, sizeof(i), i % 7 * (off_t)MIB);
	}
	return NULL;
}

static void test_file_that_changes(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = 8 * MIB });
	struct changer c = { .fd = fd };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, resize, &c), 0);
	for (int i = 0; i < 30; i++) {
		struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };
		int r = luo_memfd_cost(fd, &cost);

		assert_true(r == 0 || r == -EIO);
		r = luo_memfd_prepare(fd, LUO_PREPARE_ALL, NULL, NULL, NULL);
		assert_true(r == 0 || r == -EIO);
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refused),
		TEST(test_too_large),
		TEST(test_small_and_empty),
		TEST(test_holes),
		TEST(test_exec_seal),
		TEST(test_words),
		TEST(test_prepare),
		TEST(test_prepare_sealed_and_read_only),
		TEST(test_prepare_only_looks),
		TEST(test_prepare_holes),
		TEST(test_prepare_what_is_allocated),
		TEST(test_prepare_more_than_there_is),
		TEST(test_prepare_what_is_preserved),
		TEST(test_file_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
