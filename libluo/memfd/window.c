/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Maps a file window by window, to find out how its memory is laid out, or to change that.
 *
 * Page tables show only pages that were entered into them, by touching. Touching a hole fills it
 * with memory, and touching a page that is swapped out reads it in. So only pages are entered that
 * SEEK_DATA reports as data and mincore(2) finds in memory. mincore(2) alone is not enough: for a
 * file that is neither ours nor writable it reports every page. The kernel does the touching
 * (MADV_POPULATE_READ), because a file that was truncated meanwhile gives it an error, and would
 * give us SIGBUS.
 */

#include <sys/mman.h>

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define WINDOW_SIZE ((size_t)64 << 20)

struct walk {
	struct luo_extents *x;
	size_t page, size; /* size of a window, a multiple of a huge page */
	char *area;        /* an address range of that size, aligned to a huge page */
	unsigned char *in_core;
	luo_window_fn look;
	void *userdata;
};

static int populate(char *p, size_t size)
{
	int r;

	do
		r = madvise(p, size, MADV_POPULATE_READ);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int enter_in_core(struct walk *k, char *p, size_t size)
{
	size_t pages = size / k->page, i = 0;

	if (mincore(p, size, k->in_core) < 0)
		return -errno;
	while (i < pages) {
		size_t begin = i;
		int r;

		while (i < pages && (k->in_core[i] & 1))
			i++;
		if (i > begin) {
			r = populate(p + begin * k->page, (i - begin) * k->page);
			if (r < 0)
				return r == -EFAULT ? -EIO : r;
		} else {
			i++;
		}
	}
	return 0;
}

static int enter_data(struct walk *k, const struct luo_window *w)
{
	int64_t at = w->begin, stop = luo_window_end(w), begin, end;

	while (at < stop) {
		int r = luo_extents_next(k->x, at, &begin, &end);

		if (r < 0)
			return r;
		if (r == 0 || begin >= stop)
			break;
		begin -= begin % (int64_t)k->page;
		end = MIN2(luo_round_up(end, k->page), stop);
		r = enter_in_core(k, w->address + (begin - w->begin), (size_t)(end - begin));
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

static int map_window(struct walk *k, int64_t begin, struct luo_window *ret)
{
	int64_t end = luo_round_up(k->x->size, k->page);
	size_t size = (size_t)MIN2(end - begin, (int64_t)k->size);
	char *p = mmap(k->area, size, PROT_READ, MAP_SHARED | MAP_FIXED, k->x->fd, begin);

	if (p == MAP_FAILED && errno == EPERM) /* write-sealed, kernel before 6.7 */
		p = mmap(k->area, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, k->x->fd, begin);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct luo_window){ .address = p, .size = size, .begin = begin };
	return 0;
}

static int visit(struct walk *k, int64_t begin, bool enter)
{
	struct luo_window w;
	int r;

	r = map_window(k, begin, &w);
	if (r >= 0 && enter)
		r = enter_data(k, &w);
	return r < 0 ? r : k->look(k->userdata, &w);
}

static int visit_all(struct walk *k, bool data_only)
{
	int64_t at = 0;

	while (at < k->x->size) {
		int64_t begin = at, end;
		int r;

		/* A file may consist of a hole that is too large to walk. */
		if (data_only) {
			r = luo_extents_next(k->x, at, &begin, &end);
			if (r <= 0)
				return r;
			begin -= begin % (int64_t)luo_huge_page_size();
			begin = MAX2(begin, at);
		}
		r = visit(k, begin, data_only);
		if (r < 0)
			return r;
		if (begin > INT64_MAX - (int64_t)k->size)
			break;
		at = begin + (int64_t)k->size;
	}
	return 0;
}

static int walk(struct luo_extents *x, luo_window_fn look, void *userdata, bool data_only)
{
	size_t huge = luo_huge_page_size(), total;
	struct walk k = {
		.x = x,
		.page = page_size(),
		.size = MAX2(huge, WINDOW_SIZE),
		.look = look,
		.userdata = userdata,
	};
	_cleanup_free_ unsigned char *in_core = malloc(k.size / k.page);
	char *area;
	int r;

	if (!in_core)
		return -ENOMEM;
	total = k.size + huge;
	area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -errno;
	k.in_core = in_core;
	k.area = area + (huge - (uintptr_t)area % huge) % huge;
	r = visit_all(&k, data_only);
	munmap(area, total);
	return r;
}

int luo_windows_with_data(struct luo_extents *x, luo_window_fn look, void *userdata)
{
	return walk(x, look, userdata, true);
}

int luo_windows(struct luo_extents *x, luo_window_fn look, void *userdata)
{
	return walk(x, look, userdata, false);
}
