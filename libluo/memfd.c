/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory with a file descriptor.
 *
 * The kernel makes every memfd executable (mode 0777) unless told otherwise, and where sysctl
 * vm.memfd_noexec is 1, it seals against that (F_SEAL_EXEC) unless told otherwise. Such a memfd
 * comes back from a live update write-sealed, so what we make by default is neither: MFD_EXEC at
 * creation, then mode 0666.
 */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <libluo/memfd-internal.h>
#include <libluo/session-kernel.h>
#include <libluo/util.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define DEFAULT_NAME  "luo"
#define NAME_MAX_LEN  249 /* NAME_MAX without "memfd:" */
#define HUGETLB_SHIFT 26  /* MFD_HUGE_SHIFT */
#define LINK_PREFIX   "/memfd:"
#define LINK_SUFFIX   " (deleted)"

#define ALL_SEALS                                                             \
	(unsigned)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
		   F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)
#define ALL_FLAGS                                                                     \
	(unsigned)(LUO_MEMFD_ALLOW_SEALING | LUO_MEMFD_EXEC | LUO_MEMFD_NOEXEC_SEAL | \
		   LUO_MEMFD_HUGETLB | LUO_MEMFD_HUGEPAGE | LUO_MEMFD_PREALLOCATE)

static int options_check(const struct luo_memfd_options *o)
{
	if ((o->flags & ~ALL_FLAGS) || (o->seals & ~ALL_SEALS))
		return -EINVAL;
	if ((o->flags & LUO_MEMFD_EXEC) && (o->flags & LUO_MEMFD_NOEXEC_SEAL))
		return -EINVAL;
	if ((o->flags & LUO_MEMFD_HUGETLB) && (o->flags & LUO_MEMFD_HUGEPAGE))
		return -EINVAL;
	if (o->hugetlb_shift && (!(o->flags & LUO_MEMFD_HUGETLB) || o->hugetlb_shift > 63))
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

static int create_with_options(const struct luo_memfd_options *o)
{
	const char *name = o->name ?: DEFAULT_NAME;
	unsigned flags = MFD_CLOEXEC;
	int fd;

	if ((o->flags & LUO_MEMFD_ALLOW_SEALING) || o->seals)
		flags |= MFD_ALLOW_SEALING;
	if (o->flags & LUO_MEMFD_HUGETLB)
		flags |= MFD_HUGETLB | (o->hugetlb_shift << HUGETLB_SHIFT);
	if (o->flags & LUO_MEMFD_NOEXEC_SEAL)
		return memfd_create_errno(name, flags | MFD_NOEXEC_SEAL);

	fd = memfd_create_errno(name, flags | MFD_EXEC);
	if (fd == -EINVAL) /* before 6.3 all are executable */
		fd = memfd_create_errno(name, flags);
	/* vm.memfd_noexec=2 allows nothing else; a plain one need not be executable. */
	if (fd == -EACCES && is_plain(o))
		fd = memfd_create_errno(name, flags | MFD_NOEXEC_SEAL);
	return fd;
}

/* Only pages that are first touched through an advised mapping become huge. All best effort. */
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
 * The mount that memfds are on has no limit of its own: to allocate more than there is gets us
 * killed, not refused. So look first, for what that is worth.
 */
static int allocate_all(int fd, uint64_t size, bool huge)
{
	struct luo_memory_room room;
	int r;

	if (luo_memory_room(&room) == 0 && size > room.bytes)
		return -ENOMEM;
	if (huge)
		fill_with_huge_pages(fd, size);
	do
		r = fallocate(fd, 0, 0, (off_t)size);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int set_size(int fd, const struct luo_memfd_options *o)
{
	if (o->size == 0)
		return 0;
	if (ftruncate(fd, (off_t)o->size) < 0)
		return -errno;
	if (!(o->flags & (LUO_MEMFD_HUGEPAGE | LUO_MEMFD_PREALLOCATE)))
		return 0;
	return allocate_all(fd, o->size, o->flags & LUO_MEMFD_HUGEPAGE);
}

_public_ int luo_memfd_create(const struct luo_memfd_options *options, int *ret_fd)
{
	static const struct luo_memfd_options defaults = { .flags = LUO_MEMFD_ALLOW_SEALING };
	const struct luo_memfd_options *o = options ?: &defaults;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!ret_fd)
		return -EINVAL;
	r = options_check(o);
	if (r < 0)
		return r;
	fd = create_with_options(o);
	if (fd < 0)
		return fd;
	if (is_plain(o) && fchmod(fd, 0666) < 0)
		return -errno;
	r = set_size(fd, o);
	if (r < 0)
		return r;
	if (o->seals) {
		r = luo_memfd_add_seals(fd, o->seals);
		if (r < 0)
			return r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

_public_ int luo_memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd)
{
	struct luo_memfd_options options = { .name = name, .flags = LUO_MEMFD_ALLOW_SEALING };
	_cleanup_close_ int fd = -EBADF;
	int r;

	if ((!data && size > 0) || !ret_fd)
		return -EINVAL;
	r = luo_memfd_create(&options, &fd);
	if (r < 0)
		return r;
	r = luo_pwrite_all(fd, data, size, 0);
	if (r < 0)
		return r;
	r = luo_memfd_add_seals(fd, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

_public_ int luo_memfd_get_seals(int fd, unsigned *ret_seals)
{
	int seals;

	if (!ret_seals)
		return -EINVAL;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	*ret_seals = (unsigned)seals;
	return 0;
}

_public_ int luo_memfd_add_seals(int fd, unsigned seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

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

/* All memfds are on one mount inside the kernel, which no path leads to. */
static bool on_memfd_device(dev_t device)
{
	static dev_t memfd_device;
	static int known; /* 1: yes, -1: cannot be found out */

	if (known <= 0) {
		_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC);
		struct stat st;

		known = fd >= 0 && fstat(fd, &st) == 0 ? 1 : -1;
		if (known > 0)
			memfd_device = st.st_dev;
	}
	return known < 0 || device == memfd_device;
}

/* The bytes between "/memfd:" and " (deleted)" of @link; NULL if it is not a memfd's. */
static const char *name_in_link(const char *link, size_t *ret_length)
{
	size_t length = strlen(link), suffix = strlen(LINK_SUFFIX);

	if (length < suffix || !streq(link + length - suffix, LINK_SUFFIX))
		return NULL;
	length -= suffix;
	/* One that came out of a live update has an empty name, without even the "memfd:". */
	if (length == 1 && link[0] == '/') {
		*ret_length = 0;
		return link;
	}
	if (!startswith(link, LINK_PREFIX))
		return NULL;
	*ret_length = length - strlen(LINK_PREFIX);
	return link + strlen(LINK_PREFIX);
}

/*
 * A memfd on hugetlb lies on another mount than the rest, so there the link alone decides; seals
 * are what it has in common with them, and what an unlinked file "memfd:x" of the root directory
 * on a disk does not have.
 */
int luo_memfd_name_of(int fd, const char *link, const struct stat *st, char *buffer, size_t size)
{
	const char *name;
	size_t length;

	if (!S_ISREG(st->st_mode) || st->st_nlink > 0)
		return -ENOTTY;
	name = name_in_link(link, &length);
	if (!name || fcntl(fd, F_GET_SEALS) < 0)
		return -ENOTTY;
	if (!on_memfd_device(st->st_dev) && !luo_fd_is_hugetlb(fd))
		return -ENOTTY;
	snprintf(buffer, size, "%.*s", (int)length, name);
	return 0;
}

static int memfd_name(int fd, char *buffer, size_t size)
{
	char link[PATH_MAX];
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTTY;
	r = luo_fd_link(fd, link, sizeof(link));
	if (r == -ENAMETOOLONG)
		return -ENOTTY;
	if (r < 0)
		return r;
	return luo_memfd_name_of(fd, link, &st, buffer, size);
}

_public_ int luo_memfd_get_name(int fd, char **ret_name)
{
	char name[NAME_MAX + 1], *copy;
	int r;

	if (!ret_name)
		return -EINVAL;
	r = memfd_name(fd, name, sizeof(name));
	if (r < 0)
		return r;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret_name = copy;
	return 0;
}

_public_ int luo_fd_is_memfd(int fd)
{
	char name[NAME_MAX + 1];
	int r = memfd_name(fd, name, sizeof(name));

	return r == -ENOTTY ? 0 : r < 0 ? r : 1;
}

static void *map_read(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	/*
	 * Before 6.7 a write-sealed file cannot be mapped shared through a writable fd, even to
	 * read it. Nothing can change in it, so a private mapping shows the same.
	 */
	if (p == MAP_FAILED && errno == EPERM)
		p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	return p;
}

static void *map_as(int fd, enum luo_memfd_map how, size_t size)
{
	switch (how) {
	case LUO_MAP_READ:
		return map_read(fd, size);
	case LUO_MAP_SHARED:
		return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	case LUO_MAP_PRIVATE:
		return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	}
	errno = EINVAL;
	return MAP_FAILED;
}

_public_ int luo_memfd_map(int fd, enum luo_memfd_map how, void **ret_address, size_t *ret_size)
{
	uint64_t size;
	void *p = NULL;
	int r;

	if (!ret_address || !ret_size || how < LUO_MAP_READ || how > LUO_MAP_PRIVATE)
		return -EINVAL;
	r = luo_memfd_get_size(fd, &size);
	if (r < 0)
		return r;
	if (size > SIZE_MAX)
		return -EFBIG;
	if (size > 0) {
		p = map_as(fd, how, (size_t)size);
		if (p == MAP_FAILED)
			return -errno;
	}
	*ret_address = p;
	*ret_size = (size_t)size;
	return 0;
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
	if (!S_ISREG(st.st_mode)) /* opening a device or a FIFO again has effects */
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, flags | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}
