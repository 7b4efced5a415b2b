/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shutdown-hook/small-file.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/util.h"

int small_file_read_fd(int fd, size_t max, char **ret_text, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, room = 0;

	/* Not st_size: what is in /proc says 0, and a file may grow while it is read. */
	for (;;) {
		ssize_t n;

		if (room - size < 2) {
			char *more;

			room = MIN2(MAX2(room * 2, (size_t)4096), max + 2);
			more = realloc(text, room);
			if (!more)
				return -ENOMEM;
			text = more;
		}
		n = pread(fd, text + size, room - size - 1, (off_t)size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return -E2BIG;
	}
	text[size] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

int small_file_read(const char *path, size_t max, char **ret_text, size_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? -errno : small_file_read_fd(fd, max, ret_text, ret_size);
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

int small_file_replace(const char *path, mode_t mode, const char *text, size_t size)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (asprintf(&temporary, "%s.new", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	/* What a run that was killed has left. */
	if (unlink(temporary) < 0 && errno != ENOENT)
		return -errno;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, size);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	return r;
}
