/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Decides what an fd is, as the kernel does for PRESERVE_FD (7.2: shmem without a link,
 * memfd_luo_can_preserve()), with what userspace can see: only shmem and hugetlb have seals, and
 * the file system tells these two apart.
 */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <luo/inspect.h>
#include <luo/session.h>
#include "libluo/memfd/internal.h"
#include "libluo/session/kernel.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define INFO_FIRST_SIZE SIZE_UP_TO(struct luo_fd_info, name)

#define HUGETLBFS_TYPE    0x958458f6
#define ANON_INODE_PREFIX "anon_inode:"

static const struct {
	const char *name;
	const char *reason; /* why it cannot be preserved; NULL if it can */
} kinds[] = {
	[LUO_KIND_UNKNOWN] = { "unknown", "the kernel can preserve memory files only" },
	[LUO_KIND_MEMFD] = { "memfd", NULL },
	[LUO_KIND_SHMEM_UNLINKED] = { "unlinked tmpfs file", NULL },
	[LUO_KIND_SHMEM_LINKED] = { "tmpfs file", "a tmpfs file that still has a name" },
	[LUO_KIND_HUGETLB] = { "hugetlb", "hugetlb memory cannot be preserved" },
	[LUO_KIND_SESSION] = { "session", "a session cannot be put into a session" },
	[LUO_KIND_REGULAR] = { "file", "a file on disk; its path can be opened again" },
	[LUO_KIND_DIRECTORY] = { "directory", "directories cannot be preserved" },
	[LUO_KIND_SOCKET] = { "socket", "sockets cannot be preserved" },
	[LUO_KIND_PIPE] = { "pipe", "pipes cannot be preserved" },
	[LUO_KIND_EVENTFD] = { "eventfd", "eventfds cannot be preserved" },
	[LUO_KIND_ANON_INODE] = { "anonymous inode",
				  "this kind of kernel object cannot be preserved" },
	[LUO_KIND_CHAR_DEVICE] = { "character device", "devices cannot be preserved" },
	[LUO_KIND_BLOCK_DEVICE] = { "block device", "devices cannot be preserved" },
	[LUO_KIND_PATH] = { "path", "opened with O_PATH, it is not open for data" },
};

_public_ const char *luo_kind_to_string(enum luo_kind kind)
{
	if ((unsigned)kind >= ELEMENTSOF(kinds))
		kind = LUO_KIND_UNKNOWN;
	return kinds[kind].name;
}

bool luo_fd_is_hugetlb(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == HUGETLBFS_TYPE;
}

static enum luo_kind kind_of_regular(int fd, const char *link, const struct stat *st, char *name,
				     size_t size)
{
	if (luo_fd_is_hugetlb(fd)) {
		(void)luo_memfd_name_of(fd, link, st, name, size);
		return LUO_KIND_HUGETLB;
	}
	if (fcntl(fd, F_GET_SEALS) < 0)
		return LUO_KIND_REGULAR;
	if (st->st_nlink > 0)
		return LUO_KIND_SHMEM_LINKED;
	if (luo_memfd_name_of(fd, link, st, name, size) < 0)
		return LUO_KIND_SHMEM_UNLINKED;
	if (name[0] == '\0')
		snprintf(name, size, "unnamed memfd");
	return LUO_KIND_MEMFD;
}

static enum luo_kind kind_of_anon_inode(int fd, const char *link, char *name, size_t size)
{
	_cleanup_free_ char *session = NULL;

	if (luo_session_get_name(fd, &session) == 0) {
		snprintf(name, size, "%s", session);
		return LUO_KIND_SESSION;
	}
	if (streq(link, ANON_INODE_PREFIX "[eventfd]"))
		return LUO_KIND_EVENTFD;
	return LUO_KIND_ANON_INODE;
}

static enum luo_kind kind_of(int fd, const char *link, const struct luo_fd_info *info,
			     const struct stat *st, char *name, size_t size)
{
	if (info->open_flags & O_PATH)
		return LUO_KIND_PATH;
	/*
	 * Check these first: their mode has changed over time, and the fake's sessions are sockets.
	 */
	if (startswith(link, ANON_INODE_PREFIX))
		return kind_of_anon_inode(fd, link, name, size);
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return kind_of_regular(fd, link, st, name, size);
	case S_IFDIR:
		return LUO_KIND_DIRECTORY;
	case S_IFSOCK:
		return LUO_KIND_SOCKET;
	case S_IFIFO:
		return LUO_KIND_PIPE;
	case S_IFCHR:
		return LUO_KIND_CHAR_DEVICE;
	case S_IFBLK:
		return LUO_KIND_BLOCK_DEVICE;
	}
	return LUO_KIND_UNKNOWN;
}

static void fill_in_status(int fd, const struct stat *st, struct luo_fd_info *info)
{
	info->device = st->st_dev;
	info->inode = st->st_ino;
	info->mode = st->st_mode;
	info->uid = st->st_uid;
	info->gid = st->st_gid;
	if (S_ISREG(st->st_mode)) {
		off_t offset = lseek(fd, 0, SEEK_CUR);
		int seals = fcntl(fd, F_GET_SEALS);

		info->size = (uint64_t)st->st_size;
		info->allocated = (uint64_t)st->st_blocks * 512;
		info->offset = offset < 0 ? 0 : (uint64_t)offset;
		info->seals = seals < 0 ? 0 : (unsigned)seals;
	}
}

/* The link is too long, or there is no /proc. The rest can still be determined. */
static int link_or_nothing(int fd, char *link, size_t size)
{
	int r = luo_fd_link(fd, link, size);

	if (r == -EBADF)
		return r;
	if (r < 0)
		link[0] = '\0';
	return 0;
}

static void fill_in_name(const char *name, const char *link, struct luo_fd_info *info)
{
	const char *text = name[0] ? name : link[0] ? link : luo_kind_to_string(info->kind);

	snprintf(info->name, sizeof(info->name), "%.*s", (int)sizeof(info->name) - 1, text);
}

_public_ int luo_fd_inspect(int fd, struct luo_fd_info *ret)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	char link[PATH_MAX], name[256] = "";
	struct stat st;
	int r;

	r = sized_struct_check(ret, INFO_FIRST_SIZE);
	if (r < 0)
		return r;
	info.open_flags = fcntl(fd, F_GETFL);
	if (info.open_flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = link_or_nothing(fd, link, sizeof(link));
	if (r < 0)
		return r;
	info.kind = kind_of(fd, link, &info, &st, name, sizeof(name));
	info.reason = kinds[info.kind].reason;
	info.preservable = !info.reason;
	fill_in_status(fd, &st, &info);
	fill_in_name(name, link, &info);
	return sized_struct_return(ret, INFO_FIRST_SIZE, &info, sizeof(info));
}
