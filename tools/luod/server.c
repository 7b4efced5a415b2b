/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/connection.h"
#include "tools/luod/identity.h"
#include "tools/luod/luod.h"

#define CONNECTIONS_USERS_MAX 96 /* connections of users other than root */
#define CONNECTIONS_USER_MAX  16 /* connections of one such user */
#define ACCEPTS_PER_WAKEUP    16

static bool may_connect(const struct server *s, const struct peer *peer)
{
	size_t users = 0, same = 0;

	if (s->n_connections >= CONNECTIONS_MAX)
		return false;
	if (peer_is_trusted(peer))
		return true;
	for (const struct connection *c = s->connections; c; c = c->next) {
		users += !peer_is_trusted(&c->peer);
		same += c->peer.uid == peer->uid;
	}
	return users < CONNECTIONS_USERS_MAX && same < CONNECTIONS_USER_MAX;
}

/* Takes over the fd. */
static int add_connection(struct server *s, int fd)
{
	struct peer peer = { .pidfd = -EBADF };
	int r;

	r = peer_from_socket(fd, &peer);
	if (r >= 0 && may_connect(s, &peer))
		r = connection_new(s, TAKE_FD(fd), &peer);
	else if (r >= 0) {
		log_limited(LOG_WARNING,
			    "Refusing a connection of process %d (uid %u): too many are open.",
			    (int)peer.pid, (unsigned)peer.uid);
		r = -EUSERS;
	}
	safe_close(fd);
	peer_done(&peer);
	return r;
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
	struct server *s = userdata;

	for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
		int fd, r;

		/* Further connections wait in the backlog. Only root gets here. */
		if (s->n_connections >= CONNECTIONS_MAX) {
			log_limited(LOG_WARNING, "%zu connections are open; more have to wait.",
				    s->n_connections);
			(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
			break;
		}
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				log_limited(LOG_ERR, "Cannot accept a connection: %s.",
					    strerror(errno));
			break;
		}
		r = add_connection(s, fd);
		if (r < 0 && r != -EUSERS)
			log_limited(LOG_ERR, "Cannot serve a connection: %s.", strerror(-r));
	}
	return 0;
}

int server_start(struct luod *l)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->luod = l;
	l->server = s;
	return sd_event_add_io(l->event, &s->source, l->varlink_fd, EPOLLIN, on_accept, s);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	while (s->connections)
		connection_free(s->connections);
	sd_event_source_disable_unref(s->source);
	free(s);
}
