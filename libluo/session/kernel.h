/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_SESSION_KERNEL_H
#define LIBLUO_SESSION_KERNEL_H

/*
 * The seam between session.c and the kernel. Tests replace the kernel with a fake device here.
 * Internal: not installed, not exported.
 */

#include <stddef.h>

#include <luo/session.h>

struct luo_kernel {
	/* open(2) of the device; fd or negative errno */
	int (*open_device)(void);
	/* ioctl(2); 0 or negative errno */
	int (*ioctl)(int fd, unsigned long request, void *argument);
	/* readlink(2) of /proc/self/fd/FD, NUL-terminated; 0 or negative errno */
	int (*link_of)(int fd, char *buffer, size_t size);
	enum luo_support (*support)(void);
	/* true if the entry @name of the directory @fd_dir (a /proc/PID/fd) is the device */
	bool (*is_device)(int fd_dir, const char *name);
};

/* Sets what session.c talks to; NULL selects the real kernel. Returns the previous one. */
const struct luo_kernel *luo_kernel_set(const struct luo_kernel *kernel);

/* The current one; never NULL. */
const struct luo_kernel *luo_kernel_get(void);

/*
 * Reads the link of an fd through the seam. -EBADF if @fd is not open, -ENOENT if there is no
 * /proc, -ENAMETOOLONG if the link does not fit into @buffer.
 */
int luo_fd_link(int fd, char *buffer, size_t size);

#endif
