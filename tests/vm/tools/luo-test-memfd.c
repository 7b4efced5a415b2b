/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo/memfd.h on a kernel that really preserves: is it as luo_memfd_cost() says, and does
 * luo_memfd_prepare() help?
 *
 *   luo-test-memfd leave    TAP: make, prepare and preserve; goes on in the background
 *   luo-test-memfd find     TAP: what came through is what was left
 */

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "common/util.h"

#define SESSION "prepared"
#define TIMEOUT (10 * USEC_PER_SEC)
#define MIB     (UINT64_C(1) << 20)
#define SIZE    (18 * MIB + 12345) /* more than LUO_SLOW_BYTES, and a rest */
#define HUGE    (18 * MIB)

enum token { PREPARED = 1, SCATTERED, SPARSE, SNAPSHOT, _TOKENS };

static const char *const names[] = { [PREPARED] = "prepared",
				     [SCATTERED] = "scattered",
				     [SPARSE] = "sparse",
				     [SNAPSHOT] = "snapshot" };

static unsigned n_tests, n_failed;

static void ok(bool good, const char *what, const char *which)
{
	printf("%sok %u - %s: %s\n", good ? "" : "not ", ++n_tests, which, what);
	n_failed += !good;
}

static int done(void)
{
	printf("1..%u\n", n_tests);
	fflush(stdout);
	return n_failed > 0;
}

static void must(int r, const char *what)
{
	if (r < 0)
		errx(1, "%s: %s", what, strerror(-r));
}

static struct luo_memfd_cost cost_of(int fd)
{
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };

	must(luo_memfd_cost(fd, &cost), "cost");
	printf("# %s: %" PRIu64 " KiB data in %" PRIu64 " runs, %" PRIu64 " KiB holes, %" PRIu64
	       " KiB huge\n",
	       luo_cost_class_to_string(cost.cost_class), cost.data / 1024, cost.runs,
	       cost.holes / 1024, cost.huge / 1024);
	return cost;
}

/* ---- before ---------------------------------------------------------------------------------- */

static int make(enum token token, uint64_t size)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options),
					     .name = names[token],
					     .size = size,
					     .flags = LUO_MEMFD_ALLOW_SEALING };
	int fd;

	must(luo_memfd_create(&options, &fd), "create");
	return fd;
}

/* Page after page of two files in turn, so that neither has two that lie together. */
static void fill(int a, int b)
{
	uint64_t page[512];

	for (uint64_t at = 0; at < SIZE; at += sizeof(page)) {
		size_t n = MIN2(SIZE - at, sizeof(page));

		for (size_t i = 0; i < ELEMENTSOF(page); i++)
			page[i] = at * UINT64_C(0x9e3779b97f4a7c15) + i;
		if (pwrite(a, page, n, (off_t)at) < 0 || pwrite(b, page, n, (off_t)at) < 0)
			err(1, "write");
	}
}

static void fill_sparse(int fd)
{
	if (pwrite(fd, "page", 4, MIB + 5) != 4)
		err(1, "write");
}

static void prepare(int fd, int same)
{
	struct luo_memfd_cost before = { .struct_size = sizeof(before) };
	struct luo_memfd_cost after = { .struct_size = sizeof(after) };
	struct luo_memfd_prepared p = { .struct_size = sizeof(p) };
	uint64_t began;

	cost_of(fd);
	began = now_usec(CLOCK_MONOTONIC);
	must(luo_memfd_prepare(fd, LUO_PREPARE_ALL, &before, &after, &p), "prepare");
	printf("# prepared in %" PRIu64 " us, errors %d, %d\n", now_usec(CLOCK_MONOTONIC) - began,
	       p.fill_error, p.collapse_error);
	cost_of(fd);
	ok(before.cost_class == LUO_COST_SLOW, "was slow", names[PREPARED]);
	ok(before.huge == 0 && before.huge_known, "was in small pages", names[PREPARED]);
	ok(after.cost_class == LUO_COST_FAST, "is fast", names[PREPARED]);
	ok(after.huge == HUGE, "is in huge pages", names[PREPARED]);
	ok(after.runs_known && after.runs * 10 < before.runs, "is in fewer runs", names[PREPARED]);
	ok(luo_memfd_equal(fd, same) == 1, "has the same content", names[PREPARED]);
}

static void preserve(int session, enum token token, int fd)
{
	must(luo_session_preserve_fd(session, fd, token), "preserve");
}

/* The first time moves pages out of the way of the next kernel; the best of some is what counts. */
static uint64_t time_to_preserve(int device, int fd)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 4; i++) {
		uint64_t began, took;
		int session;

		must(luo_session_create(device, "warm-up", &session), "session");
		began = now_usec(CLOCK_MONOTONIC);
		preserve(session, 1, fd);
		took = now_usec(CLOCK_MONOTONIC) - began;
		best = MIN2(best, took);
		close(session);
	}
	printf("# preserving takes %" PRIu64 " us\n", best);
	return best;
}

static uint64_t allocated(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		err(1, "fstat");
	return (uint64_t)st.st_blocks * 512;
}

