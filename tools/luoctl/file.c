/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <dirent.h>
#include <fcntl.h>

#include "tools/luoctl/file.h"
#include "common/util.h"

/* Files of /proc have no size, so it is read until there is no more. */
int read_fd(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	size_t size = 0, allocated = 0;
	ssize_t n;

	do {
		if (size == allocated) {
			size_t want = MIN2(allocated * 2 + 65536, max);
			char *more = realloc(data, want + 1);

			if (!more)
				return -ENOMEM;
			data = more;
			allocated = want;
		}
		n = read(fd, data + size, allocated - size);
		if (n < 0)
			return -errno;
		size += (size_t)n;
	} while (n > 0 && size < max);
	data[size] = '\0';
	*ret_data = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}

int read_file(const char *path, char **ret_data, size_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_fd(fd, FILE_MAX, ret_data, ret_size);
}

int remove_directory(const char *path)
{
	struct dirent *d;
	int r = 0;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r == 0 && (d = readdir(dir)))
		if (!streq(d->d_name, ".") && !streq(d->d_name, "..") &&
		    unlinkat(dirfd(dir), d->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	closedir(dir);
	if (r == 0 && rmdir(path) < 0)
		r = -errno;
	return r;
}
