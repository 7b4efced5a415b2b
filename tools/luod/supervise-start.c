/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/supervise-start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/keeper.h"
#include "tools/luod/options.h"
#include "tools/luod/supervise.h"

#define FDS_BESIDE 1024

void supervise_limits(const struct options *options)
{
	rlim_t want = (rlim_t)options->fdstore_max_total + FDS_BESIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = MAX2(limit.rlim_max, want);
	if (limit.rlim_max < want) {
		struct rlimit more = { want, want };

		if (setrlimit(RLIMIT_NOFILE, &more) >= 0)
			return;
		limit.rlim_cur = limit.rlim_max;
	}
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void supervise_protect(struct supervisor *s, bool protect)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	if (protect) {
		n = read(fd, s->oom_score, sizeof(s->oom_score) - 1);
		s->oom_score[n > 0 ? n : 0] = 0;
	}
	/* Without the privilege, the score stays as it is. */
	n = pwrite(fd, protect ? "-1000" : s->oom_score,
		   protect ? strlen("-1000") : strlen(s->oom_score), 0);
	(void)n;
}

/*
 * In the child: makes the kept fds 3 and up, in their order, and the socket the next one. A fd that
 * is in the way is moved. Not more than one fd more than before is open at any time: the store may
 * be as large as the limit allows.
 */
static int arrange_fds(struct supervisor *s, int *ret_socket)
{
	int n = (int)s->n_kept + 1, end = 3 + n, r = 0;
	_cleanup_free_ int *from = calloc((size_t)n, sizeof(int));
	/* Which of them is at 3 + i: 1 + its index; 0: none. */
	_cleanup_free_ int *at = calloc((size_t)n, sizeof(int));

	if (!from || !at)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		from[i] = i < n - 1 ? s->kept[i].fd : s->theirs;
		if (from[i] >= 3 && from[i] < end)
			at[from[i] - 3] = 1 + i;
	}
	for (int i = 0; i < n; i++) {
		int other = at[i] - 1;

		if (from[i] == 3 + i) {
			if (fcntl(from[i], F_SETFD, 0) < 0)
				r = -errno;
			continue;
		}
		if (other >= 0) {
			from[other] = fcntl(3 + i, F_DUPFD_CLOEXEC, end);
			if (from[other] < 0)
				return -errno;
		}
		if (dup2(from[i], 3 + i) < 0)
			return -errno;
		if (from[i] >= 3 && from[i] < end)
			at[from[i] - 3] = 0;
		close(from[i]);
	}
	*ret_socket = end - 1;
	return r;
}

static int set_number(const char *name, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	return setenv(name, text, 1) < 0 ? -errno : 0;
}

static int set_names(struct supervisor *s)
{
	_cleanup_free_ char *names = NULL;
	size_t size = 1, at = 0;
	int r = 0;

	for (size_t i = 0; i < s->n_kept; i++)
		size += strlen(s->kept[i].name) + 1;
	names = calloc(1, size);
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_kept; i++)
		at += (size_t)sprintf(names + at, "%s%s", i > 0 ? ":" : "", s->kept[i].name);
	if (setenv("LISTEN_FDNAMES", names, 1) < 0)
		r = -errno;
	return r;
}

static int set_environment(struct supervisor *s, int socket_fd)
{
	int r;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("FDSTORE");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	r = set_number("LUOD_KEEPER", socket_fd);
	if (r >= 0)
		r = set_number("LUOD_CRASHES", s->crashes);
	/* Remove those of the supervisor. luod accepts no LISTEN_FDS, but not LISTEN_FDS=0. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (r < 0 || s->n_kept == 0)
		return r;
	r = set_number("LISTEN_PID", getpid());
	if (r >= 0)
		r = set_number("LISTEN_FDS", (long)s->n_kept);
	return r < 0 ? r : set_names(s);
}

static _Noreturn void exec_luod(struct supervisor *s)
{
	sigset_t none;
	int socket_fd = -EBADF, r;

	r = arrange_fds(s, &socket_fd);
	if (r >= 0)
		r = set_environment(s, socket_fd);
	if (r >= 0) {
		supervise_protect(s, false);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* By its path: after an upgrade, this is the new program. */
		execv(s->path, s->argv);
		execv("/proc/self/exe", s->argv);
		r = -errno;
	}
	log_error("Cannot start luod: %s.", strerror(-r));
	_exit(EXIT_FAILURE);
}

int supervise_start(struct supervisor *s)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_luod(s);
	s->child = pid;
	s->ready = false;
	s->started = now_usec(CLOCK_MONOTONIC);
	return 0;
}
