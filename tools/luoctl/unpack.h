/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_UNPACK_H
#define LUOCTL_UNPACK_H

#include <stddef.h>

/* A kernel with everything in it has some 100 MiB. What pretends to be larger would only eat the
 * memory of a machine that is about to need it. */
#ifndef UNPACKED_MAX
#define UNPACKED_MAX ((size_t)512 << 20)
#endif

/*
 * Unpacks what gzip, xz, lzma, zstd, lz4, bzip2 or lzop has packed. The first four are done here if
 * luoctl was built with zlib, liblzma and libzstd; for the others the program of that name is
 * called. What is not packed is copied, and what stands behind the packed data is not looked at.
 * A NUL follows that does not count.
 *
 *  -ENOENT   the program is not installed
 *  -ENODATA  the packed data ends before its end
 *  -EBADMSG  it is damaged
 *  -EFBIG    it unpacks to more than UNPACKED_MAX
 */
int unpack(const char *data, size_t size, char **ret_data, size_t *ret_size);

/* The name of the program that unpacks it; NULL if it is not packed. */
const char *unpack_program(const char *data, size_t size);

#endif
