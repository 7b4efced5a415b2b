/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <luo/mapping.h>
#include <luo/memfd.h>

#include "libluo/handover/fixup.h"
#include "libluo/handover/packed.h"
#include "common/util.h"

#define MEMFD_NAME_MAX 249

static int append_extent(struct luo_extent **extents, size_t *n, size_t *allocated,
			 struct luo_extent extent)
{
	if (*n == LUO_MAPPING_EXTENTS_MAX)
		return -E2BIG;
	if (*n == *allocated) {
		size_t more = *allocated ? *allocated * 2 : 8;
		struct luo_extent *grown = reallocarray(*extents, more, sizeof(**extents));

		if (!grown)
			return -ENOMEM;
		*extents = grown;
		*allocated = more;
	}
	(*extents)[(*n)++] = extent;
	return 0;
}

int luo_extents_list(int fd, uint64_t size, struct luo_extent **ret_extents, size_t *ret_n,
		     uint64_t *ret_bytes)
{
	_cleanup_free_ struct luo_extent *extents = NULL;
	_cleanup_close_ int own = -EBADF;
	size_t n = 0, allocated = 0;
	uint64_t bytes = 0;
	off_t at = 0;
	int r;

	/*
	 * Use a description with its own offset: SEEK_DATA would move the offset that the service
	 * shares with us.
	 */
	r = luo_memfd_reopen(fd, O_RDONLY, &own);
	if (r < 0)
		return r;

	while ((uint64_t)at < size) {
		off_t data = lseek(own, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			return -errno;
		if ((uint64_t)data >= size)
			break;
		hole = lseek(own, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (hole <= data) /* the file shrank meanwhile */
			return -EIO;
		if ((uint64_t)hole > size)
			hole = (off_t)size;
		r = append_extent(&extents, &n, &allocated,
				  (struct luo_extent){ (uint64_t)data, (uint64_t)(hole - data) });
		if (r < 0)
			return r;
		bytes += (uint64_t)(hole - data);
		at = hole;
	}

	*ret_extents = TAKE_PTR(extents);
	*ret_n = n;
	*ret_bytes = bytes;
	return 0;
}

/*
 * sendfile(2) reads at an explicit offset and writes at the target's offset, which no other process
 * uses.
 */
static int copy_piece(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length)
{
	off_t at = (off_t)from_offset;

	if (lseek(to, (off_t)to_offset, SEEK_SET) < 0)
		return -errno;
	while (length > 0) {
		ssize_t n = sendfile(to, from, &at, MIN2(length, UINT64_C(1) << 30));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* the file shrank meanwhile */
			return -EIO;
		length -= (uint64_t)n;
	}
	return 0;
}

int luo_pack(int fd, const struct luo_extent *extents, size_t n, int *ret_fd)
{
	_cleanup_close_ int source = -EBADF, packed = -EBADF;
	uint64_t at = 0;
	int r;

	/* The entry may be write-only. */
	r = luo_memfd_reopen(fd, O_RDONLY, &source);
	if (r < 0)
		return r;
	r = luo_memfd_create(
		&(struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
					     .name = "luo-packed" },
		&packed);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = copy_piece(source, extents[i].offset, packed, at, extents[i].length);
		if (r < 0)
			return r;
		at += extents[i].length;
	}

	*ret_fd = TAKE_FD(packed);
	return 0;
}

int luo_unpack(int packed_fd, const struct luo_entry_meta *meta, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t at = 0, packed_size;
	char name[MEMFD_NAME_MAX + 1];
	int r;

	/* A foreign name may be longer than the kernel accepts. */
	snprintf(name, sizeof(name), "%s",
		 (meta->known & LUO_META_FILE_NAME) && meta->file_name ? meta->file_name : "");
	r = luo_memfd_get_size(packed_fd, &packed_size);
	if (r < 0)
		return r;

	r = luo_memfd_create(
		&(struct luo_memfd_options){
			.struct_size = sizeof(struct luo_memfd_options),
			.name = name,
			.size = meta->size,
			/*
			 * Even a memfd without MFD_ALLOW_SEALING: its seals then include
			 * F_SEAL_SEAL.
			 */
			.flags = LUO_MEMFD_ALLOW_SEALING,
		},
		&fd);
	if (r < 0)
		return r;

	for (size_t i = 0; i < meta->n_extents; i++) {
		const struct luo_extent *e = &meta->extents[i];

		/* The list is foreign: it must fit both the packed file and the new one. */
		if (e->length > packed_size - at || e->offset > meta->size ||
		    e->length > meta->size - e->offset)
			return -EBADMSG;
		r = copy_piece(packed_fd, at, fd, e->offset, e->length);
		if (r < 0)
			return r;
		at += e->length;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	/* An absent value means the kernel's default for a retrieved file, but this file is new. */
	if (!(meta->known & LUO_META_MODE))
		(void)fchmod(fd, LUO_KERNEL_MODE);

	*ret_fd = TAKE_FD(fd);
	return 0;
}
