/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_VARLINK_H
#define COMMON_VARLINK_H

/*
 * One end of a Varlink connection, for luod and for its clients. Internal: not installed, not
 * exported.
 *
 * Varlink is a stream of JSON objects, each ended by a NUL byte; fds travel by SCM_RIGHTS, attached
 * to the first byte of the message they belong to. This is the framing and nothing else: it knows
 * no method, never blocks and never waits, except in luo_varlink_wait().
 *
 *   receive -> next, next, next ... until 0 -> receive       everything in comes through here
 *   send, send -> flush until 1                               everything out goes through here
 *
 * Functions return 0 (or what they say) on success and a negative errno otherwise. After an error
 * of receive, next or flush the connection is good for nothing but luo_varlink_free().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_object.h>

/* Most fds that one sendmsg(2) can carry (SCM_MAX_FD). */
#define LUO_VARLINK_FDS_MAX   253
#define LUO_VARLINK_DEPTH_MAX 32

struct luo_varlink;

/* What the other side may make us keep. Zero is the default. */
struct luo_varlink_limits {
	size_t message_max; /* bytes of one message that comes in; 0: 1 MiB */
	size_t fds_max;     /* fds received and not yet handed out; 0: LUO_VARLINK_FDS_MAX */
	size_t output_max;  /* bytes queued and not yet taken by the other side; 0: no limit */
};

struct luo_varlink_message {
	struct json_object *object; /* always a JSON object */
	int *fds;
	size_t n_fds;
};

/* Takes over a connected AF_UNIX stream socket, on success. @limits may be NULL. */
int luo_varlink_new(int fd, const struct luo_varlink_limits *limits, struct luo_varlink **ret);

/* Closes the socket and every fd that was not handed out. Takes and returns NULL. */
struct luo_varlink *luo_varlink_free(struct luo_varlink *varlink);

int luo_varlink_fd(const struct luo_varlink *varlink);

/*
 * Reads once what is there. 1: something came, call next; 0: nothing there now.
 * -ECONNRESET  the other side has closed
 * -EBADMSG     it sent fds that did not fit (MSG_CTRUNC)
 * -EMFILE      it sent more fds than fds_max, or we could not take them
 */
int luo_varlink_receive(struct luo_varlink *varlink);

/*
 * The next complete message. 1: there is one, to be freed with luo_varlink_message_done(); 0: none.
 * -EMSGSIZE  over message_max;  -EBADMSG  not JSON, not an object, nested too deeply, not UTF-8
 */
int luo_varlink_next(struct luo_varlink *varlink, struct luo_varlink_message *ret);

/* Frees what is still in it and closes fds that are >= 0: who takes one puts -EBADF in its place.
 */
void luo_varlink_message_done(struct luo_varlink_message *message);

/*
 * Queues a message. @object stays the caller's. The fds become the connection's on success and are
 * closed when they are sent.
 * -E2BIG  more fds than one message can carry;  -ENOBUFS  over output_max: nothing was queued
 */
int luo_varlink_send(struct luo_varlink *varlink, struct json_object *object, const int *fds,
		     size_t n_fds);

/* Sends what the other side takes now. 1: all is out; 0: call again after POLLOUT. */
int luo_varlink_flush(struct luo_varlink *varlink);

/* Bytes queued and not sent. */
size_t luo_varlink_pending(const struct luo_varlink *varlink);

/*
 * Blocks until there is something to do (POLLIN, and POLLOUT while something is queued) or until
 * @deadline_usec of CLOCK_MONOTONIC; UINT64_MAX for ever. -ETIMEDOUT.
 */
int luo_varlink_wait(struct luo_varlink *varlink, uint64_t deadline_usec);

/*
 * What receive does with bytes and fds once it has them; for tests and fuzzers. The fds are the
 * connection's from now on, also on failure.
 * @fds_first: the fds came with the first of these bytes; otherwise with the last message in them
 */
int luo_varlink_feed(struct luo_varlink *varlink, const void *data, size_t size, const int *fds,
		     size_t n_fds, bool fds_first);

/* The three kinds of message. @parameters is taken over, also on failure; NULL: an empty object. */
enum luo_varlink_call_flags {
	LUO_VARLINK_MORE = 1 << 0,
	LUO_VARLINK_ONEWAY = 1 << 1,
};
int luo_varlink_make_call(const char *method, struct json_object *parameters, unsigned flags,
			  struct json_object **ret);
int luo_varlink_make_reply(struct json_object *parameters, bool continues,
			   struct json_object **ret);
int luo_varlink_make_error(const char *error, struct json_object *parameters,
			   struct json_object **ret);

#endif
