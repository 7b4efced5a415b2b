/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef KVD_KVD_H
#define KVD_KVD_H

/* The process: one thread, one epoll, any number of connections. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "store.h"

#define KVD_VERSION  "1.0.0" /* clients want three numbers */
#define KEY_MAX_SIZE 250

/* Since the start; `stats` prints them under these names, and `stats reset` makes them 0. */
#define COUNTERS(X)             \
	X(total_connections)    \
	X(rejected_connections) \
	X(cmd_get)              \
	X(cmd_set)              \
	X(cmd_flush)            \
	X(cmd_touch)            \
	X(get_hits)             \
	X(get_misses)           \
	X(delete_misses)        \
	X(delete_hits)          \
	X(incr_misses)          \
	X(incr_hits)            \
	X(decr_misses)          \
	X(decr_hits)            \
	X(cas_misses)           \
	X(cas_hits)             \
	X(cas_badval)           \
	X(touch_hits)           \
	X(touch_misses)         \
	X(store_too_large)      \
	X(store_no_memory)      \
	X(bytes_read)           \
	X(bytes_written)        \
	X(listen_disabled_num)

struct counters {
#define FIELD(name) uint64_t name;
	COUNTERS(FIELD)
#undef FIELD
};

#define LISTENERS_MAX 16

/* What epoll gives back points to one of these, as the first member of something else. */
struct source {
	int fd;
	void (*ready)(struct source *source, uint32_t events);
	struct server *server;
};

struct connection;

struct server {
	struct store store;
	struct counters counters;
	struct source signals;
	struct source listeners[LISTENERS_MAX];
	unsigned n_listeners;
	int epoll_fd;
	bool accepting;
	bool stop;
	int verbosity;
	struct connection *first;
	unsigned connections;
	unsigned max_connections;
	size_t item_max; /* bytes of the largest value */
	int64_t started; /* CLOCK_MONOTONIC in microseconds */
};

/* A `get` may have any number of keys, and its answer any size. So it is done as far as its line
 * has come in and as its answer has room, and this says how to go on. */
struct get {
	bool active;
	bool with_cas;
	bool touch;
	bool any; /* there was a key */
	int64_t expires;
};

struct connection {
	struct source source;
	struct connection *next, *previous; /* of all */
	struct buffer in, out;
	size_t wanted;    /* nothing can be done before so many bytes are in */
	uint64_t swallow; /* so many bytes that come next belong to a value that was refused */
	bool skip_line;   /* the rest of this line belongs to a command that was refused */
	bool closing;     /* as soon as everything is sent */
	struct get get;
	uint32_t events; /* what epoll waits for */
};

int64_t clock_usec(int clock);

/* connection.c */
int server_watch(struct server *server, struct source *source, uint32_t events);
void connection_open(struct server *server, int fd);
int server_loop(struct server *server);
void server_close(struct server *server);

/* listen.c */
int listen_unix(struct server *server, const char *path, unsigned mode);
int listen_tcp(struct server *server, const char *address, const char *port);
int listen_given(struct server *server); /* the sockets that systemd has passed; how many */
void server_accept_again(struct server *server);

/* protocol.c: does what is in c->in and puts the answers into c->out. True if it stopped because
 * there is too much in c->out. */
bool protocol_run(struct connection *c);

#endif
