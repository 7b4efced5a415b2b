/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
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

struct server;
struct stream;

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

/* Serves the socket; takes over the fd in any case, and @peer on success. */
int connection_new(struct server *s, int fd, struct peer *peer);
void connection_free(struct connection *c);

#endif
