/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Makes memfds.
 *
 * The kernel makes every memfd executable (mode 0777) unless told otherwise, and with sysctl
 * vm.memfd_noexec=1 it seals against that (F_SEAL_EXEC) unless told otherwise. Such a memfd is
 * restored write-sealed after a live update. So our default avoids both: MFD_EXEC at creation, then
 * mode 0666.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define OPTIONS_FIRST_SIZE SIZE_UP_TO(struct luo_memfd_options, seals)

#define DEFAULT_NAME "luo"
#define NAME_MAX_LEN 249 /* NAME_MAX without "memfd:" */

#define ALL_FLAGS                                                                     \
	(unsigned)(LUO_MEMFD_ALLOW_SEALING | LUO_MEMFD_EXEC | LUO_MEMFD_NOEXEC_SEAL | \
		   LUO_MEMFD_HUGEPAGE | LUO_MEMFD_PREALLOCATE | LUO_MEMFD_NO_CLOEXEC)

static int options_check(const struct luo_memfd_options *o)
{
	if (o->flags & ~ALL_FLAGS)
		return -EINVAL;
	if ((o->flags & LUO_MEMFD_EXEC) && (o->flags & LUO_MEMFD_NOEXEC_SEAL))
		return -EINVAL;
	if (o->name && strnlen(o->name, NAME_MAX_LEN + 1) > NAME_MAX_LEN)
		return -EINVAL;
	if (o->size > INT64_MAX)
		return -EFBIG;
	return 0;
}

static int memfd_create_errno(const char *name, unsigned flags)
{
	int fd = memfd_create(name, flags);

	return fd < 0 ? -errno : fd;
}

static bool is_plain(const struct luo_memfd_options *o)
{
	return !(o->flags & (LUO_MEMFD_EXEC | LUO_MEMFD_NOEXEC_SEAL));
}

static unsigned kernel_flags(const struct luo_memfd_options *o)
{
	unsigned flags = o->flags & LUO_MEMFD_NO_CLOEXEC ? 0 : MFD_CLOEXEC;

	if ((o->flags & LUO_MEMFD_ALLOW_SEALING) || o->seals)
		flags |= MFD_ALLOW_SEALING;
	return flags;
}

static int create_with_policy(const struct luo_memfd_options *o)
{
	const char *name = o->name ?: DEFAULT_NAME;
	unsigned flags = kernel_flags(o);
	int fd;

	if (o->flags & LUO_MEMFD_NOEXEC_SEAL)
		return memfd_create_errno(name, flags | MFD_NOEXEC_SEAL);
	fd = memfd_create_errno(name, flags | MFD_EXEC);
	if (fd == -EINVAL) /* before 6.3 every memfd is executable */
		fd = memfd_create_errno(name, flags);
	/* vm.memfd_noexec=2 allows only this; a plain memfd need not be executable. */
	if (fd == -EACCES && is_plain(o))
		fd = memfd_create_errno(name, flags | MFD_NOEXEC_SEAL);
	return fd;
}

/*
 * Only pages that are first touched through an advised mapping become huge. Failures are ignored.
 */
static void fill_with_huge_pages(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return;
	if (madvise(p, size, MADV_HUGEPAGE) == 0)
		(void)madvise(p, size, MADV_POPULATE_WRITE);
	munmap(p, size);
}

/*
 * The internal mount of memfds has no size limit. Allocating more memory than there is does not
 * fail; it gets this process killed. So check first.
 */
static int allocate_all(int fd, const struct luo_memfd_options *o)
{
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	int r;

	if (luo_memory_room(&room) == 0 && o->size > room.bytes)
		return -ENOMEM;
	if (o->flags & LUO_MEMFD_HUGEPAGE)
		fill_with_huge_pages(fd, o->size);
	do
		r = fallocate(fd, 0, 0, (off_t)o->size);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int set_size(int fd, const struct luo_memfd_options *o)
{
	int r = 0;

	if (o->size == 0)
		return 0;
	if (ftruncate(fd, (off_t)o->size) < 0)
		return -errno;
	if (o->flags & (LUO_MEMFD_HUGEPAGE | LUO_MEMFD_PREALLOCATE))
		r = allocate_all(fd, o);
	return r;
}

int luo_memfd_create_unsealed(const struct luo_memfd_options *o, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = options_check(o);
	if (r < 0)
		return r;
	fd = create_with_policy(o);
	if (fd < 0)
		return fd;
	if (is_plain(o) && fchmod(fd, 0666) < 0)
		return -errno;
	r = set_size(fd, o);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int luo_memfd_options_read(const struct luo_memfd_options *from, struct luo_memfd_options *ret)
{
	if (from)
		return sized_struct_read(from, OPTIONS_FIRST_SIZE, ret, sizeof(*ret));
	*ret = (struct luo_memfd_options){
		.struct_size = sizeof(*ret),
		.flags = LUO_MEMFD_ALLOW_SEALING,
	};
	return 0;
}

int luo_memfd_seal_and_return(int *fd, unsigned seals, int *ret_fd)
{
	if (seals) {
		int r = luo_memfd_add_seals(*fd, seals);

		if (r < 0)
			return r;
	}
	*ret_fd = TAKE_FD(*fd);
	return 0;
}

_public_ int luo_memfd_create(const struct luo_memfd_options *options, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	struct luo_memfd_options o;
	int r;

	if (!ret_fd)
		return -EINVAL;
	r = luo_memfd_options_read(options, &o);
	if (r >= 0)
		r = luo_memfd_create_unsealed(&o, &fd);
	if (r < 0)
		return r;
	return luo_memfd_seal_and_return(&fd, o.seals, ret_fd);
}
