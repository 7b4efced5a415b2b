/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_CLOSE_FOREIGN_H
#define LUOD_CLOSE_FOREIGN_H

#include <stddef.h>

/*
 * Closes fds that came from outside. A close() of a FUSE file, or of a TCP socket with SO_LINGER,
 * can take as long as another process wants; a child closes such files, so luod never waits.
 * Negative fds are skipped, and errno is kept.
 */
void close_foreign_many(const int *fds, size_t n);
void close_foreign(int fd);

#endif
