/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A grandchild keeps such fds open, and no others, while luod closes its own: so the close in luod
 * is not the last one. Then the grandchild exits. The exit of a process does not wait for a socket,
 * and if it hangs in another file system, only this process hangs. Its parent is gone by then, so
 * luod does not have to reap it.
 */

#include "tools/luod/close-foreign.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/util.h"

#define BATCH 256

/* Memory and pipes. A call that asks the file system, such as fstat(), may hang too. */
static bool is_harmless(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 || fcntl(fd, F_GETPIPE_SZ) >= 0;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all fds but @fds, which are sorted. luod has all of them open too, so this cannot hang. */
static void close_others(const int *fds, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i < n; i++) {
		if ((unsigned)fds[i] > from)
			(void)syscall(SYS_close_range, from, (unsigned)fds[i] - 1, 0);
		from = (unsigned)fds[i] + 1;
	}
	(void)syscall(SYS_close_range, from, ~0U, 0);
}

static void run_child(int *fds, size_t n, int wait_fd)
{
	char byte;

	fds[n++] = wait_fd;
	qsort(fds, n, sizeof(*fds), compare);
	close_others(fds, n);
	if (fork() == 0) {
		(void)prctl(PR_SET_NAME, "luod-close");
		while (read(wait_fd, &byte, 1) < 0 && errno == EINTR)
			;
	}
	_exit(0);
}

/* @fds has room for one more. */
static int close_in_child(int *fds, size_t n)
{
	int ends[2], r = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_child(fds, n, ends[0]);
	if (pid < 0)
		r = -errno;
	else
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (r >= 0)
		close_many(fds, n);
	close(ends[0]);
	/* Now the grandchild goes on. */
	close(ends[1]);
	return r;
}

void close_foreign_many(const int *fds, size_t n)
{
	int slow[BATCH + 1], saved = errno;
	size_t n_slow = 0;

	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0 && is_harmless(fds[i]))
			close(fds[i]);
		else if (fds[i] >= 0)
			slow[n_slow++] = fds[i];
		if (n_slow == 0 || (n_slow < BATCH && i + 1 < n))
			continue;
		/* A few open fds are better than a daemon that hangs. */
		if (close_in_child(slow, n_slow) < 0)
			log_limited(LOG_ERR, "Cannot fork: leaving %zu %s open.", n_slow,
				    plural(n_slow, "fd", "fds"));
		n_slow = 0;
	}
	errno = saved;
}

void close_foreign(int fd)
{
	close_foreign_many(&fd, 1);
}
