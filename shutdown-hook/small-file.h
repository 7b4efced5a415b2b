/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_HOOK_SMALL_FILE_H
#define SHUTDOWN_HOOK_SMALL_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* All of a file, with a NUL behind it that does not count. -E2BIG if it is larger than @max. */
int small_file_read(const char *path, size_t max, char **ret_text, size_t *ret_size);
int small_file_read_fd(int fd, size_t max, char **ret_text, size_t *ret_size);

/* The file is the old one or the new one, at every moment. */
int small_file_replace(const char *path, mode_t mode, const char *text, size_t size);

#endif
