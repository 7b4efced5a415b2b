/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <dirent.h>
#include <fcntl.h>

#include "tools/luoctl/directory.h"
#include "common/util.h"

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
