/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOCTL_UNPACK_H
#define LUOCTL_UNPACK_H

#include <stddef.h>

/*
 * Unpacks what gzip, xz, zstd, lz4, lzma or bzip2 has packed. gzip is done here if luoctl was built
 * with zlib; for the others the program of that name is called. What is not packed is copied.
 * A NUL follows that does not count.
 *
 *  -ENOENT  the program is not installed
 *  -EBADMSG  nothing could be unpacked
 */
int unpack(const char *data, size_t size, char **ret_data, size_t *ret_size);

/* The name of the program that unpacks it; NULL if it is not packed. */
const char *unpack_program(const char *data, size_t size);

#endif
