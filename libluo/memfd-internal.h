/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_MEMFD_INTERNAL_H
#define LIBLUO_MEMFD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* The name of the memfd @fd, whose link and status are known; -ENOTTY if it is none. */
int luo_memfd_name_of(int fd, const char *link, const struct stat *st, char *buffer, size_t size);

/* Whether @fd lies on a hugetlbfs; in inspect.c. */
bool luo_fd_is_hugetlb(int fd);

/* All of it or an error; in memfd-copy.c. */
int luo_pwrite_all(int fd, const void *data, size_t size, off_t offset);

#endif
