/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "common/util.h"

#define BARRIER_TIMEOUT_MSEC 30000

/* ---- names ----------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static char *put_number(char *to, uint64_t n)
{
	char reverse[16];
	size_t k = 0;

	do {
		reverse[k++] = digits[n % 62];
		n /= 62;
	} while (n > 0);
	while (k > 0)
		*to++ = reverse[--k];
	*to = 0;
	return to;
}

char *keeper_name(char prefix, uint64_t number, char buffer[KEEPER_NAME_SIZE])
{
	buffer[0] = prefix;
	put_number(buffer + 1, number);
	return buffer;
}

char *keeper_name2(char prefix, uint64_t number, uint64_t n, char buffer[KEEPER_NAME_SIZE])
{
	char *p;

	buffer[0] = prefix;
	p = put_number(buffer + 1, number);
	*p = '.';
	put_number(p + 1, n);
	return buffer;
}

int keeper_name_parse(const char *name, char prefix, uint64_t *ret)
{
	uint64_t n = 0;
	size_t k = 0;

	if (*name++ != prefix)
		return -EINVAL;
	for (; *name && *name != '.'; name++, k++) {
		const char *digit = strchr(digits, *name);

		if (!digit || k >= 10)
			return -EINVAL;
		n = n * 62 + (uint64_t)(digit - digits);
	}
	if (k == 0)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* ---- talking to it --------------------------------------------------------------------------- */

static int open_supervisor(const char *text, struct keeper *ret)
{
	struct stat st;
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || *end || end == text || fd < 3 || fd > INT32_MAX || fstat((int)fd, &st) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return -EINVAL;
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	*ret = (struct keeper){ .kind = KEEPER_SUPERVISOR, .fd = (int)fd };
	return 0;
}

static int open_systemd(const char *path, struct keeper *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -EBADF;
	size_t n = strlen(path);

	if (n < 2 || n >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -EINVAL;
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	else
		n++;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return -errno;
	*ret = (struct keeper){ .kind = KEEPER_SYSTEMD, .fd = TAKE_FD(fd) };
	return 0;
}

int keeper_open(struct keeper *ret)
{
	const char *supervisor = getenv("LUOD_KEEPER"), *systemd = getenv("NOTIFY_SOCKET");
	int r = 0;

	*ret = (struct keeper){ .kind = KEEPER_NONE, .fd = -EBADF };
	if (supervisor)
		r = open_supervisor(supervisor, ret);
	else if (systemd)
		r = open_systemd(systemd, ret);
	unsetenv("LUOD_KEEPER");
	unsetenv("NOTIFY_SOCKET");
	return r;
}

const char *keeper_to_string(const struct keeper *keeper)
{
	static const char *const names[] = { "none", "systemd", "supervisor" };

	return names[keeper->kind];
}

static int keeper_send(struct keeper *keeper, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char buffer[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (keeper->kind == KEEPER_NONE)
		return 0;
	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	/* Blocks while the keeper is busy: luod can do nothing without it. */
	while (sendmsg(keeper->fd, &mh, MSG_NOSIGNAL) < 0) {
		/* The supervisor was killed; luod says so when it sees the hang-up. */
		if (keeper->kind == KEEPER_SUPERVISOR && (errno == EPIPE || errno == ECONNRESET)) {
			keeper->kind = KEEPER_NONE;
			return 0;
		}
		/*
		 * PID 1 has become systemd-shutdown: from now on no other process has the fds of
		 * luod.
		 */
		if (keeper->kind == KEEPER_SYSTEMD &&
		    (errno == ECONNREFUSED || errno == ENOTCONN)) {
			keeper->kind = KEEPER_NONE;
			return 0;
		}
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int keeper_notify(struct keeper *keeper, const char *text)
{
	return keeper_send(keeper, text, -1);
}

int keeper_push(struct keeper *keeper, const char *name, int fd)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return keeper_send(keeper, text, fd);
}

int keeper_remove(struct keeper *keeper, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return keeper_send(keeper, text, -1);
}

int keeper_barrier(struct keeper *keeper)
{
	_cleanup_close_ int ours = -EBADF, theirs = -EBADF;
	struct pollfd p;
	int fds[2], r;

	if (keeper->kind == KEEPER_NONE)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	r = keeper_send(keeper, "BARRIER=1", theirs);
	if (r < 0)
		return r;
	theirs = safe_close(theirs);
	if (keeper->kind == KEEPER_NONE)
		return 0;
	p = (struct pollfd){ .fd = ours };
	do
		r = poll(&p, 1, BARRIER_TIMEOUT_MSEC);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

int keeper_settle(struct keeper *keeper)
{
	return keeper->kind == KEEPER_SYSTEMD && !keeper->lazy ? keeper_barrier(keeper) : 0;
}

/* ---- what it gives back ---------------------------------------------------------------------- */

int keeper_take(struct kept **ret, size_t *ret_n)
{
	char **names = NULL;
	struct kept *kept;
	int n;

	n = sd_listen_fds_with_names(true, &names);
	if (n < 0)
		return n;
	kept = calloc((size_t)n + 1, sizeof(*kept));
	for (int i = 0; i < n; i++) {
		if (kept)
			kept[i] = (struct kept){ .name = names[i], .fd = SD_LISTEN_FDS_START + i };
		else
			free(names[i]);
	}
	free(names);
	if (!kept)
		return -ENOMEM;
	*ret = kept;
	*ret_n = (size_t)n;
	return 0;
}

void kept_free(struct kept *kept, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		safe_close(kept[i].fd);
		free(kept[i].name);
	}
	free(kept);
}
