/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The load for kvd and for memcached: the same program, with the same requests in memcached's text
 * protocol. ADDRESS is the path of a Unix socket or a TCP port on 127.0.0.1.
 *
 *   luo-bench-kvd-load ADDRESS fill KEYS SIZE
 *         sets so many keys, and prints when (CLOCK_MONOTONIC, microseconds) the last was answered
 *   luo-bench-kvd-load ADDRESS first KEYS SIZE
 *         waits for a server to come up and to answer a get of one of these keys with its value;
 *         prints when it did
 *   luo-bench-kvd-load ADDRESS mix KEYS SIZE CONNECTIONS DEPTH GETS SECONDS
 *         random keys; GETS of 100 requests are a get, the others a set; each connection always has
 *         DEPTH requests under way. Prints requests a second, and the median and
 *         99th percentile of the time from the sending of a request to its answer.
 *
 * Every answer is compared with what was set. One thread: it takes one processor, and the server
 * has the others.
 */

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/die.h"
#include "bench/record.h"

#define KEY_SIZE      14 /* "key-%010u" */
#define VALUE_MAX     ((size_t)1 << 20)
#define DEPTH_MAX     256
#define FILL_DEPTH    64
#define REQUEST_MAX   (VALUE_MAX + 128)
#define LATENCY_MAX   1000000 /* microseconds; what takes longer counts as this */
#define PATIENCE_USEC 600e6

static size_t value_size;
static uint32_t keys;
static uint8_t *values; /* a value is value_size bytes of these, from its key's place on */

/* ------------------------------- connections ------------------------------- */

struct request {
	uint32_t key;
	bool get;
	double sent;
};

struct connection {
	int fd;
	struct request requests[DEPTH_MAX]; /* a ring */
	unsigned first, n;
	uint8_t *in, *out;
	size_t in_size, out_size, out_at, capacity;
};

