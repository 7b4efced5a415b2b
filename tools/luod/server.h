/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_SERVER_H
#define LUOD_SERVER_H

/*
 * The Varlink server on the socket "io.luo": accepts connections. The number of connections is
 * limited, in all and for each user, and root always has some left.
 */

#include <stddef.h>
#include <systemd/sd-event.h>

#define CONNECTIONS_MAX 128

struct connection;
struct luod;

struct server {
	struct luod *luod;
	sd_event_source *source;
	struct connection *connections;
	size_t n_connections;
};

int server_start(struct luod *l);
void server_free(struct server *server);

#endif
