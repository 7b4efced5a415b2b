/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The side of PID 1: what goes to its notify socket, and what it has. */

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>

#include "common/util.h"
#include "shutdown-hook/restore.h"

/* PID 1 may have a hundred services to start before it looks at its socket. */
#define BARRIER_TIMEOUT (60 * USEC_PER_SEC)

/* Linux 6.10; the headers of the build host may be older. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif

void restore_notify(const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)sd_notify(false, text);
}

int restore_push(const struct restore_fd *fd)
{
	char text[512];
	int r;

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s%s", fd->name,
		 fd->poll ? "" : "\nFDPOLL=0");
	r = sd_pid_notify_with_fds(0, false, text, &fd->fd, 1);
	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}

int restore_barrier(void)
{
	int r = sd_notify_barrier(false, BARRIER_TIMEOUT);

	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}

/* ---- one open file description --------------------------------------------------------------- */

static bool is_same_description(int a, int b)
{
	int r = fcntl(a, F_DUPFD_QUERY, b);

	return r == 1;
}

/*
 * Before the kexec they were two, or PID 1 would have had only one: the kernel brings back one file
 * for both. So the second is opened anew, where it stood.
 */
static int reopen(struct restore_fd *fd)
{
	_cleanup_close_ int new = -EBADF;
	char path[32];
	off_t offset;
	int flags;

	flags = fcntl(fd->fd, F_GETFL);
	offset = lseek(fd->fd, 0, SEEK_CUR);
	if (flags < 0 || offset < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd->fd);
	new = open(path, (flags & (O_ACCMODE | O_APPEND | O_NONBLOCK)) | O_CLOEXEC | O_NOCTTY);
	if (new < 0 || lseek(new, offset, SEEK_SET) < 0)
		return -errno;
	safe_close(fd->fd);
	fd->fd = TAKE_FD(new);
	return 0;
}

int restore_separate(struct restore_fds *fds)
{
	int failed = 0;

	for (size_t i = 0; i < fds->n; i++) {
		struct restore_fd *fd = &fds->items[i];

		for (size_t k = 0; fd->fd >= 0 && S_ISREG(fd->mode) && k < i; k++) {
			const struct restore_fd *before = &fds->items[k];

			if (before->fd < 0 || before->inode != fd->inode ||
			    before->device != fd->device)
				continue;
			fd->again = true;
			if (is_same_description(before->fd, fd->fd)) {
				int r = reopen(fd);

				failed = r < 0 ? r : failed;
			}
		}
	}
	return failed;
}

/* ---- what it has ----------------------------------------------------------------------------- */

/* All anonymous inodes (sessions) are one inode; the link has the name of the session. */
static bool is_same_file(const struct restore_fd *fd, const struct luo_manager_fd *other)
{
	if (fd->device != other->device || fd->inode != other->inode)
		return false;
	return (fd->mode & S_IFMT) != 0 ||
	       (fd->path && other->path && streq(fd->path, other->path));
}

size_t restore_match(const struct restore_fds *fds, const struct luo_manager_fd *have,
		     size_t n_have, bool *taken)
{
	_cleanup_free_ bool *used = calloc(n_have + 1, sizeof(*used));
	size_t n = 0;

	for (size_t i = 0; i < fds->n; i++) {
		const struct restore_fd *fd = &fds->items[i];

		taken[i] = false;
		for (size_t k = 0; used && fd->fd >= 0 && k < n_have && !taken[i]; k++)
			if (!used[k] && streq(fd->name, have[k].name) && is_same_file(fd, &have[k]))
				taken[i] = used[k] = true;
		n += taken[i];
	}
	return n;
}
