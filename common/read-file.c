/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * pread(2) and read(2), not mmap(2): another process may shorten a file while it is read, and that
 * must not raise SIGBUS.
 */

#include <fcntl.h>
#include <sys/stat.h>

#include "common/read-file.h"
#include "common/util.h"

#define FIRST_SIZE ((size_t)4096)

/* sysfs reports a page for every file, and a page may have 64 KiB. */
#define PSEUDO_SIZE_MAX 65536

/* What both ways of reading share: room that grows, up to @max bytes and one that is too many. */
struct content {
	char *data;
	size_t size, allocated;
};

static int content_grow(struct content *c, size_t max, size_t hint)
{
	size_t want = MIN2(MAX2(c->allocated * 2, hint), max + 2);
	char *data;

	if (c->allocated - c->size > 1)
		return 0;
	data = realloc(c->data, want);
	if (!data)
		return -ENOMEM;
	c->data = data;
	c->allocated = want;
	return 0;
}

/* @offset: where the data starts in the file, or -1 to read(2) at the file offset of @fd. */
static int read_content(int fd, off_t offset, size_t max, size_t hint, struct content *c)
{
	for (;;) {
		ssize_t n;
		int r = content_grow(c, max, hint);

		if (r < 0)
			return r;
		n = offset < 0 ? read(fd, c->data + c->size, c->allocated - c->size - 1)
			       : pread(fd, c->data + c->size, c->allocated - c->size - 1,
				       offset + (off_t)c->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		c->size += (size_t)n;
		if (c->size > max)
			return -EFBIG;
	}
}

static int read_all(int fd, off_t offset, size_t max, size_t hint, char **ret_data,
		    size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	struct content c = { 0 };
	int r = read_content(fd, offset, max, hint, &c);

	data = c.data;
	if (r < 0)
		return r;
	data[c.size] = '\0';
	*ret_data = TAKE_PTR(data);
	*ret_size = c.size;
	return 0;
}

int read_file_fd(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ESPIPE;
	if (st.st_size > PSEUDO_SIZE_MAX && (uint64_t)st.st_size > max)
		return -EFBIG;
	return read_all(fd, 0, max, MAX2((size_t)st.st_size + 2, FIRST_SIZE), ret_data, ret_size);
}

static int open_and_read(int dir_fd, const char *path, int flags, size_t max, char **ret_data,
			 size_t *ret_size)
{
	_cleanup_close_ int fd =
		openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);

	return fd < 0 ? -errno : read_file_fd(fd, max, ret_data, ret_size);
}

int read_file(const char *path, size_t max, char **ret_data, size_t *ret_size)
{
	return open_and_read(AT_FDCWD, path, 0, max, ret_data, ret_size);
}

int read_file_at(int dir_fd, const char *name, size_t max, char **ret_data, size_t *ret_size)
{
	return open_and_read(dir_fd, name, O_NOFOLLOW, max, ret_data, ret_size);
}

int read_stream(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	return read_all(fd, -1, max, (size_t)64 << 10, ret_data, ret_size);
}

ssize_t pread_full(int fd, void *data, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)data + done, size - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
