/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_FD_COUNT_H
#define TEST_FD_COUNT_H

#include <dirent.h>
#include <stddef.h>

/* How many fds this process has open: compared before and after, it shows a leak. */
static inline size_t fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory itself */
}

#endif
