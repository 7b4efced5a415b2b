/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * When luod could not tell the next boot what happened, this does.
 *
 * A session lives as long as an fd of it, and this program has to end, or systemd-shutdown would
 * wait for it. So a child stays with the fd. At this time nobody is killed any more:
 * systemd-shutdown has sent its SIGTERM and SIGKILL before it runs the programs in its folder, and
 * afterwards it does sync and kexec. Its helper that runs them asks the kernel for a SIGTERM to
 * them when it ends (PR_SET_PDEATHSIG); a fork does not inherit that. The '@' in front of its name
 * is for an exitrd, which may go killing once more.
 */

#include "shutdown-hook/shutdown-index.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <json-c/json_object.h>

#include <luo/session.h>

#include "common/json.h"
#include "common/util.h"

#define DEVICE_USEC (2 * USEC_PER_SEC)
#define HOLDER_NAME "@luo-index"

static struct json_object *make_document(const struct index_report *r)
{
	struct json_object *o = json_object_new_object(), *report = json_object_new_object(),
			   *problems = json_object_new_array();

	json_add_number(o, "version", 1);
	json_add(o, "units", json_object_new_array());
	json_add_number(report, "entries", r->entries);
	json_add_number(report, "preserved", 0);
	json_add_number(report, "lost", r->entries);
	json_add_number(report, "bytes", 0);
	json_add_number(report, "usec", r->usec);
	json_add_number(report, "when", now_usec(CLOCK_REALTIME));
	json_append_string(problems, r->problem);
	json_add(report, "problems", problems);
	json_add(o, "report", report);
	return o;
}

static int make_memfd(const struct index_report *report, int *ret_fd)
{
	struct json_object *o = make_document(report);
	const char *text = json_to_text(o);
	_cleanup_close_ int fd = memfd_create(INDEX_SESSION, MFD_CLOEXEC);
	int r = fd < 0 ? -errno : !text ? -ENOMEM : 0;

	if (r == 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		r = errno ? -errno : -EIO;
	json_object_put(o);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

static int make_session(const struct index_report *report, int *ret_fd)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, memfd = -EBADF;
	int r;

	r = make_memfd(report, &memfd);
	if (r == 0)
		r = luo_device_open(DEVICE_USEC, &device);
	if (r == 0)
		r = luo_session_create(device, INDEX_SESSION, &session);
	if (r == 0)
		r = luo_session_preserve_fd(session, memfd, LUO_TOKEN_MAPPING);
	if (r == 0)
		*ret_fd = TAKE_FD(session);
	return r;
}

/* Takes nothing along but the session: neither a console nor a file system is to be kept busy. */
static void __attribute__((__noreturn__)) hold(int session, char *argv0)
{
	size_t n = strlen(argv0);
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setsid();
	ignore_result(chdir("/"));
	(void)prctl(PR_SET_NAME, HOLDER_NAME);
	memset(argv0, 0, n);
	memcpy(argv0, HOLDER_NAME, MIN2(n, strlen(HOLDER_NAME)));
	if (dup2(session, 0) == 0)
		(void)syscall(SYS_close_range, 1, ~0U, 0);
	for (;;)
		pause();
}

int index_leave_report(const struct index_report *report, char *argv0)
{
	_cleanup_close_ int session = -EBADF;
	pid_t pid;
	int r;

	r = make_session(report, &session);
	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		hold(session, argv0);
	return 0;
}
