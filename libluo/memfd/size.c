/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Reads the size of a file, and changes it in one direction only. */

#include <fcntl.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "common/util.h"

_public_ int luo_memfd_get_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (!ret_size)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* ftruncate(2) returns EINVAL here, which has another meaning for our callers. */
static int writable_size(int fd, uint64_t *ret_size)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return luo_memfd_get_size(fd, ret_size);
}

static int truncate_to(int fd, uint64_t size)
{
	int r;

	do
		r = ftruncate(fd, (off_t)size);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/*
 * Reading the size and then calling ftruncate(2) would cut off what another process adds in
 * between. fallocate(2) cannot do that: it allocates the last byte, and the file then has at least
 * that size.
 */
_public_ int luo_memfd_grow(int fd, uint64_t size)
{
	uint64_t now;
	int r;

	r = writable_size(fd, &now);
	if (r < 0)
		return r;
	if (size > INT64_MAX)
		return -EFBIG;
	if (size <= now)
		return 0;
	do
		r = fallocate(fd, 0, (off_t)(size - 1), 1);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EOPNOTSUPP) /* a file system without fallocate; never a memfd */
		return truncate_to(fd, size);
	return r < 0 ? -errno : 0;
}

_public_ int luo_memfd_shrink(int fd, uint64_t size)
{
	uint64_t now;
	int r;

	r = writable_size(fd, &now);
	if (r < 0)
		return r;
	return size >= now ? 0 : truncate_to(fd, size);
}
