/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luod talks to the supervisor through a socket pair, and the supervisor has both ends: so the last
 * messages of a luod that was killed are still there. The supervisor reads all of them before it
 * starts the next luod.
 */

#include "tools/luod/supervise.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/close-foreign.h"
#include "tools/luod/keeper.h"
#include "tools/luod/notify-parse.h"
#include "tools/luod/options.h"
#include "tools/luod/supervise-retrieve.h"
#include "tools/luod/supervise-start.h"

#define DELAY_MAX_USEC (5 * USEC_PER_SEC)
#define YOUNG_USEC     (5 * USEC_PER_SEC)
/* The time that luod may take to end. */
#define END_USEC (20 * USEC_PER_SEC)

/* ---- what is kept ---------------------------------------------------------------------------- */

static int keep_fd(struct supervisor *s, const char *name, int fd)
{
	struct kept *grown;
	char *copy;

	if (s->n_kept >= s->kept_allocated) {
		size_t n = MAX2(s->kept_allocated * 2, (size_t)64);

		grown = reallocarray(s->kept, n, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->kept = grown;
		s->kept_allocated = n;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	s->kept[s->n_kept++] = (struct kept){ .name = copy, .fd = fd };
	return 0;
}

static void forget_fds(struct supervisor *s, const char *name)
{
	size_t left = 0;

	for (size_t i = 0; i < s->n_kept; i++) {
		if (!streq(s->kept[i].name, name)) {
			s->kept[left++] = s->kept[i];
			continue;
		}
		close_foreign(s->kept[i].fd);
		free(s->kept[i].name);
	}
	s->n_kept = left;
}

/* ---- listening to luod ----------------------------------------------------------------------- */

static void handle_message(struct supervisor *s, const struct notify_message *m, int *fd)
{
	if (m->fdstore && m->fdname && *fd >= 0) {
		if (keep_fd(s, m->fdname, *fd) >= 0)
			*fd = -EBADF;
		else
			log_error("Cannot keep \"%s\": not enough memory.", m->fdname);
	} else if (m->fdstore_remove && m->fdname)
		forget_fds(s, m->fdname);
	if (m->ready) {
		s->ready = true;
		if (!s->was_ready)
			(void)sd_notify(false, "READY=1");
		s->was_ready = true;
	}
	/* The barrier opens when the caller closes its fd. */
}

/* 1: there was a message. */
static int receive_one(struct supervisor *s)
{
	union {
		struct cmsghdr header;
		char buffer[CMSG_SPACE(sizeof(int))];
	} control;
	char text[NOTIFY_SIZE_MAX + 1];
	struct iovec iov = { .iov_base = text, .iov_len = NOTIFY_SIZE_MAX };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct notify_message m;
	_cleanup_close_ int fd = -EBADF;
	struct cmsghdr *c;
	ssize_t n;

	n = recvmsg(s->ours, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return 0;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	if (mh.msg_flags & MSG_CTRUNC)
		log_error("Cannot receive an fd of luod: too many may be open.");
	if (notify_parse(text, (size_t)n, &m) >= 0)
		handle_message(s, &m, &fd);
	close_foreign(TAKE_FD(fd));
	return 1;
}

static void receive_all(struct supervisor *s)
{
	while (receive_one(s) > 0)
		;
}

/* ---- its end --------------------------------------------------------------------------------- */

static bool is_crash(int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status) != 0;
	return WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM;
}

static void describe_status(int status, char text[64])
{
	if (WIFSIGNALED(status))
		snprintf(text, 64, "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, 64, "exit status %d", WEXITSTATUS(status));
}

/*
 * Decides when to start luod again. A luod that was killed by another process did nothing wrong,
 * and starts at once.
 */
static void plan_restart(struct supervisor *s, int status)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC), delay = 0;
	bool young = now - s->started < YOUNG_USEC;
	char text[64];

	s->crashes = is_crash(status) && young ? s->crashes + 1 : 0;
	s->failures = (is_crash(status) && young) || !s->ready ? s->failures + 1 : 0;
	if (s->failures > 1)
		delay = MIN2((uint64_t)10000 << MIN2(s->failures, 12u), DELAY_MAX_USEC);
	s->start_at = now + delay;
	describe_status(status, text);
	log_full(is_crash(status) ? LOG_ERR : LOG_NOTICE,
		 "luod (process %d) has ended: %s. Starting it again%s, with %zu %s.",
		 (int)s->child, text, delay > 0 ? " in a while" : "", s->n_kept,
		 plural(s->n_kept, "fd", "fds"));
}

/* 1: the supervisor ends too, with *ret_status. */
static int reap_luod(struct supervisor *s, int *ret_status)
{
	int status;

	if (s->child <= 0 || waitpid(s->child, &status, WNOHANG) != s->child)
		return 0;
	/* Its last messages. */
	receive_all(s);
	if (s->ending || (!s->was_ready && s->n_kept_at_start == 0)) {
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		return 1;
	}
	plan_restart(s, status);
	s->child = 0;
	return 0;
}

static int on_signal(struct supervisor *s)
{
	struct signalfd_siginfo si;

	if (read(s->signals, &si, sizeof(si)) != sizeof(si) || si.ssi_signo == SIGCHLD)
		return 0;
	if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT) {
		s->ending = true;
		s->end_by = now_usec(CLOCK_MONOTONIC) + END_USEC;
	}
	if (s->child > 0)
		(void)kill(s->child, (int)si.ssi_signo);
	return s->ending && s->child <= 0;
}

