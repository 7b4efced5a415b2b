/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * kvd: a cache that does not forget. It speaks memcached's text protocol, and what memcached keeps
 * in memory that ends with the process, kvd keeps in a persistent heap (luo/heap.h): every item and
 * its time to live are there again at once after a restart, after SIGKILL, and in the next kernel.
 *
 *   cc -D_GNU_SOURCE *.c $(pkg-config --cflags --libs libluo libsystemd) -o kvd
 *   luo-run --unit kvd --required -- kvd -s /run/kvd.sock
 *
 * Under systemd: kvd.service.
 *
 *   main.c         options, and what happens in which order
 *   store.c        the items in the heap: this is where to look for how a heap is used
 *   table.c        the hash table, which finds them
 *   protocol.c     from bytes to commands
 *   commands.c     what the commands do
 *   stats.c        one of them
 *   connection.c   the event loop
 *   listen.c       sockets that clients connect to
 *   buffer.c       what is under way
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "kvd.h"

#define OTHER_FDS 64 /* that are not connections */

struct options {
	struct store_options store;
	const char *socket;
	const char *address;
	const char *port;
	unsigned mode;
	unsigned connections;
	size_t item_max;
	int verbosity;
};

static void usage(FILE *to)
{
	fputs("Usage: kvd [OPTION...]\n"
	      "A memcached whose items outlive it.\n"
	      "\n"
	      "  -s PATH              listen on a Unix socket\n"
	      "  -a MODE              its mode (default 0700)\n"
	      "  -p PORT              listen on TCP (default 11211 without -s, otherwise not)\n"
	      "  -l ADDRESS           there (default 127.0.0.1; there are no passwords)\n"
	      "  -m MEGABYTES         for the items (default 64)\n"
	      "  -I SIZE              of the largest value, with k or m (default 1m)\n"
	      "  -c N                 connections at a time (default 1024)\n"
	      "  -v                   say more\n"
	      "  -h                   this\n"
	      "      --heap NAME      of the heap in the fd store (default kvd)\n"
	      "      --file PATH      keep the heap in a file instead\n"
	      "      --lru-interval SECONDS\n"
	      "                       how often an item that is read is moved to the end of the\n"
	      "                       line of those to be evicted (default 60)\n",
	      to);
}

static uint64_t number(char option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, option == 'a' ? 8 : 10);
	if (option == 'I' && (*end == 'k' || *end == 'K'))
		n = n < UINT64_MAX >> 10 ? n << 10 : UINT64_MAX, end++;
	else if (option == 'I' && (*end == 'm' || *end == 'M'))
		n = n < UINT64_MAX >> 20 ? n << 20 : UINT64_MAX, end++;
	if (errno || end == text || *end || text[0] == '-' || n < min || n > max) {
		fprintf(stderr, "kvd: '%s' is not what %s%.*s takes; see kvd -h\n", text,
			option == 'L' ? "--lru-interval" : "-", option == 'L' ? 0 : 1, &option);
		exit(EXIT_FAILURE);
	}
	return n;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	enum { OPTION_HEAP = 256, OPTION_FILE, OPTION_LRU };
	static const struct option longs[] = {
		{ "heap", required_argument, NULL, OPTION_HEAP },
		{ "file", required_argument, NULL, OPTION_FILE },
		{ "lru-interval", required_argument, NULL, OPTION_LRU },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "s:a:p:l:m:I:c:vh", longs, NULL)) != -1) {
		switch (option) {
		case 's':
			o->socket = optarg;
			break;
		case 'a':
			o->mode = (unsigned)number('a', optarg, 0, 0777);
			break;
		case 'p':
			number('p', optarg, 0, UINT16_MAX);
			o->port = optarg;
			break;
		case 'l':
			o->address = optarg;
			break;
		case 'm':
			o->store.limit = number('m', optarg, 1, UINT64_C(400) << 10) << 20;
			break;
		case 'I':
			o->item_max = number('I', optarg, 1024, UINT64_C(1) << 30);
			break;
		case 'c':
			o->connections = (unsigned)number('c', optarg, 1, 1000000);
			break;
		case 'v':
			o->verbosity++;
			break;
		case OPTION_HEAP:
			o->store.name = optarg;
			break;
		case OPTION_FILE:
			o->store.path = optarg;
			break;
		case OPTION_LRU:
			o->store.lru_interval = (uint32_t)number('L', optarg, 0, UINT32_MAX);
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(EXIT_FAILURE);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(EXIT_FAILURE);
	}
}

