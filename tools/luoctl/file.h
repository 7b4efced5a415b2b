/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOCTL_FILE_H
#define LUOCTL_FILE_H

#include <stddef.h>

/* More than any kernel or initial RAM disk that is looked into here. */
#define FILE_MAX ((size_t)1 << 30)

/* From where the fd is to the end, at most @max bytes; a NUL follows that does not count. */
int read_fd(int fd, size_t max, char **ret_data, size_t *ret_size);
int read_file(const char *path, char **ret_data, size_t *ret_size);

/* With the files in it; -ENOTEMPTY (or -EISDIR) if there is a directory in it. */
int remove_directory(const char *path);

#endif
