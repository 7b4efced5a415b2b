/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Finds where a file has data and where it has holes. */

#include <fcntl.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

int luo_extents_open(int fd, struct luo_extents *ret)
{
	struct luo_extents x = LUO_EXTENTS_NONE;
	int flags = fcntl(fd, F_GETFL), r;

	if (flags < 0 || fstat(fd, &x.st) < 0)
		return -errno;
	/* Reopening through /proc could exceed the access that the giver of the fd had. */
	if (flags & O_PATH)
		return -EBADF;
	if (!S_ISREG(x.st.st_mode))
		return -EINVAL;
	x.size = x.st.st_size;
	r = luo_memfd_reopen(fd, O_RDONLY, &x.own_fd);
	if (r < 0) {
		if ((flags & O_ACCMODE) == O_WRONLY)
			return r;
		x.offset = lseek(fd, 0, SEEK_CUR);
		if (x.offset < 0)
			return -errno;
	}
	x.fd = x.own_fd >= 0 ? x.own_fd : fd;
	*ret = x;
	return 0;
}

void luo_extents_close(struct luo_extents *x)
{
	if (x->offset >= 0)
		(void)lseek(x->fd, x->offset, SEEK_SET);
	safe_close(x->own_fd);
	*x = LUO_EXTENTS_NONE;
}

/* The kernel walks over every page, so each extent is requested only once. */
static int find_next(struct luo_extents *x, int64_t at)
{
	off_t begin, end;

	begin = lseek(x->fd, at, SEEK_DATA);
	if (begin < 0 && errno == EINVAL) { /* no support for holes: all of it is data */
		begin = at;
		end = x->size;
	} else if (begin < 0 && errno != ENXIO) {
		return -errno;
	} else if (begin < 0 || begin >= x->size) {
		begin = end = x->size; /* end of the file */
	} else {
		end = lseek(x->fd, begin, SEEK_HOLE);
		if (end < 0)
			return errno == ENXIO ? -EIO : -errno;
	}
	x->known_from = at;
	x->known_begin = begin;
	x->known_end = MIN2(end, x->size);
	return 0;
}

void luo_extents_forget(struct luo_extents *x)
{
	x->known_from = x->known_begin = x->known_end = 0;
}

int luo_extents_next(struct luo_extents *x, int64_t at, int64_t *ret_begin, int64_t *ret_end)
{
	bool known = at >= x->known_from && (at < x->known_end || x->known_begin == x->size);
	int r;

	if (at >= x->size)
		return 0;
	if (!known) {
		r = find_next(x, at);
		if (r < 0)
			return r;
	}
	if (x->known_begin == x->size)
		return 0;
	*ret_begin = MAX2(x->known_begin, at);
	*ret_end = x->known_end;
	return 1;
}
