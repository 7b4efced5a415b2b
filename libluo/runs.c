/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How many physically separate runs of pages a file has: early boot of the next kernel pays for
 * the square of it.
 *
 * /proc/self/pagemap has the frame numbers, of pages that our page tables know. So each window of
 * the file is mapped, and the pages that mincore(2) finds in memory are entered into the page
 * tables. To touch anything else would fill a hole with memory.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <libluo/util.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define WINDOW_PAGES    (size_t)16384
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN     ((UINT64_C(1) << 55) - 1)

struct counter {
	int pagemap;
	size_t page_size;
	unsigned char *in_core; /* WINDOW_PAGES each */
	uint64_t *entries;
	uint64_t last; /* frame of the page before, 0: none */
	uint64_t pages;
	uint64_t runs;
};

static int populate_in_core(struct counter *c, char *window, size_t pages)
{
	size_t i = 0;

	if (mincore(window, pages * c->page_size, c->in_core) < 0)
		return -errno;
	while (i < pages) {
		size_t begin = i;

		while (i < pages && (c->in_core[i] & 1))
			i++;
		if (i > begin && madvise(window + begin * c->page_size, (i - begin) * c->page_size,
					 MADV_POPULATE_READ) < 0)
			return -errno;
		if (i == begin)
			i++;
	}
	return 0;
}

static int count_entries(struct counter *c, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		uint64_t frame = c->entries[i] & PAGEMAP_PFN;

		if (!(c->entries[i] & PAGEMAP_PRESENT))
			continue;
		if (frame == 0)
			return -EPERM; /* hidden from us */
		c->pages++;
		if (frame != c->last + 1 || c->last == 0)
			c->runs++;
		c->last = frame;
	}
	return 0;
}

static int count_mapped(struct counter *c, char *window, size_t pages)
{
	uint64_t at = (uintptr_t)window / c->page_size * sizeof(uint64_t);
	ssize_t n;
	int r;

	r = populate_in_core(c, window, pages);
	if (r < 0)
		return r;
	n = pread(c->pagemap, c->entries, pages * sizeof(uint64_t), (off_t)at);
	if (n < 0)
		return -errno;
	return count_entries(c, (size_t)n / sizeof(uint64_t));
}

static int count_window(struct counter *c, int fd, off_t offset, size_t pages)
{
	size_t size = pages * c->page_size;
	char *window = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, offset);
	int r;

	if (window == MAP_FAILED && errno == EPERM) /* write-sealed, kernel before 6.7 */
		window = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, offset);
	if (window == MAP_FAILED)
		return -errno;
	r = count_mapped(c, window, pages);
	munmap(window, size);
	return r;
}

/* 1 and where the next data is; 0 if there is none. */
static int next_data(int fd, uint64_t at, uint64_t *ret_data)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	*ret_data = (uint64_t)data;
	return 1;
}

static int count_file(struct counter *c, int shared_fd, uint64_t size)
{
	uint64_t end = (size + c->page_size - 1) / c->page_size * c->page_size, at = 0;

	_cleanup_close_ int fd = -EBADF;
	int r;

	/* A position of our own: the service shares the other one with us. */
	r = luo_memfd_reopen(shared_fd, O_RDONLY, &fd);
	if (r < 0)
		return r;
	while (at < end) {
		uint64_t data = 0;
		size_t pages;

		/* A file may be nothing but hole, and larger than could be walked in a lifetime. */
		r = next_data(fd, at, &data);
		if (r <= 0)
			return r;
		at = data / c->page_size * c->page_size;
		if (at >= end)
			return 0;
		pages = (size_t)MIN2((end - at) / c->page_size, (uint64_t)WINDOW_PAGES);
		r = count_window(c, fd, (off_t)at, pages);
		if (r < 0)
			return r;
		at += pages * c->page_size;
	}
	return 0;
}

_public_ int luo_fd_count_runs(int fd, uint64_t *ret_pages, uint64_t *ret_runs)
{
	_cleanup_free_ unsigned char *in_core = malloc(WINDOW_PAGES);
	_cleanup_free_ uint64_t *entries = malloc(WINDOW_PAGES * sizeof(uint64_t));
	_cleanup_close_ int pagemap = -EBADF;
	struct counter c = { .page_size = (size_t)sysconf(_SC_PAGESIZE) };
	struct stat st;
	int r;

	if (!ret_pages || !ret_runs)
		return -EINVAL;
	if (!in_core || !entries)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -errno;
	c.pagemap = pagemap;
	c.in_core = in_core;
	c.entries = entries;
	r = count_file(&c, fd, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	*ret_pages = c.pages;
	*ret_runs = c.runs;
	return 0;
}