/* As many fds as connections are promised. With fewer it works, too: see listener_ready(). */
static void raise_fd_limit(unsigned connections)
{
	struct rlimit limit, wanted = { connections + OTHER_FDS, connections + OTHER_FDS };

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted.rlim_cur)
		return;
	if (wanted.rlim_max < limit.rlim_max)
		wanted.rlim_max = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	wanted = (struct rlimit){ limit.rlim_max, limit.rlim_max };
	(void)setrlimit(RLIMIT_NOFILE, &wanted);
	fprintf(stderr, "kvd: only %ju fds may be open, which is less than -c %u takes, ignoring\n",
		(uintmax_t)limit.rlim_max, connections);
}

static int start_listening(struct server *server, const struct options *o)
{
	const char *port = o->port;
	int r = listen_given(server), given = r;

	if (r >= 0 && o->socket)
		r = listen_unix(server, o->socket, o->mode);
	if (!port && !o->socket && given == 0)
		port = "11211";
	if (r >= 0 && port && strcmp(port, "0") != 0)
		r = listen_tcp(server, o->address, port);
	if (r >= 0 && server->n_listeners == 0) {
		fputs("kvd: there is nothing to listen on\n", stderr);
		r = -EINVAL;
	}
	server->accepting = true;
	return r;
}

static void stop(struct source *source, uint32_t events)
{
	source->server->stop = true;
}

static int watch_signals(struct server *server)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	server->signals.fd = signalfd(-1, &set, SFD_CLOEXEC);
	server->signals.ready = stop;
	return server->signals.fd < 0 ? -errno : server_watch(server, &server->signals, EPOLLIN);
}

static int start(struct server *server, const struct options *o)
{
	int r;

	raise_fd_limit(o->connections);
	/* Each of some connections may have a large value under way. */
	buffer_set_limit(o->item_max < (8 << 20) ? (size_t)128 << 20 : 16 * o->item_max);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = server->epoll_fd < 0 ? -errno : watch_signals(server);
	if (r < 0) {
		fprintf(stderr, "kvd: cannot wait for events: %s\n", strerror(-r));
		return r;
	}
	/* The items first: who can connect is served, not made to wait. */
	r = store_open(&server->store, &o->store);
	if (r < 0)
		return r;
	store_clock(&server->store, clock_usec(CLOCK_REALTIME));
	return start_listening(server, o);
}

static struct server server;

int main(int argc, char **argv)
{
	struct options o = {
		.store = { .name = "kvd", .limit = 64 << 20, .lru_interval = 60 },
		.address = "127.0.0.1",
		.mode = 0700,
		.connections = 1024,
		.item_max = 1 << 20,
	};
	int r;

	parse_options(&o, argc, argv);
	server.max_connections = o.connections;
	server.item_max = o.item_max;
	server.verbosity = o.verbosity;
	server.started = clock_usec(CLOCK_MONOTONIC);
	/* Whatever fails has been said there. */
	if (start(&server, &o) < 0)
		return EXIT_FAILURE;
	if (o.verbosity)
		fprintf(stderr, "kvd: %s heap with %ju items\n",
			luo_heap_state_to_string(luo_heap_get_state(server.store.heap)),
			(uintmax_t)server.store.root->sums.items);
	sd_notify(0, "READY=1");
	r = server_loop(&server);
	/* Nothing has to be saved. */
	sd_notify(0, "STOPPING=1");
	server_close(&server);
	store_close(&server.store);
	if (o.socket)
		unlink(o.socket);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
