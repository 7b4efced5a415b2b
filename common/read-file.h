/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_READ_FILE_H
#define COMMON_READ_FILE_H

/*
 * Whole files in memory, with a bound.
 *
 * A NUL byte, which *ret_size does not count, follows the data. *ret_data is freed with free(), and
 * is not set on failure. Common errors:
 *
 *   -EFBIG   there are more than @max bytes
 *   -EISDIR  a directory
 *   -ESPIPE  neither a regular file nor a directory
 */

#include <stddef.h>
#include <sys/types.h>

/*
 * A regular file, from its start. The file offset of @fd stays where it is. The size that fstat(2)
 * reports is only a hint: files of /proc report 0, and a file may grow or shrink meanwhile.
 */
int read_file_fd(int fd, size_t max, char **ret_data, size_t *ret_size);

/* Never blocks on a FIFO or a device: they are opened with O_NONBLOCK and refused. */
int read_file(const char *path, size_t max, char **ret_data, size_t *ret_size);

/* The same, in the directory @dir_fd; a symbolic link is refused with -ELOOP. */
int read_file_at(int dir_fd, const char *name, size_t max, char **ret_data, size_t *ret_size);

/* Any fd, from its file offset to the end. Blocks as read(2) does, on a pipe for example. */
int read_stream(int fd, size_t max, char **ret_data, size_t *ret_size);

/* pread(2) until @size bytes are there. Returns how many; fewer than @size only at the end. */
ssize_t pread_full(int fd, void *data, size_t size, off_t offset);

#endif
