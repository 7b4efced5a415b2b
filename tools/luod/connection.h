/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_CONNECTION_H
#define LUOD_CONNECTION_H

/*
 * One connection of a Varlink client. Nothing waits for a client: what it does not read is queued
 * up to a limit, and while much is queued, or a reply goes out in parts, its next request waits.
 * One wakeup handles a limited number of requests, so that no client keeps luod from the others.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/varlink.h"
#include "tools/luod/identity.h"

struct connection;
struct server;

/* A reply that goes out in several parts, each when the one before was taken. */
struct stream {
	/* Queues one part. 1: more follow; 0: it was the last; negative: the connection ends. */
	int (*next)(struct connection *c, struct stream *s);
	char *unit, *name;
	uint64_t *ids; /* entries of the store */
	size_t n, at;
	bool forget; /* entries leave the store when they are sent */
};

struct connection {
	struct server *server;
	struct luo_varlink *varlink;
	sd_event_source *source, *defer;
	struct peer peer;
	bool monitoring;
	char *monitor_unit; /* NULL: all */
	bool end_of_input;
	size_t n_fds_out; /* fds in what is queued, at most */
	bool broken;      /* its own code frees it when the loop comes to it */
	struct stream *stream;
	uint64_t *forget; /* entries that leave the store when all that is queued was sent */
	size_t n_forget;
	char *forget_unit;
	struct connection *next;
};

struct stream *stream_free(struct stream *stream);

#endif
