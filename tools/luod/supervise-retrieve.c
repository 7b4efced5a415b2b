/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * To find the further sessions, a process has to read a mapping that came from another kernel. The
 * supervisor does not do that: a child does it that shares the table of fds (CLONE_FILES) and
 * nothing else. The supervisor has every fd that the child has opened, however the child ends.
 */

#include "tools/luod/supervise-retrieve.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <luo/inspect.h>
#include <luo/session.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/keeper.h"
#include "tools/luod/retrieve.h"
#include "tools/luod/supervise.h"

#define FDS_SEEN_MAX 4096

static bool was_open(const int *before, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++)
		if (before[i] == fd)
			return true;
	return false;
}

static size_t list_fds(int *fds, size_t max)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *de;
	size_t n = 0;

	if (!dir)
		return 0;
	while ((de = readdir(dir)) && n < max)
		if (de->d_name[0] != '.' && atoi(de->d_name) != dirfd(dir))
			fds[n++] = atoi(de->d_name);
	closedir(dir);
	return n;
}

static void run_child(const char *session)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	int status;

	if (pid == 0)
		_exit(retrieve_sessions(session, RETRIEVE_TIMEOUT_USEC, NULL, NULL) < 0
			      ? EXIT_FAILURE
			      : EXIT_SUCCESS);
	if (pid < 0) {
		log_error("Cannot start a process to retrieve what the previous kernel left: %s.",
			  strerror(errno));
		return;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		log_error(
			"The process that retrieves what the previous kernel left was killed by signal %d.",
			WTERMSIG(status));
}

void supervise_retrieve(struct supervisor *s, const char *session,
			int (*keep)(struct supervisor *s, const char *name, int fd))
{
	_cleanup_free_ int *before = NULL, *after = NULL;
	size_t n_before, n_after, n = 0;

	if (luo_support() != LUO_SUPPORT_ON)
		return;
	before = calloc(FDS_SEEN_MAX, sizeof(int));
	after = calloc(FDS_SEEN_MAX, sizeof(int));
	if (!before || !after)
		return;
	n_before = list_fds(before, FDS_SEEN_MAX);
	run_child(session);
	n_after = list_fds(after, FDS_SEEN_MAX);
	for (size_t i = 0; i < n_after; i++) {
		char name[KEEPER_NAME_SIZE];
		int fd = after[i];

		if (was_open(before, n_before, fd))
			continue;
		if (luo_fd_is_session(fd) != 1) {
			/* The device, if the child was killed. */
			safe_close(fd);
			continue;
		}
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		/* On failure it stays open: a leaked fd is better than freed memory. */
		(void)keep(s, keeper_name('i', n, name), fd);
		n++;
	}
	if (n > 0)
		log_info("Retrieved %zu %s of the previous kernel.", n,
			 plural(n, "session", "sessions"));
}
