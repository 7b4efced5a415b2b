/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Makes a memfd with the content of a buffer or an fd.
 *
 * The fd may be foreign. A regular file has the size that it reports at the start, and a stream
 * ends at a limit: either the caller's, or half of the available memory. More than that would not
 * cause an error but the end of this process or another one.
 */

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

#define CHUNK (size_t)(256 * 1024)

_public_ int luo_memfd_new_from_data(const struct luo_memfd_options *options, const void *data,
				     size_t size, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	struct luo_memfd_options o;
	int r;

	if ((!data && size > 0) || !ret_fd)
		return -EINVAL;
	r = luo_memfd_options_read(options, &o);
	if (r < 0)
		return r;
	if (o.size != 0 && o.size < size)
		return -EINVAL;
	o.size = MAX2(o.size, (uint64_t)size);
	r = luo_memfd_create_unsealed(&o, &fd);
	if (r >= 0)
		r = luo_pwrite_all(fd, data, size, 0);
	if (r < 0)
		return r;
	return luo_memfd_seal_and_return(&fd, o.seals, ret_fd);
}

_public_ int luo_memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd)
{
	const struct luo_memfd_options options = {
		.struct_size = sizeof(options),
		.name = name,
		.seals = LUO_SEALS_CONSTANT,
	};

	return luo_memfd_new_from_data(&options, data, size, ret_fd);
}

/* ---- limits ---------------------------------------------------------------------------------- */

struct limit {
	uint64_t size;  /* more is -EFBIG */
	uint64_t bytes; /* memory; more is -ENOMEM */
};

static struct limit limit_of(uint64_t size)
{
	struct limit limit = { .size = size ?: UINT64_MAX, .bytes = UINT64_MAX };
	struct luo_memory_room room = { .struct_size = sizeof(room) };

	if (luo_memory_room(&room) == 0)
		limit.bytes = size ? room.bytes : room.bytes / 2;
	return limit;
}

/* One byte beyond the limit may be read, to detect that there is more. */
static size_t next_size(const struct limit *limit, uint64_t done, size_t most)
{
	uint64_t left = MIN2(limit->size, limit->bytes) - done;

	return left < most ? (size_t)left + 1 : most;
}

static int check_limit(const struct limit *limit, uint64_t done)
{
	if (done > limit->size)
		return -EFBIG;
	return done > limit->bytes ? -ENOMEM : 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream {
	int from, to;
	bool by_reading; /* not a pipe, so splice(2) is not possible */
	uint64_t done;
	char *buffer;
};

static ssize_t take_once(struct stream *s, size_t size)
{
	loff_t at = (loff_t)s->done;
	ssize_t n;
	int r;

	if (!s->by_reading) {
		n = splice(s->from, NULL, s->to, &at, size, 0);
		if (n >= 0 || errno != EINVAL)
			return n < 0 ? -errno : n;
		s->by_reading = true;
	}
	n = read(s->from, s->buffer, MIN2(size, CHUNK));
	if (n <= 0)
		return n < 0 ? -errno : 0;
	r = luo_pwrite_all(s->to, s->buffer, (size_t)n, (int64_t)s->done);
	return r < 0 ? r : n;
}

/* Wait for a non-blocking fd; a blocking one returns EAGAIN when its SO_RCVTIMEO has passed. */
static int wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK))
		return -EAGAIN;
	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t take_some(struct stream *s, size_t size)
{
	for (;;) {
		ssize_t n = take_once(s, size);
		int r;

		if (n == -EINTR)
			continue;
		if (n != -EAGAIN)
			return n;
		r = wait_for(s->from);
		if (r < 0)
			return r;
	}
}

static int copy_stream(int from, int to, const struct limit *limit)
{
	_cleanup_free_ char *buffer = malloc(CHUNK);
	struct stream s = { .from = from, .to = to, .buffer = buffer };

	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t n = take_some(&s, next_size(limit, s.done, CHUNK));
		int r;

		if (n <= 0)
			return (int)n;
		s.done += (uint64_t)n;
		r = check_limit(limit, s.done);
		if (r < 0)
			return r;
	}
}

