/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The event loop. A connection either waits for input or for room for its output, never for both:
 * who does not read the answers gets no further questions answered, and costs no more memory.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kvd.h"

#define READ_MIN 4096 /* fewer bytes are not worth a system call */
#define ROUNDS   16   /* of filling and sending, before it is the others' turn */

int64_t clock_usec(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int server_watch(struct server *server, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	source->server = server;
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
		return -errno;
	return 0;
}

static void connection_close(struct connection *c)
{
	struct server *server = c->source.server;

	if (c->next)
		c->next->previous = c->previous;
	*(c->previous ? &c->previous->next : &server->first) = c->next;
	server->connections--;
	close(c->source.fd);
	buffer_clear(&c->in);
	buffer_clear(&c->out);
	free(c);
	server_accept_again(server);
}

/* 0 if everything is sent, 1 if the other end has no room, negative if it is gone. */
static int flush(struct connection *c)
{
	while (buffer_used(&c->out) > 0) {
		ssize_t n = send(c->source.fd, buffer_begin(&c->out), buffer_used(&c->out),
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		buffer_consume(&c->out, (size_t)n);
		c->source.server->counters.bytes_written += (uint64_t)n;
	}
	return 0;
}

/* Works off what is in, until there is nothing to do, or no room for answers. 0: waits for input,
 * 1: for output, negative: to be closed. */
static int work(struct connection *c)
{
	bool more = true;
	int r;

	for (unsigned i = 0; i < ROUNDS; i++) {
		/* What could not be sent goes first. */
		r = flush(c);
		if (r != 0)
			return r;
		if (c->closing)
			return -ECONNRESET;
		if (!more)
			return 0;
		more = protocol_run(c);
	}
	return 1;
}

/* Negative if the connection is at its end. */
static int receive(struct connection *c)
{
	struct buffer *in = &c->in;
	size_t room = c->wanted > buffer_used(in) ? c->wanted - buffer_used(in) : READ_MIN;
	ssize_t n;
	int r;

	r = buffer_reserve(in, room);
	if (r < 0)
		return r;
	n = recv(c->source.fd, in->data + in->end, in->size - in->end, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	in->end += (size_t)n;
	c->source.server->counters.bytes_read += (uint64_t)n;
	/* The other end will say no more, but perhaps it listens. Whatever it said is done:
	 * input is only read when there is no output left. */
	return n == 0 ? -ECONNRESET : 0;
}

static void connection_ready(struct source *source, uint32_t events)
{
	struct connection *c = (struct connection *)source;
	int r = c->events == EPOLLIN ? receive(c) : 0;

	if (r >= 0)
		r = work(c);
	if (r >= 0) {
		struct epoll_event event = { .events = r ? EPOLLOUT : EPOLLIN, .data.ptr = source };

		buffer_release(&c->in);
		buffer_release(&c->out);
		if (event.events == c->events)
			return;
		c->events = event.events;
		r = epoll_ctl(source->server->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
	}
	if (r < 0)
		connection_close(c);
}

void connection_open(struct server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->source = (struct source){ .fd = fd, .ready = connection_ready, .server = server };
	c->events = EPOLLIN;
	c->next = server->first;
	if (c->next)
		c->next->previous = c;
	server->first = c;
	server->connections++;
	server->counters.total_connections++;
	if (server_watch(server, &c->source, c->events) < 0)
		connection_close(c);
}

/* Until a signal says to stop. Looks after dead items once a second, and when there are many of
 * them, whenever nothing else is to be done. */
int server_loop(struct server *server)
{
	struct epoll_event events[128];
	/* Not at once: after a restart each item that is looked at is a page fault, and the first
	 * clients would wait for ten thousand of them. */
	int64_t next_sweep = clock_usec(CLOCK_MONOTONIC) + 1000000;

	while (!server->stop) {
		int64_t now = clock_usec(CLOCK_MONOTONIC);
		int n, timeout = now < next_sweep ? (int)((next_sweep - now) / 1000) + 1 : 0;

		n = epoll_wait(server->epoll_fd, events, 128, timeout);
		if (n < 0 && errno != EINTR) {
			fprintf(stderr, "kvd: epoll_wait: %s\n", strerror(errno));
			return -errno;
		}
		store_clock(&server->store, clock_usec(CLOCK_REALTIME));
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(source, events[i].events);
		}
		now = clock_usec(CLOCK_MONOTONIC);
		if (now < next_sweep)
			continue;
		next_sweep = now + (store_sweep(&server->store) ? 10000 : 1000000);
		buffer_trim();
		/* Fds may be had again that another process has used up. */
		server_accept_again(server);
	}
	return 0;
}

void server_close(struct server *server)
{
	while (server->first)
		connection_close(server->first);
}
