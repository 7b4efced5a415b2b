/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The keeper has a copy of each socket: what clients have sent to a luod that was killed waits for
 * the next one, and no client sees "connection refused".
 */

#include "tools/luod/sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <luo/client.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"

#define BACKLOG 128

/* Linux 6.5; the headers of the build host may be older. */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

static int make_address(const struct luod *l, const char *name, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", l->options.runtime_dir, name);
	if (n < 0 || (size_t)n >= sizeof(ret->sun_path)) {
		log_error("The path %s/%s is too long for a socket: it may have 107 bytes.",
			  l->options.runtime_dir, name);
		return -ENAMETOOLONG;
	}
	return 0;
}

/* Another luod listens there. */
static bool is_in_use(const struct sockaddr_un *address, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) >= 0;
}

/* Before bind(): a datagram that is sent earlier does not name its sender. */
static int enable_sender_names(int fd)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
		log_debug("This kernel has no SO_PASSPIDFD: a sender is known by its pid.");
	/* For kernels without: a process that started after a datagram was sent did not send it. */
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

static int make_socket(struct luod *l, const char *name, int type, mode_t mode, int *ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un address;
	int r;

	r = make_address(l, name, &address);
	if (r < 0)
		return r;
	if (is_in_use(&address, type)) {
		log_error("%s is in use: another luod is running.", address.sun_path);
		return -EADDRINUSE;
	}
	if (unlink(address.sun_path) < 0 && errno != ENOENT) {
		log_error("Cannot remove the old %s: %s.", address.sun_path, strerror(errno));
		return -errno;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = type == SOCK_DGRAM ? enable_sender_names(fd) : 0;
	if (r < 0)
		return r;
	/* The mode of the socket is set before a client can connect: listen() comes later. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, mode) < 0) {
		r = -errno;
		log_error("Cannot make the socket %s: %s.", address.sun_path, strerror(-r));
		return r;
	}
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

/* The socket from the keeper is still the one at this path. */
static bool is_at_path(struct luod *l, int fd, const char *name)
{
	struct sockaddr_un address, its = { 0 };
	socklen_t size = sizeof(its);
	struct stat st;

	return make_address(l, name, &address) >= 0 &&
	       getsockname(fd, (struct sockaddr *)&its, &size) >= 0 &&
	       streq(its.sun_path, address.sun_path) && lstat(address.sun_path, &st) >= 0 &&
	       S_ISSOCK(st.st_mode);
}

static int open_socket(struct luod *l, struct kept *kept, size_t n, const char *kept_name,
		       const char *name, int type, mode_t mode, int *ret)
{
	int fd = -EBADF, r;

	for (size_t i = 0; i < n; i++)
		if (streq(kept[i].name, kept_name) && kept[i].fd >= 0) {
			safe_close(fd);
			fd = TAKE_FD(kept[i].fd);
		}
	if (fd >= 0) {
		if (is_at_path(l, fd, name)) {
			/* An older luod may have made it. */
			r = type == SOCK_DGRAM ? enable_sender_names(fd) : 0;
			if (r < 0) {
				safe_close(fd);
				return r;
			}
			*ret = fd;
			return 0;
		}
		log_warning("%s/%s was removed, making it again.", l->options.runtime_dir, name);
		safe_close(fd);
		(void)keeper_remove(&l->keeper, kept_name);
		(void)keeper_barrier(&l->keeper);
	}
	r = make_socket(l, name, type, mode, &fd);
	if (r < 0)
		return r;
	r = keeper_push(&l->keeper, kept_name, fd);
	if (r < 0) {
		safe_close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

int sockets_open(struct luod *l, struct kept *kept, size_t n)
{
	int r;

	if (mkdir(l->options.runtime_dir, 0755) < 0 && errno != EEXIST) {
		log_error("Cannot make the directory %s: %s.", l->options.runtime_dir,
			  strerror(errno));
		return -errno;
	}
	r = open_socket(l, kept, n, "varlink", LUO_SOCKET_NAME, SOCK_STREAM, 0666, &l->varlink_fd);
	if (r < 0)
		return r;
	/* Any process may send. What it may do depends on its unit. */
	r = open_socket(l, kept, n, "notify", LUO_NOTIFY_NAME, SOCK_DGRAM, 0777, &l->notify_fd);
	if (r < 0)
		return r;
	return keeper_settle(&l->keeper);
}

/* At the end of luod; the keeper still has the sockets if it starts luod again. */
void sockets_close(struct luod *l)
{
	l->notify_source = sd_event_source_disable_unref(l->notify_source);
	l->notify_fd = safe_close(l->notify_fd);
	l->varlink_fd = safe_close(l->varlink_fd);
}
