/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Makes a file fast to preserve: does before the blackout what the kernel would do in it.
 *
 * Everything uses a read-only mapping of our own, so nothing in the file can change, and seals or
 * an fd without write access are not in the way. Reading a hole of shmem fills it with a page of
 * zeros. MADV_COLLAPSE moves the pages of one huge page into one huge folio, whatever shmem_enabled
 * says (except "deny"). A part of the file that is smaller than a huge page keeps small pages,
 * because most of a huge folio would be wasted.
 */

#include <sys/mman.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define PREPARED_FIRST_SIZE SIZE_UP_TO(struct luo_memfd_prepared, collapse_error)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define ALL_FLAGS (unsigned)LUO_PREPARE_ALL

struct work {
	struct luo_extents *x;
	size_t page, huge;
	int error; /* the first */
};

static int advise(char *p, size_t size, int advice)
{
	int r;

	do
		r = madvise(p, size, advice);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void note(struct work *k, int error)
{
	if (error < 0 && k->error == 0)
		k->error = error;
}

/* ---- holes ----------------------------------------------------------------------------------- */

static int fill_window(void *userdata, const struct luo_window *w)
{
	struct work *k = userdata;
	int64_t at = w->begin, stop = luo_window_end(w);

	(void)madvise(w->address, w->size, MADV_HUGEPAGE); /* holes that are large enough */
	while (at < stop) {
		int64_t begin = stop, end = stop, hole;
		int r = luo_extents_next(k->x, at, &begin, &end);

		if (r < 0)
			return r;
		hole = MIN2(r == 0 ? stop : begin - begin % (int64_t)k->page, stop);
		if (hole > at) {
			r = advise(w->address + (at - w->begin), (size_t)(hole - at),
				   MADV_POPULATE_READ);
			if (r < 0)
				return r;
		}
		at = r == 0 && hole == stop ? stop : luo_round_up(end, k->page);
	}
	return 0;
}

/* ---- huge folios ----------------------------------------------------------------------------- */

/* 1 if the part has no hole, so that collapsing need not fill anything. */
static int is_all_data(struct work *k, int64_t at)
{
	int64_t begin, end;
	int r = luo_extents_next(k->x, at, &begin, &end);

	if (r <= 0)
		return r;
	return begin <= at && end - at >= (int64_t)k->huge;
}

static int collapse_window(void *userdata, const struct luo_window *w)
{
	struct work *k = userdata;

	for (size_t at = 0; at + k->huge <= w->size; at += k->huge) {
		int r = is_all_data(k, w->begin + (int64_t)at);

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		r = advise(w->address + at, k->huge, MADV_COLLAPSE);
		note(k, r);
		/* The next one may succeed: this one is in use or locked right now. */
		if (r < 0 && r != -EAGAIN && r != -EBUSY)
			return r;
	}
	return 0;
}

/* ---------------------------------------------------------------------------------------------- */

static int do_work(struct luo_extents *x, bool fill, int *ret_error)
{
	struct work k = {
		.x = x,
		.page = page_size(),
		.huge = luo_huge_page_size(),
	};
	int r;

	luo_extents_forget(x);
	r = fill ? luo_windows(x, fill_window, &k) : luo_windows_with_data(x, collapse_window, &k);
	note(&k, r);
	*ret_error = k.error;
	return r;
}

static int check_room(const struct luo_memfd_cost *cost)
{
	struct luo_memory_room room = { .struct_size = sizeof(room) };

	if (cost->holes == 0 || luo_memory_room(&room) < 0)
		return 0;
	return cost->holes > room.bytes ? -ENOMEM : 0;
}

static int prepare(int fd, unsigned flags, bool has_holes, struct luo_memfd_prepared *p)
{
	_cleanup_extents_ struct luo_extents x = LUO_EXTENTS_NONE;
	int r;

	r = luo_extents_open(fd, &x);
	if (r < 0)
		return r;
	if ((flags & LUO_PREPARE_FILL_HOLES) && has_holes)
		(void)do_work(&x, true, &p->fill_error);
	if (flags & LUO_PREPARE_COLLAPSE)
		(void)do_work(&x, false, &p->collapse_error);
	return 0;
}

_public_ int luo_memfd_prepare(int fd, unsigned flags, struct luo_memfd_cost *ret_before,
			       struct luo_memfd_cost *ret_after,
			       struct luo_memfd_prepared *ret_prepared)
{
	struct luo_memfd_prepared p = { .struct_size = sizeof(p) };
	struct luo_memfd_cost before = { .struct_size = sizeof(before) };
	struct luo_memfd_cost after = { .struct_size = sizeof(after) };
	int r = 0;

	if (flags & ~ALL_FLAGS)
		return -EINVAL;
	if (ret_prepared)
		r = sized_struct_check(ret_prepared, PREPARED_FIRST_SIZE);
	if (r >= 0 && ret_before)
		r = luo_memfd_cost_check(ret_before);
	if (r >= 0 && ret_after)
		r = luo_memfd_cost_check(ret_after);
	if (r >= 0)
		r = luo_memfd_cost(fd, &before);
	if (r < 0)
		return r;
	if (before.cost_class == LUO_COST_REFUSED)
		return -EOPNOTSUPP;
	if (flags & LUO_PREPARE_FILL_HOLES) {
		r = check_room(&before);
		if (r < 0)
			return r;
	}
	r = prepare(fd, flags, before.holes > 0, &p);
	if (r >= 0 && ret_after)
		r = luo_memfd_cost(fd, &after);
	if (r < 0)
		return r;
	if (ret_before)
		luo_memfd_cost_return(ret_before, &before);
	if (ret_after)
		luo_memfd_cost_return(ret_after, &after);
	if (ret_prepared)
		(void)sized_struct_return(ret_prepared, PREPARED_FIRST_SIZE, &p, sizeof(p));
	return 0;
}
