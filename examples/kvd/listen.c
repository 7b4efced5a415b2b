/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <luo/fdstore.h>

#include "kvd.h"

#define ACCEPTS 64 /* at a time, before it is the others' turn */

static void watch_listeners(struct server *server, bool accepting)
{
	for (unsigned i = 0; i < server->n_listeners; i++) {
		struct source *source = &server->listeners[i];
		struct epoll_event event = { .events = accepting ? EPOLLIN : 0,
					     .data.ptr = source };

		epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
	}
	server->accepting = accepting;
}

void server_accept_again(struct server *server)
{
	if (!server->accepting)
		watch_listeners(server, true);
}

/* Whoever comes to a full house is told so; otherwise it would wait, and not know for what. */
static void reject(struct server *server, int fd)
{
	static const char text[] = "ERROR Too many open connections\r\n";

	/* If even this does not fit, there is nobody to tell. */
	(void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	server->counters.rejected_connections++;
}

static void listener_ready(struct source *source, uint32_t events)
{
	struct server *server = source->server;
	int one = 1;

	for (unsigned i = 0; i < ACCEPTS; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			/* Without fds the listener stays ready. To be told so again and again would
			 * be all that is done; so nobody is listened to until somebody leaves. */
			if (errno != EAGAIN) {
				watch_listeners(server, false);
				server->counters.listen_disabled_num++;
			}
			return;
		}
		if (server->connections >= server->max_connections) {
			reject(server, fd);
			continue;
		}
		/* Fails on a Unix socket, which sends at once anyway. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connection_open(server, fd);
	}
}

static int add_listener(struct server *server, int fd)
{
	struct source *source = &server->listeners[server->n_listeners];
	int r;

	if (server->n_listeners == LISTENERS_MAX)
		return -E2BIG;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	*source = (struct source){ .fd = fd, .ready = listener_ready };
	r = server_watch(server, source, EPOLLIN);
	if (r >= 0)
		server->n_listeners++;
	return r;
}

/* -EADDRINUSE if somebody listens there; what a dead server left behind is removed. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, r;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	close(fd);
	if (r != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *address, unsigned mode)
{
	mode_t old_mask;
	int r = remove_stale(address);

	if (r < 0)
		return r;
	/* The right mode from the first instant on. */
	old_mask = umask(~mode & 0777);
	r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	umask(old_mask);
	return r;
}

int listen_unix(struct server *server, const char *path, unsigned mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r = -ENAMETOOLONG;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && strlen(path) < sizeof(address.sun_path)) {
		strcpy(address.sun_path, path);
		r = bind_unix(fd, &address, mode);
		if (r >= 0 && listen(fd, SOMAXCONN) < 0)
			r = -errno;
		if (r >= 0)
			r = add_listener(server, fd);
	}
	if (r < 0) {
		fprintf(stderr, "kvd: cannot listen on %s: %s\n", path, strerror(-r));
		if (fd >= 0)
			close(fd);
	}
	return r;
}

static int listen_address(struct server *server, const struct addrinfo *a)
{
	int one = 1, r = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* A restart must not wait for the connections of the one before to time out. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (r >= 0)
		r = add_listener(server, fd);
	if (r < 0)
		close(fd);
	return r;
}

int listen_tcp(struct server *server, const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;
	const char *why;
	int r = getaddrinfo(address, port, &hints, &found);

	if (r == 0) {
		r = listen_address(server, found);
		why = strerror(-r);
		freeaddrinfo(found);
	} else {
		why = gai_strerror(r);
		r = -EINVAL;
	}
	if (r < 0)
		fprintf(stderr, "kvd: cannot listen on %s, port %s: %s\n", address, port, why);
	return r;
}

/* With a kvd.socket, connections made while kvd restarts wait for it. The heap's memfd is among
 * what was passed, too. */
int listen_given(struct server *server)
{
	int fd, r, n = 0;

	for (size_t i = 0; luo_fdstore_at(i, NULL, &fd) >= 0; i++) {
		int listening = 0;
		socklen_t size = sizeof(listening);

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
			continue;
		r = add_listener(server, fd);
		if (r < 0) {
			fprintf(stderr, "kvd: cannot use a socket that was passed: %s\n",
				strerror(-r));
			return r;
		}
		n++;
	}
	return n;
}