static void preserve_sparse(int session, int fd)
{
	struct luo_memfd_cost cost = cost_of(fd);

	ok(cost.data == 4096 && allocated(fd) == 4096, "is a page", names[SPARSE]);
	preserve(session, SPARSE, fd);
	ok(allocated(fd) == cost.data + cost.holes, "holes are filled, as predicted",
	   names[SPARSE]);
	ok(luo_memfd_grow(fd, 32 * MIB) == -EPERM, "cannot grow", names[SPARSE]);
	ok(luo_memfd_shrink(fd, 1) == -EPERM, "cannot shrink", names[SPARSE]);
	ok(luo_memfd_add_seals(fd, LUO_SEAL_WRITE) == -EBUSY, "cannot be sealed", names[SPARSE]);
}

static void refuse_hugetlb(int session)
{
	int fd = memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB);
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };

	if (fd < 0) {
		printf("ok %u - hugetlb # SKIP %s\n", ++n_tests, strerror(errno));
		return;
	}
	cost = cost_of(fd);
	ok(cost.cost_class == LUO_COST_REFUSED && luo_session_preserve_fd(session, fd, 99) < 0,
	   "is refused, as predicted", "hugetlb");
	close(fd);
}

static int leave(void)
{
	int fds[_TOKENS] = { 0 }, device, session;

	must(luo_device_open(TIMEOUT, &device), "device");
	must(luo_session_create(device, SESSION, &session), "session");
	fds[PREPARED] = make(PREPARED, SIZE);
	fds[SCATTERED] = make(SCATTERED, SIZE);
	fds[SPARSE] = make(SPARSE, 4 * MIB);
	fill(fds[PREPARED], fds[SCATTERED]);
	fill_sparse(fds[SPARSE]);
	must(luo_memfd_add_seals(fds[PREPARED], LUO_SEALS_SIZE), "seal");
	must(luo_memfd_snapshot("snapshot", fds[SPARSE], MIB << 10, &fds[SNAPSHOT]), "snapshot");
	prepare(fds[PREPARED], fds[SCATTERED]);
	preserve_sparse(session, fds[SPARSE]);
	preserve(session, SNAPSHOT, fds[SNAPSHOT]);
	ok(time_to_preserve(device, fds[PREPARED]) < time_to_preserve(device, fds[SCATTERED]),
	   "preserved faster", names[PREPARED]);
	preserve(session, PREPARED, fds[PREPARED]);
	preserve(session, SCATTERED, fds[SCATTERED]);
	/* To come too late does no harm. */
	ok(luo_memfd_prepare(fds[SCATTERED], LUO_PREPARE_ALL, NULL, NULL, NULL) == 0, "left alone",
	   "scattered");
	refuse_hugetlb(session);
	done();
	if (n_failed)
		return 1;
	if (daemon(1, 1) < 0)
		err(1, "daemon");
	for (;;)
		pause();
}

/* ---- after ----------------------------------------------------------------------------------- */

static int restore(int session, enum token token)
{
	uint64_t began = now_usec(CLOCK_MONOTONIC);
	int fd;

	must(luo_session_retrieve_fd(session, token, &fd), "restore");
	printf("# restoring took %" PRIu64 " us\n", now_usec(CLOCK_MONOTONIC) - began);
	return fd;
}

static int find(void)
{
	int prepared = make(PREPARED, SIZE), sparse = make(SPARSE, 4 * MIB);
	int device, session, fds[_TOKENS];

	must(luo_device_open(TIMEOUT, &device), "device");
	must(luo_session_retrieve(device, SESSION, &session), "session");
	for (enum token t = PREPARED; t < _TOKENS; t++)
		fds[t] = restore(session, t);
	fill(prepared, prepared);
	fill_sparse(sparse);
	ok(luo_memfd_equal(fds[PREPARED], prepared) == 1, "has the same content", names[PREPARED]);
	ok(luo_memfd_equal(fds[SPARSE], sparse) == 1, "has the same content", names[SPARSE]);
	ok(cost_of(fds[PREPARED]).huge == HUGE, "is in huge pages", names[PREPARED]);
	ok(luo_memfd_has_seals(fds[PREPARED], LUO_SEALS_SIZE) == 1, "is sealed", names[PREPARED]);
	ok(luo_memfd_has_seals(fds[SNAPSHOT], LUO_SEALS_CONSTANT) == 1, "is sealed", "snapshot");
	ok(luo_memfd_equal(fds[PREPARED], fds[SCATTERED]) == 1, "is as the other", "scattered");
	ok(luo_memfd_equal(fds[SPARSE], fds[SNAPSHOT]) == 1, "is as it was", "snapshot");
	must(luo_session_finish(session), "finish");
	ok(luo_memfd_grow(fds[SPARSE], 32 * MIB) == 0, "can grow again", names[SPARSE]);
	return done();
}

int main(int argc, char **argv)
{
	if (argc == 2 && streq(argv[1], "leave"))
		return leave();
	if (argc == 2 && streq(argv[1], "find"))
		return find();
	fprintf(stderr, "usage: luo-test-memfd leave|find\n");
	return 2;
}
