/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_CLIENT_FIXTURE_H
#define TESTS_UNIT_CLIENT_FIXTURE_H

/* A server of one connection, whose answers each test makes up, and a client that is connected. */

#include <pthread.h>

#include <luo/client.h>

#include "tests/unit/helpers.h"

#define TIMEOUT (5 * USEC_PER_SEC)

struct server {
	char directory[DIRECTORY_SIZE];
	char path[64];
	int listen_fd;
	int fd; /* of the connection */
	pthread_t thread;
	void (*serve)(struct server *server);
	char calls[8][4096]; /* what was said to it */
	size_t n_fds[8];
	size_t n;
};

static inline void server_accept(struct server *s)
{
	safe_close(s->fd);
	s->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

/* Reads one call, and closes the fds that come with it. False at the end of the connection. */
static inline bool server_hear(struct server *s)
{
	char *call = s->calls[s->n];
	size_t size = 0;

	for (;;) {
		union {
			char space[CMSG_SPACE(sizeof(int) * 253)];
			struct cmsghdr align;
		} control;
		struct iovec iov = { call + size, 1 };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		struct cmsghdr *c;

		if (recvmsg(s->fd, &h, MSG_CMSG_CLOEXEC) <= 0)
			return false;
		c = CMSG_FIRSTHDR(&h);
		if (c) {
			s->n_fds[s->n] = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			close_many((int *)CMSG_DATA(c), s->n_fds[s->n]);
		}
		if (call[size] == '\0')
			break;
		if (size + 1 < sizeof(s->calls[0]))
			size++;
	}
	s->n++;
	return true;
}

static inline void server_say_raw(struct server *s, const void *data, size_t size, const int *fds,
				  size_t n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	while (iov.iov_len > 0) {
		ssize_t n = sendmsg(s->fd, &h, MSG_NOSIGNAL);

		if (n < 0)
			return;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		h.msg_control = NULL;
		h.msg_controllen = 0;
	}
}

static inline void server_say(struct server *s, const char *text)
{
	server_say_raw(s, text, strlen(text) + 1, NULL, 0);
}

static inline void *server_run(void *userdata)
{
	struct server *s = userdata;

	server_accept(s);
	s->serve(s);
	s->fd = safe_close(s->fd);
	return NULL;
}

static inline int server_setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->fd = -EBADF;
	make_directory(s->directory);
	snprintf(s->path, sizeof(s->path), "%s/io.luo", s->directory);
	s->listen_fd = bound_socket(SOCK_STREAM, s->path);
	assert_int_equal(listen(s->listen_fd, 8), 0);
	*state = s;
	return 0;
}

static inline int server_teardown(void **state)
{
	struct server *s = *state;

	close(s->listen_fd);
	remove_directory(s->directory);
	free(s);
	return 0;
}

static inline struct luo_client *start(struct server *s, void (*serve)(struct server *s),
				       uint64_t timeout)
{
	struct luo_client *client = NULL;

	s->serve = serve;
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
	assert_int_equal(luo_client_connect(s->path, timeout, &client), 0);
	return client;
}

static inline void stop(struct server *s, struct luo_client *client)
{
	luo_client_free(client);
	pthread_join(s->thread, NULL);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, server_setup, server_teardown)

#endif
