/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Decides whether a file is a memfd, and finds its name. Only the link in /proc/self/fd tells. */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "libluo/session/kernel.h"
#include "common/util.h"

#define LINK_PREFIX "/memfd:"
#define LINK_SUFFIX " (deleted)"

/* All memfds are on one kernel-internal mount, to which no path leads. */
static bool on_memfd_device(dev_t device)
{
	static dev_t memfd_device;
	static int known; /* threads may read it at the same time; all find the same */

	if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
		_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0)
			return true; /* unknown */
		__atomic_store_n(&memfd_device, st.st_dev, __ATOMIC_RELAXED);
		__atomic_store_n(&known, 1, __ATOMIC_RELEASE);
	}
	return device == __atomic_load_n(&memfd_device, __ATOMIC_RELAXED);
}

/* The bytes between "/memfd:" and " (deleted)" of @link; NULL if it is not a memfd's link. */
static const char *name_in_link(const char *link, size_t *ret_length)
{
	size_t length = strlen(link), suffix = strlen(LINK_SUFFIX);

	if (length < suffix || !streq(link + length - suffix, LINK_SUFFIX))
		return NULL;
	length -= suffix;
	/*
	 * A memfd that was restored after a live update has an empty name, without even "memfd:".
	 */
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
 * A hugetlb memfd is on another mount than the rest, so for it the link alone decides. Like other
 * memfds it has seals, which an unlinked file "memfd:x" in the root directory of a disk does not.
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
