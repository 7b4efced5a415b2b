/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Counts the physically separate runs of pages of a file, because early boot of the next kernel
 * takes time in proportion to the square of that number.
 *
 * /proc/self/pagemap has the frame numbers of pages that our page tables know; window.c enters
 * those that are in memory.
 */

#include <fcntl.h>

#include <luo/inspect.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

#define ENTRIES         (size_t)16384 /* entries that are read at once */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN     ((UINT64_C(1) << 55) - 1)

int luo_run_counter_begin(struct luo_run_counter *c, int pagemap)
{
	*c = (struct luo_run_counter){ .pagemap = pagemap };
	c->entries = malloc(ENTRIES * sizeof(uint64_t));
	return c->entries ? 0 : -ENOMEM;
}

void luo_run_counter_end(struct luo_run_counter *c)
{
	free(TAKE_PTR(c->entries));
}

static int count_entries(struct luo_run_counter *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t frame = c->entries[i] & PAGEMAP_PFN;

		if (!(c->entries[i] & PAGEMAP_PRESENT))
			continue;
		if (frame == 0)
			return -EPERM;
		c->pages++;
		if (frame != c->last + 1 || c->last == 0)
			c->runs++;
		c->last = frame;
	}
	return 0;
}

int luo_run_counter_add(struct luo_run_counter *c, const struct luo_window *w)
{
	size_t page = page_size(), pages = w->size / page, done = 0;
	uint64_t first = (uintptr_t)w->address / page;

	while (done < pages) {
		size_t part = MIN2(pages - done, ENTRIES);
		ssize_t n = pread(c->pagemap, c->entries, part * sizeof(uint64_t),
				  (off_t)((first + done) * sizeof(uint64_t)));
		int r;

		if (n < 0)
			return -errno;
		if (n < (ssize_t)sizeof(uint64_t))
			break;
		r = count_entries(c, (size_t)n / sizeof(uint64_t));
		if (r < 0)
			return r;
		done += (size_t)n / sizeof(uint64_t);
	}
	return 0;
}

static int count_window(void *userdata, const struct luo_window *w)
{
	return luo_run_counter_add(userdata, w);
}

_public_ int luo_fd_count_runs(int fd, uint64_t *ret_pages, uint64_t *ret_runs)
{
	_cleanup_(luo_run_counter_end) struct luo_run_counter c = { 0 };
	_cleanup_extents_ struct luo_extents x = LUO_EXTENTS_NONE;
	_cleanup_close_ int pagemap = -EBADF;
	int r;

	if (!ret_pages || !ret_runs)
		return -EINVAL;
	r = luo_extents_open(fd, &x);
	if (r < 0)
		return r;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -errno;
	r = luo_run_counter_begin(&c, pagemap);
	if (r >= 0)
		r = luo_windows_with_data(&x, count_window, &c);
	if (r < 0)
		return r;
	*ret_pages = c.pages;
	*ret_runs = c.runs;
	return 0;
}
