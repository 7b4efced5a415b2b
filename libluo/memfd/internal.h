/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_MEMFD_INTERNAL_H
#define LIBLUO_MEMFD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct luo_memfd_options;
struct luo_memfd_cost;

/* The name of the memfd @fd, whose link and status are known; -ENOTTY if it is not a memfd. */
int luo_memfd_name_of(int fd, const char *link, const struct stat *st, char *buffer, size_t size);

/* Whether @fd lies on a hugetlbfs; in inspect.c. */
bool luo_fd_is_hugetlb(int fd);

/* Bytes of a transparent huge page; in huge-page.c. */
size_t luo_huge_page_size(void);

/* ---- making; in memfd.c ---------------------------------------------------------------------- */

/* Copies options that a caller allocated; those of luo_memfd_create(NULL, ...) for NULL. */
int luo_memfd_options_read(const struct luo_memfd_options *from, struct luo_memfd_options *ret);

/* Everything but the seals. */
int luo_memfd_create_unsealed(const struct luo_memfd_options *o, int *ret_fd);

/* Moves @fd into @ret_fd when the seals are added. */
int luo_memfd_seal_and_return(int *fd, unsigned seals, int *ret_fd);

/* ---- cost; in cost.c ------------------------------------------------------------------------- */

/* For structs that a caller allocated, see common/sized-struct.h: first check, then return. */
int luo_memfd_cost_check(const struct luo_memfd_cost *ret);
void luo_memfd_cost_return(struct luo_memfd_cost *ret, const struct luo_memfd_cost *cost);

/* ---- extents; in extents.c ------------------------------------------------------------------- */

/*
 * A regular file and where it has data. Finding that moves the file offset, which other processes
 * may share, so the file is reopened; where that is not possible, the offset is restored at the
 * end.
 */
struct luo_extents {
	int fd;         /* to read from */
	int own_fd;     /* -EBADF if it could not be reopened */
	int64_t offset; /* offset to restore, if the description is shared */
	int64_t size;   /* size when it was opened; data beyond it is ignored */
	int64_t known_from, known_begin, known_end; /* no data before begin, then data up to end */
	struct stat st;
};

#define LUO_EXTENTS_NONE  ((struct luo_extents){ .fd = -EBADF, .own_fd = -EBADF, .offset = -1 })
#define _cleanup_extents_ _cleanup_(luo_extents_close)

/* -EINVAL if it is not a regular file, -EBADF also for O_PATH. */
int luo_extents_open(int fd, struct luo_extents *ret);
void luo_extents_close(struct luo_extents *x);

/* Forgets the cached extent, because writers or filled holes may have changed it. */
void luo_extents_forget(struct luo_extents *x);

/*
 * Returns 1 and the next extent with data at or after @at; 0 if there is none; -EIO if the file
 * shrank.
 */
int luo_extents_next(struct luo_extents *x, int64_t at, int64_t *ret_begin, int64_t *ret_end);

/* ---- copying; in copy.c ---------------------------------------------------------------------- */

/* Copies all bytes or returns an error. */
int luo_pread_all(int fd, void *data, size_t size, int64_t offset);
int luo_pwrite_all(int fd, const void *data, size_t size, int64_t offset);

/*
 * Copies the data of @from to the same offsets in @to, which has holes there. -ENOMEM if it is more
 * than @budget bytes. @own_offset: no other process uses the offset of @to, so it may be moved.
 * @ret_end: where the file ended if that is before its size, else its size
 */
int luo_copy_extents(struct luo_extents *from, int to, bool own_offset, uint64_t budget,
		     int64_t *ret_end);

/* ---- windows; in window.c -------------------------------------------------------------------- */

/*
 * A part of a file that is mapped read-only, aligned so that huge folios are mapped as such. The
 * part that is in memory is entered into our page tables; nothing else is touched.
 */
struct luo_window {
	char *address;
	size_t size;   /* whole pages */
	int64_t begin; /* in the file */
};

static inline int64_t luo_window_end(const struct luo_window *w)
{
	return w->begin + (int64_t)w->size;
}

/* Rounds up to a multiple of @unit; values near 2^63 are rounded down. */
static inline int64_t luo_round_up(int64_t n, size_t unit)
{
	uint64_t up = ((uint64_t)n + unit - 1) / unit * unit;

	return (int64_t)(up > INT64_MAX ? up - unit : up);
}

/* The callback must not touch the memory: the file may have been truncated. */
typedef int (*luo_window_fn)(void *userdata, const struct luo_window *window);

/* Calls @look for each window with data, until it returns an error. */
int luo_windows_with_data(struct luo_extents *x, luo_window_fn look, void *userdata);

/* Covers the whole file without entering anything into the page tables. */
int luo_windows(struct luo_extents *x, luo_window_fn look, void *userdata);

/* ---- runs; in runs.c ------------------------------------------------------------------------- */

struct luo_run_counter {
	int pagemap; /* /proc/self/pagemap; not ours */
	uint64_t *entries;
	uint64_t last; /* frame of the previous page; 0: none */
	uint64_t pages;
	uint64_t runs;
};

int luo_run_counter_begin(struct luo_run_counter *c, int pagemap);
void luo_run_counter_end(struct luo_run_counter *c);

/* Takes windows in their order. -EPERM if the kernel hides physical addresses from this process. */
int luo_run_counter_add(struct luo_run_counter *c, const struct luo_window *w);

#endif
