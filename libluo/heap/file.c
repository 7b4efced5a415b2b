/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The file under the heap: extends it, and gives memory back to the system.
 *
 * On a file system that can be full, a page that was never written is a hole, and writing to it
 * raises SIGBUS when there is no room. So pages are allocated there before use. A memfd has no such
 * limit (the limit of a memory cgroup kills the process in any case).
 */

#include <fcntl.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "libluo/heap/internal.h"
#include "common/util.h"

bool heap_file_is_limited(int fd)
{
	return luo_fd_is_memfd(fd) != 1;
}

/* EPERM: in a LUO session, or sealed. */
static int translate(int fd, int error)
{
	unsigned seals;

	switch (error) {
	case EPERM:
		if (luo_memfd_get_seals(fd, &seals) == 0 && (seals & F_SEAL_GROW))
			return -ENOMEM;
		return -EBUSY;
	case EFBIG:
	case EDQUOT:
		return -ENOSPC;
	default:
		return -error;
	}
}

int heap_file_grow(struct luo_heap *h, uint64_t size)
{
	if (size <= h->file_size)
		return 0;
	if (size > h->max_size)
		return -ENOMEM;
	if (ftruncate(h->fd, (off_t)size) < 0)
		return translate(h->fd, errno);
	h->file_size = size;
	return 0;
}

int heap_file_reserve(struct luo_heap *h, uint64_t offset, uint64_t size)
{
	int r;

	do
		r = fallocate(h->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EOPNOTSUPP) /* such a file system offers only SIGBUS */
		return 0;
	return r < 0 ? translate(h->fd, errno) : 0;
}

int heap_file_give_back(struct luo_heap *h, uint64_t offset, uint64_t size)
{
	if (h->private_copy)
		return -EROFS;
	if (fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)size) < 0)
		return translate(h->fd, errno);
	return 0;
}
