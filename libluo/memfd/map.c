/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Maps a memfd, and reopens it with other access. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "common/util.h"

static void *map_read(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	/*
	 * Before 6.7 a write-sealed file cannot be mapped shared through a writable fd, even for
	 * reading. Nothing can change in it, so a private mapping shows the same.
	 */
	if (p == MAP_FAILED && errno == EPERM)
		p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	return p;
}

static void *map_as(int fd, unsigned how, size_t size)
{
	switch (how) {
	case LUO_MAP_READ:
		return map_read(fd, size);
	case LUO_MAP_SHARED:
		return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	default:
		return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	}
}

/* Read the seals first, so that they still hold when the size is read. */
static int size_to_map(int fd, bool may_shrink, uint64_t *ret_size)
{
	uint64_t size;
	int fixed, r;

	fixed = luo_memfd_has_seals(fd, LUO_SEAL_SHRINK);
	if (fixed < 0)
		return fixed;
	r = luo_memfd_get_size(fd, &size);
	if (r < 0)
		return r;
	if (size > 0 && !fixed && !may_shrink)
		return -EPERM;
	if (size > SIZE_MAX)
		return -EFBIG;
	*ret_size = size;
	return 0;
}

_public_ int luo_memfd_map(int fd, unsigned how, void **ret_address, size_t *ret_size)
{
	bool may_shrink = how & LUO_MAP_MAY_SHRINK;
	uint64_t size;
	void *p = NULL;
	int r;

	how &= ~(unsigned)LUO_MAP_MAY_SHRINK;
	if (!ret_address || !ret_size || how > LUO_MAP_PRIVATE)
		return -EINVAL;
	r = size_to_map(fd, may_shrink, &size);
	if (r < 0)
		return r;
	if (size > 0) {
		p = map_as(fd, how, (size_t)size);
		if (p == MAP_FAILED)
			return -errno;
	}
	*ret_address = p;
	*ret_size = (size_t)size;
	return 0;
}

/*
 * A process with access to the file can take a lease on it (fcntl(2)). open(2) then waits, 45 s by
 * default. With O_NONBLOCK it does not wait; for a regular file that flag has no other effect.
 */
static int open_at_once(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, flags & O_APPEND) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

_public_ int luo_memfd_reopen(int fd, int flags, int *ret_fd)
{
	char path[sizeof("/proc/self/fd/") + 11];
	struct stat st;
	int copy;

	if ((flags & ~(O_ACCMODE | O_APPEND)) || (flags & O_ACCMODE) == O_ACCMODE || !ret_fd)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) /* reopening a device or a FIFO has side effects */
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open_at_once(path, flags);
	if (copy < 0)
		return copy;
	*ret_fd = copy;
	return 0;
}
