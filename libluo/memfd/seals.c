/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Reads and adds seals. */

#include <fcntl.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include "common/util.h"

_public_ int luo_memfd_get_seals(int fd, unsigned *ret_seals)
{
	int seals;

	if (!ret_seals)
		return -EINVAL;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	*ret_seals = (unsigned)seals;
	return 0;
}

_public_ int luo_memfd_has_seals(int fd, unsigned seals)
{
	unsigned set = 0;
	struct stat st;
	int r;

	if (seals == 0)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	r = luo_memfd_get_seals(fd, &set);
	if (r < 0 && r != -EINVAL)
		return r;
	return (set & seals) == seals;
}

_public_ int luo_memfd_add_seals(int fd, unsigned seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}