static int new_from_stream(const struct luo_memfd_options *o, int from, const struct limit *limit,
			   int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = luo_memfd_create_unsealed(o, &fd);
	if (r >= 0)
		r = copy_stream(from, fd, limit);
	if (r < 0)
		return r;
	/* The size was unknown before. */
	if (o->flags & LUO_MEMFD_HUGEPAGE)
		(void)luo_memfd_prepare(fd, LUO_PREPARE_COLLAPSE, NULL, NULL, NULL);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The file ended before its size. Either it shrank, or it never had that size, as files of /sys. */
static int cut_off(const struct luo_extents *from, int to, int64_t end)
{
	struct stat st;

	if (fstat(from->fd, &st) < 0)
		return -errno;
	if (st.st_size < from->size)
		return -EIO;
	return ftruncate(to, end) < 0 ? -errno : 0;
}

static int new_from_extents(const struct luo_memfd_options *options, struct luo_extents *from,
			    const struct limit *limit, int *ret_fd)
{
	struct luo_memfd_options o = *options;
	_cleanup_close_ int fd = -EBADF;
	int64_t end = 0;
	int r;

	o.size = (uint64_t)from->size;
	if (o.size > limit->size)
		return -EFBIG;
	r = luo_memfd_create_unsealed(&o, &fd);
	if (r >= 0)
		r = luo_copy_extents(from, fd, true, limit->bytes, &end);
	if (r >= 0 && end < from->size)
		r = cut_off(from, fd, end);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int new_from_file(const struct luo_memfd_options *o, int from, const struct limit *limit,
			 int *ret_fd)
{
	_cleanup_extents_ struct luo_extents x = LUO_EXTENTS_NONE;
	int r;

	r = luo_extents_open(from, &x);
	if (r < 0)
		return r;
	if (x.size > 0)
		return new_from_extents(o, &x, limit, ret_fd);
	/* Empty, or a file of /proc, whose size is known only after reading it. */
	(void)lseek(x.fd, 0, SEEK_SET);
	return new_from_stream(o, x.fd, limit, ret_fd);
}

static int new_from_any(const struct luo_memfd_options *o, int from, uint64_t size, int *ret_fd)
{
	struct limit limit = limit_of(size);
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return new_from_file(o, from, &limit, ret_fd);
	return new_from_stream(o, from, &limit, ret_fd);
}

_public_ int luo_memfd_new_from_fd(const struct luo_memfd_options *options, int from,
				   uint64_t limit, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	struct luo_memfd_options o;
	int r;

	if (!ret_fd)
		return -EINVAL;
	r = luo_memfd_options_read(options, &o);
	if (r >= 0 && o.size != 0)
		r = -EINVAL;
	if (r >= 0)
		r = new_from_any(&o, from, limit, &fd);
	if (r < 0)
		return r;
	/* Writing moved the offset; the receiver starts to read at the beginning. */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return luo_memfd_seal_and_return(&fd, o.seals, ret_fd);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Reading the timestamp makes the kernel record the next change exactly, since 6.13. */
static bool same_state(const struct stat *a, const struct stat *b)
{
	if (!S_ISREG(a->st_mode))
		return true;
	return a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) &&
	       same_time(a->st_ctim, b->st_ctim);
}

_public_ int luo_memfd_snapshot(const char *name, int from, uint64_t limit, int *ret_fd)
{
	const struct luo_memfd_options options = {
		.struct_size = sizeof(options),
		.name = name,
		.seals = LUO_SEALS_CONSTANT,
	};
	_cleanup_close_ int fd = -EBADF;
	struct stat before, after;
	int r;

	if (!ret_fd)
		return -EINVAL;
	if (fstat(from, &before) < 0)
		return -errno;
	r = luo_memfd_new_from_fd(&options, from, limit, &fd);
	if (r < 0 && r != -EIO)
		return r;
	if (fstat(from, &after) < 0)
		return -errno;
	if (!same_state(&before, &after))
		return -EBUSY;
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
