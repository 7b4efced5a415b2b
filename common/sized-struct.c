/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Not inline: the compiler must not know the size of the caller's struct, which may be larger or
 * smaller than its type here.
 */

#include "common/sized-struct.h"

#include <errno.h>
#include <string.h>

int sized_struct_check(const void *caller, size_t first_size)
{
	size_t size;

	if (!caller)
		return -EINVAL;
	memcpy(&size, caller, sizeof(size));
	if (size < first_size)
		return -EINVAL;
	return size > SIZED_STRUCT_MAX ? -E2BIG : 0;
}

int sized_struct_read(const void *caller, size_t first_size, void *to, size_t to_size)
{
	size_t size;
	int r;

	r = sized_struct_check(caller, first_size);
	if (r < 0)
		return r;
	memcpy(&size, caller, sizeof(size));
	for (size_t i = to_size; i < size; i++)
		if (((const char *)caller)[i])
			return -E2BIG;
	memset(to, 0, to_size);
	memcpy(to, caller, size < to_size ? size : to_size);
	memcpy(to, &to_size, sizeof(to_size));
	return 0;
}

int sized_struct_return(void *caller, size_t first_size, const void *from, size_t from_size)
{
	size_t size;
	int r;

	r = sized_struct_check(caller, first_size);
	if (r < 0)
		return r;
	memcpy(&size, caller, sizeof(size));
	if (size > from_size)
		memset((char *)caller + from_size, 0, size - from_size);
	memcpy(caller, from, size < from_size ? size : from_size);
	memcpy(caller, &size, sizeof(size));
	return 0;
}
