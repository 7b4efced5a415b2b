/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Copies the data of a file and keeps its holes: 1 GiB with one page of data is copied in a
 * millisecond and stays one page.
 *
 * copy_file_range(2) copies inside the kernel, but only between files on one mount, as all memfds
 * are. sendfile(2) accepts other files, but writes at the offset of the destination, so no other
 * process may use that offset. Both return 0 for files of /proc and similar file systems, where
 * read(2) returns data. So 0 and every error mean to try the next way; the last one, read and
 * write, returns the real error.
 */

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/read-file.h"
#include "common/util.h"

#define COPY_CHUNK (size_t)(256 * 1024)
#define RANGE_MAX  (size_t)(64 << 20)

int luo_pread_all(int fd, void *data, size_t size, int64_t offset)
{
	ssize_t n = pread_full(fd, data, size, offset);

	if (n < 0)
		return (int)n;
	return (size_t)n < size ? -EIO : 0;
}

int luo_pwrite_all(int fd, const void *data, size_t size, int64_t offset)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = pwrite(fd, p, size, offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EIO;
		p += n;
		offset += n;
		size -= (size_t)n;
	}
	return 0;
}

enum method { BY_RANGE, BY_SENDFILE, BY_READING };

struct copier {
	int from, to;
	enum method method;
	bool own_offset; /* of the destination */
	char *buffer;
};

static ssize_t copy_by_range(struct copier *c, size_t size, int64_t at)
{
	loff_t in = at, out = at;

	return copy_file_range(c->from, &in, c->to, &out, size, 0);
}

static ssize_t copy_by_sendfile(struct copier *c, size_t size, int64_t at)
{
	off_t in = at;

	if (!c->own_offset || lseek(c->to, at, SEEK_SET) < 0)
		return -1;
	return sendfile(c->to, c->from, &in, size);
}

static ssize_t copy_by_reading(struct copier *c, size_t size, int64_t at)
{
	ssize_t n = pread_full(c->from, c->buffer, size, at);
	int r;

	if (n <= 0)
		return n;
	r = luo_pwrite_all(c->to, c->buffer, (size_t)n, at);
	return r < 0 ? r : n;
}

/* Bytes copied; 0 at the end of the file. */
static ssize_t copy_some(struct copier *c, int64_t at, int64_t end)
{
	while (c->method != BY_READING) {
		size_t want = (size_t)MIN2(end - at, (int64_t)RANGE_MAX);
		ssize_t n = c->method == BY_RANGE ? copy_by_range(c, want, at)
						  : copy_by_sendfile(c, want, at);

		if (n > 0)
			return n;
		if (n == 0 || errno != EINTR)
			c->method++;
	}
	return copy_by_reading(c, (size_t)MIN2(end - at, (int64_t)COPY_CHUNK), at);
}

/* @ret_end: where the data ended, at most @end */
static int copy_range(struct copier *c, int64_t begin, int64_t end, int64_t *ret_end)
{
	while (begin < end) {
		ssize_t n = copy_some(c, begin, end);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		begin += n;
	}
	*ret_end = begin;
	return 0;
}

int luo_copy_extents(struct luo_extents *from, int to, bool own_offset, uint64_t budget,
		     int64_t *ret_end)
{
	_cleanup_free_ char *buffer = malloc(COPY_CHUNK);
	struct copier c = {
		.from = from->fd, .to = to, .own_offset = own_offset, .buffer = buffer
	};
	int64_t at = 0;

	if (!buffer)
		return -ENOMEM;
	for (;;) {
		int64_t begin, end, copied = 0;
		int r = luo_extents_next(from, at, &begin, &end);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		if ((uint64_t)(end - begin) > budget)
			return -ENOMEM;
		budget -= (uint64_t)(end - begin);
		r = copy_range(&c, begin, end, &copied);
		if (r < 0)
			return r;
		if (copied < end) {
			*ret_end = copied;
			return 0;
		}
		at = end;
	}
	*ret_end = from->size;
	return 0;
}

/* Old content of @fd must not show in the holes. Punching works with size seals too. */
static int make_hole_of_size(int fd, off_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > 0 &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) < 0) {
		if (errno != EOPNOTSUPP)
			return -errno;
		if (ftruncate(fd, 0) < 0)
			return -errno;
		st.st_size = 0;
	}
	if (st.st_size != size && ftruncate(fd, size) < 0)
		return -errno;
	return 0;
}

/* @ret_own: a description without O_APPEND, with which pwrite(2) would append */
static int open_destination(int fd, const struct stat *from, int *ret_own)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (flags & O_PATH)
		return -EBADF;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_dev == from->st_dev && st.st_ino == from->st_ino)
		return -EINVAL;
	return flags & O_APPEND ? luo_memfd_reopen(fd, O_WRONLY, ret_own) : 0;
}

_public_ int luo_memfd_copy(int from_fd, int to_fd)
{
	_cleanup_extents_ struct luo_extents from = LUO_EXTENTS_NONE;
	_cleanup_close_ int own = -EBADF;
	int64_t end = 0;
	int to, r;

	r = luo_extents_open(from_fd, &from);
	if (r >= 0)
		r = open_destination(to_fd, &from.st, &own);
	if (r < 0)
		return r;
	to = own >= 0 ? own : to_fd;
	r = make_hole_of_size(to, from.size);
	if (r >= 0)
		r = luo_copy_extents(&from, to, own >= 0, UINT64_MAX, &end);
	if (r < 0)
		return r;
	return end < from.size ? -EIO : 0;
}