static int try_connect(const char *address)
{
	bool is_path = strchr(address, '/');
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in tcp = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)atoi(address)),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = must_errno(socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int r, on = 1;

	snprintf(local.sun_path, sizeof(local.sun_path), "%s", address);
	r = is_path ? connect(fd, (struct sockaddr *)&local, sizeof(local))
		    : connect(fd, (struct sockaddr *)&tcp, sizeof(tcp));
	if (r < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (!is_path)
		must_errno(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	return fd;
}

static void open_connection(struct connection *c, const char *address, unsigned depth)
{
	*c = (struct connection){ .fd = must(try_connect(address)),
				  .capacity = depth * (value_size + 128) };
	c->in = malloc(c->capacity);
	c->out = malloc(c->capacity);
	if (!c->in || !c->out)
		die(-ENOMEM, "buffers");
}

/* ----------------------------- requests and answers ----------------------------- */

static const uint8_t *value_of(uint32_t key)
{
	return values + key % 251;
}

static void add_request(struct connection *c, uint32_t key, bool get)
{
	struct request *r = &c->requests[(c->first + c->n++) % DEPTH_MAX];
	uint8_t *at = c->out + c->out_size;

	*r = (struct request){ key, get, bench_now() };
	if (get) {
		c->out_size += (size_t)sprintf((char *)at, "get key-%010" PRIu32 "\r\n", key);
		return;
	}
	at += sprintf((char *)at, "set key-%010" PRIu32 " 0 0 %zu\r\n", key, value_size);
	memcpy(at, value_of(key), value_size);
	memcpy(at + value_size, "\r\n", 2);
	c->out_size = (size_t)(at - c->out) + value_size + 2;
}

static void send_requests(struct connection *c)
{
	while (c->out_at < c->out_size) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_size - c->out_at, MSG_NOSIGNAL);

		if (n < 0)
			die(-errno, "sending requests");
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_size = 0;
}

/* The size of the answer to @r, if it is at @at whole; 0 if not yet. */
static size_t parse_answer(const struct request *r, const uint8_t *at, size_t size)
{
	static const char stored[] = "STORED\r\n", end[] = "\r\nEND\r\n";
	char head[64];
	size_t n;

	if (!r->get) {
		if (memcmp(at, stored, size < 8 ? size : 8) != 0)
			die(-EPROTO, "a set was answered '%.*s'", (int)(size < 60 ? size : 60), at);
		return size < 8 ? 0 : 8;
	}
	n = (size_t)snprintf(head, sizeof(head), "VALUE key-%010" PRIu32 " 0 %zu\r\n", r->key,
			     value_size);
	if (memcmp(at, head, size < n ? size : n) != 0)
		die(-EPROTO, "a get was answered '%.*s'", (int)(size < 60 ? size : 60), at);
	if (size < n + value_size + 7)
		return 0;
	if (memcmp(at + n, value_of(r->key), value_size) != 0 ||
	    memcmp(at + n + value_size, end, 7) != 0)
		die(-EPROTO, "the value of key-%010" PRIu32 " is not what was set", r->key);
	return n + value_size + 7;
}

/* What has come in; returns how many requests were answered, in @ret_sent when they were sent. */
static unsigned receive_answers(struct connection *c, double *ret_sent)
{
	ssize_t n = recv(c->fd, c->in + c->in_size, c->capacity - c->in_size, 0);
	unsigned answered = 0;
	size_t at = 0;

	if (n <= 0)
		die(n < 0 ? -errno : -ECONNRESET, "receiving answers");
	c->in_size += (size_t)n;
	while (at < c->in_size && c->n > 0) {
		struct request *r = &c->requests[c->first % DEPTH_MAX];
		size_t used = parse_answer(r, c->in + at, c->in_size - at);

		if (used == 0)
			break;
		at += used;
		ret_sent[answered++] = r->sent;
		c->first++;
		c->n--;
	}
	c->in_size -= at;
	memmove(c->in, c->in + at, c->in_size);
	return answered;
}

/* ------------------------------------ fill ------------------------------------ */

static void fill(const char *address)
{
	double sent[DEPTH_MAX];
	struct connection c;

	open_connection(&c, address, FILL_DEPTH);
	for (uint32_t key = 0; key < keys || c.n > 0;) {
		/* Half of what may be under way is sent at once: the server never waits for us. */
		if (key < keys && c.n <= FILL_DEPTH / 2) {
			while (key < keys && c.n < FILL_DEPTH)
				add_request(&c, key++, false);
			send_requests(&c);
		}
		receive_answers(&c, sent);
	}
	printf("%.1f\n", bench_now());
}

static void first(const char *address)
{
	double begin = bench_now(), sent[DEPTH_MAX];
	struct connection c;
	int fd;

	while ((fd = try_connect(address)) < 0) {
		if (bench_now() - begin > PATIENCE_USEC)
			die(fd, "waiting for the server");
		usleep(50);
	}
	close(fd);
	open_connection(&c, address, 1);
	add_request(&c, keys / 2, true);
	send_requests(&c);
	while (c.n > 0)
		receive_answers(&c, sent);
	printf("%.1f\n", bench_now());
}

/* ------------------------------------- mix ------------------------------------- */

static struct {
	uint32_t of[LATENCY_MAX + 1];
	uint64_t n;
} latencies;

static double percentile(double part)
{
	uint64_t wanted = (uint64_t)(part * (double)latencies.n), n = 0;
	size_t i = 0;

	while (i < LATENCY_MAX && (n += latencies.of[i]) <= wanted)
		i++;
	return (double)i;
}

static uint32_t next_random(void)
{
	static uint32_t x = 2463534242u; /* xorshift32, Marsaglia 2003 */

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

static void add_random(struct connection *c, unsigned gets)
{
	uint32_t key = (uint32_t)((uint64_t)next_random() * keys >> 32);

	add_request(c, key, next_random() % 100 < gets);
}

static void serve(struct connection *c, unsigned gets)
{
	double sent[DEPTH_MAX], now;
	unsigned answered = receive_answers(c, sent);

	now = bench_now();
	for (unsigned i = 0; i < answered; i++) {
		double took = now - sent[i];

		latencies.of[took < LATENCY_MAX ? (size_t)took : LATENCY_MAX]++;
		add_random(c, gets);
	}
	latencies.n += answered;
	send_requests(c);
}

static void mix(const char *address, unsigned n, unsigned depth, unsigned gets, double seconds)
{
	struct connection *connections = calloc(n, sizeof(*connections));
	int epoll = must_errno(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event events[64];
	double begin;

	if (!connections || depth < 1 || depth > DEPTH_MAX)
		die(-EINVAL, "so many connections or requests");
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event event = { EPOLLIN, { .ptr = &connections[i] } };

		open_connection(&connections[i], address, depth);
		must_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event));
	}
	begin = bench_now();
	for (unsigned i = 0; i < n; i++) {
		while (connections[i].n < depth)
			add_random(&connections[i], gets);
		send_requests(&connections[i]);
	}
	while (bench_now() - begin < seconds * 1e6) {
		int ready = must_errno(epoll_wait(epoll, events, 64, 10000));

		if (ready == 0)
			die(-ETIMEDOUT, "no answer for ten seconds");
		for (int i = 0; i < ready; i++)
			serve(events[i].data.ptr, gets);
	}
	printf("%.0f %.0f %.0f\n", (double)latencies.n / (bench_now() - begin) * 1e6,
	       percentile(0.5), percentile(0.99));
}

int main(int argc, char **argv)
{
	const char *what = argc > 4 ? argv[2] : "";

	if (argc > 4) {
		keys = (uint32_t)strtoul(argv[3], NULL, 10);
		value_size = strtoul(argv[4], NULL, 10);
	}
	if (keys == 0 || value_size == 0 || value_size > VALUE_MAX) {
		fprintf(stderr, "usage: %s ADDRESS fill|first|mix KEYS SIZE ...\n", argv[0]);
		return 2;
	}
	values = malloc(value_size + 256);
	for (size_t i = 0; values && i < value_size + 256; i++)
		values[i] = (uint8_t)('a' + i % 251 % 26);
	if (strcmp(what, "fill") == 0)
		fill(argv[1]);
	else if (strcmp(what, "first") == 0)
		first(argv[1]);
	else if (strcmp(what, "mix") == 0 && argc == 9)
		mix(argv[1], (unsigned)atoi(argv[5]), (unsigned)atoi(argv[6]),
		    (unsigned)atoi(argv[7]), atof(argv[8]));
	else
		die(-EINVAL, "%s", what);
	return 0;
}
