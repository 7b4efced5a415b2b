/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_CLOSE_FOREIGN_H
#define LUOD_CLOSE_FOREIGN_H

#include <stddef.h>

/*
 * Closes fds that came from outside. close() of a file of FUSE, or of a TCP socket with SO_LINGER,
 * may take as long as somebody else likes; what may do that is left to a child to close. Negative
 * ones are skipped, errno stays.
 */
void close_foreign_many(const int *fds, size_t n);
void close_foreign(int fd);

#endif