static int timeout_msec(const struct supervisor *s)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC), at;

	if (s->child > 0 && !s->ending)
		return -1;
	at = s->child > 0 ? s->end_by : s->start_at;
	return at > now ? (int)MIN2((at - now) / USEC_PER_MSEC + 1, UINT64_C(60000)) : 0;
}

static int run_loop(struct supervisor *s)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = s->ours, .events = POLLIN },
			{ .fd = s->signals, .events = POLLIN },
		};
		int status;

		if (s->child <= 0 && now_usec(CLOCK_MONOTONIC) >= s->start_at &&
		    supervise_start(s) < 0)
			s->start_at = now_usec(CLOCK_MONOTONIC) + USEC_PER_SEC;
		if (poll(p, ELEMENTSOF(p), timeout_msec(s)) < 0 && errno != EINTR)
			return -errno;
		receive_all(s);
		if (p[1].revents && on_signal(s))
			return 0;
		if (reap_luod(s, &status))
			return status;
		if (s->ending && s->child > 0 && now_usec(CLOCK_MONOTONIC) >= s->end_by) {
			log_error("luod does not end, killing it.");
			(void)kill(s->child, SIGKILL);
			s->end_by += END_USEC;
		}
	}
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void make_arguments(struct supervisor *s, const struct options *o, char *argv0)
{
	size_t n = 0;

	/* A failed asprintf() leaves out one option. */
	s->argv[n++] = argv0;
	if (asprintf(&s->argv[n], "--session=%s", o->session) > 0)
		n++;
	if (asprintf(&s->argv[n], "--runtime-dir=%s", o->runtime_dir) > 0)
		n++;
	if (asprintf(&s->argv[n], "--fdstore-max-total=%u", o->fdstore_max_total) > 0)
		n++;
	if (asprintf(&s->argv[n], "--fdstore-max=%u", o->fdstore_max) > 0)
		n++;
	if (asprintf(&s->argv[n], "--log-level=%s", log_level_name(o->log_level)) > 0)
		n++;
	if (o->no_live_update)
		s->argv[n++] = (char *)"--no-live-update";
	s->argv[n] = NULL;
}

static int setup(struct supervisor *s)
{
	sigset_t mask;
	ssize_t n;
	int pair[2];

	n = readlink("/proc/self/exe", s->path, sizeof(s->path) - 1);
	if (n < 0)
		return -errno;
	s->path[n] = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s->ours = pair[0];
	s->theirs = pair[1];
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

int supervise(const struct options *options, int argc, char *argv[])
{
	struct supervisor s = { .ours = -EBADF, .theirs = -EBADF, .signals = -EBADF };
	int r;

	/* "killall luod" means the other one. */
	(void)prctl(PR_SET_NAME, "luod-supervisor");
	make_arguments(&s, options, argv[0]);
	supervise_limits(options);
	r = setup(&s);
	if (r < 0) {
		log_error("Cannot set up the supervisor: %s.", strerror(-r));
		return r;
	}
	if (!options->no_live_update)
		supervise_retrieve(&s, options->session, keep_fd);
	s.n_kept_at_start = s.n_kept;
	supervise_protect(&s, true);
	r = run_loop(&s);
	kept_free(s.kept, s.n_kept);
	return r;
}
