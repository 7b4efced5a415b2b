/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Copying what a file has, and leaving holes where it has none: 1 GiB with one page of data is
 * copied in a millisecond, and stays one page.
 */

#include <fcntl.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include <libluo/memfd-internal.h>
#include <libluo/util.h>

int luo_pwrite_all(int fd, const void *data, size_t size, off_t offset)
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

#define COPY_CHUNK (size_t)(256 * 1024)

static int copy_range(int from, int to, off_t begin, off_t end, char *buffer)
{
	while (begin < end) {
		size_t want = MIN2(COPY_CHUNK, (size_t)(end - begin));
		ssize_t n = pread(from, buffer, want, begin);
		int r;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EIO; /* it shrank */
		r = luo_pwrite_all(to, buffer, (size_t)n, begin);
		if (r < 0)
			return r;
		begin += n;
	}
	return 0;
}

/* The next extent with data at or after @at; 0 if there is none. EINVAL: all is data. */
static int next_extent(int fd, off_t at, off_t size, off_t *ret_begin, off_t *ret_end)
{
	off_t begin, end;

	begin = lseek(fd, at, SEEK_DATA);
	if (begin < 0 && errno == EINVAL) {
		*ret_begin = at;
		*ret_end = size;
		return 1;
	}
	if (begin < 0)
		return errno == ENXIO ? 0 : -errno;
	end = lseek(fd, begin, SEEK_HOLE);
	if (end < 0)
		return errno == ENXIO ? -EIO : -errno; /* it shrank */
	*ret_begin = begin;
	*ret_end = MIN2(end, size);
	return begin < size;
}

static int copy_extents(int from, int to, off_t size)
{
	_cleanup_free_ char *buffer = malloc(COPY_CHUNK);
	off_t at = 0;

	if (!buffer)
		return -ENOMEM;
	while (at < size) {
		off_t begin = at, end = size;
		int r = next_extent(from, at, size, &begin, &end);

		if (r <= 0)
			return r;
		r = copy_range(from, to, begin, end, buffer);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

/* What was in @fd must not show through the holes. Punching works with size seals, too. */
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

/*
 * Finding the extents moves the offset, and pwrite(2) to an O_APPEND fd appends: both are
 * properties of the open file description, which others may share, so we work on our own. Where
 * that cannot be had (no /proc, or a mode that forbids it) the offset is put back afterwards.
 */
static int copy_with_offset_kept(int from, int to, off_t size)
{
	off_t offset = lseek(from, 0, SEEK_CUR);
	int r;

	if (offset < 0)
		return -errno;
	r = copy_extents(from, to, size);
	if (lseek(from, offset, SEEK_SET) < 0 && r == 0)
		r = -errno;
	return r;
}

_public_ int luo_memfd_copy(int from_fd, int to_fd)
{
	_cleanup_close_ int from = -EBADF, to = -EBADF;
	struct stat from_st, to_st;
	int flags, r;

	if (fstat(from_fd, &from_st) < 0 || fstat(to_fd, &to_st) < 0)
		return -errno;
	if (!S_ISREG(from_st.st_mode) || !S_ISREG(to_st.st_mode))
		return -EINVAL;
	if (from_st.st_dev == to_st.st_dev && from_st.st_ino == to_st.st_ino)
		return -EINVAL;
	flags = fcntl(to_fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (flags & O_APPEND) {
		r = luo_memfd_reopen(to_fd, O_WRONLY, &to);
		if (r < 0)
			return r;
		to_fd = to;
	}
	r = make_hole_of_size(to_fd, from_st.st_size);
	if (r < 0)
		return r;
	r = luo_memfd_reopen(from_fd, O_RDONLY, &from);
	if (r < 0)
		return copy_with_offset_kept(from_fd, to_fd, from_st.st_size);
	return copy_extents(from, to_fd, from_st.st_size);
}
