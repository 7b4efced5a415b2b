/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "common/varlink.h"
#include "tools/luod/close-foreign.h"
#include "tools/luod/dispatch.h"
#include "tools/luod/identity.h"
#include "tools/luod/luod.h"
#include "tools/luod/server.h"
#include "tools/luod/stream.h"
#include "tools/luod/vault.h"

#define REQUESTS_PER_WAKEUP 64
#define MESSAGE_MAX         ((size_t)1 << 20)
#define OUTPUT_MAX          ((size_t)16 << 20)
#define OUTPUT_ROOT_MAX     ((size_t)64 << 20)
/* With more than this queued, a client has to read before its next request is handled. */
#define OUTPUT_PAUSE ((size_t)1 << 20)
#define FDS_PAUSE    256
/* How long one client may keep luod busy at a time. */
#define WAKEUP_USEC (2 * USEC_PER_MSEC)

/* ---- the life of a connection ---------------------------------------------------------------- */

/* Closing the socket also closes the fds in messages that were not read. */
static void varlink_free(struct luo_varlink *varlink)
{
	int copy = -EBADF, unread = 0;

	if (!varlink)
		return;
	(void)shutdown(luo_varlink_fd(varlink), SHUT_RD);
	if (ioctl(luo_varlink_fd(varlink), FIONREAD, &unread) < 0 || unread > 0)
		copy = fcntl(luo_varlink_fd(varlink), F_DUPFD_CLOEXEC, 0);
	luo_varlink_free(varlink);
	close_foreign(copy);
}

void connection_free(struct connection *c)
{
	struct connection **p = &c->server->connections;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	/* There is a place for a client that waits. */
	if (c->server->n_connections-- >= CONNECTIONS_MAX)
		(void)sd_event_source_set_enabled(c->server->source, SD_EVENT_ON);
	sd_event_source_disable_unref(c->source);
	sd_event_source_disable_unref(c->defer);
	varlink_free(c->varlink);
	peer_done(&c->peer);
	stream_free(c->stream);
	free(c->monitor_unit);
	free(c->forget);
	free(c->forget_unit);
	free(c);
}

/* The client has to read before it may send more. */
static bool is_behind(const struct connection *c)
{
	size_t pending = luo_varlink_pending(c->varlink);

	return c->stream || pending > OUTPUT_PAUSE || (pending > 0 && c->n_fds_out > FDS_PAUSE);
}

static bool is_paused(const struct connection *c)
{
	return c->end_of_input || is_behind(c);
}

static int update_events(struct connection *c)
{
	uint32_t events = 0;

	if (!is_paused(c))
		events |= EPOLLIN;
	if (luo_varlink_pending(c->varlink) > 0)
		events |= EPOLLOUT;
	return sd_event_source_set_io_events(c->source, events);
}

/* ---- out ------------------------------------------------------------------------------------- */

static void forget_sent(struct connection *c)
{
	struct luod *l = c->server->luod;
	struct luo_unit *unit =
		c->forget_unit ? luo_store_find_unit(l->state.stored, c->forget_unit) : NULL;

	for (size_t i = 0; unit && i < c->n_forget; i++)
		for (size_t k = 0; k < unit->n_entries; k++)
			if (unit->entries[k]->id == c->forget[i]) {
				(void)vault_remove(l, unit->entries[k]);
				break;
			}
	if (unit)
		vault_unit_release(l, c->forget_unit);
	free(TAKE_PTR(c->forget));
	free(TAKE_PTR(c->forget_unit));
	c->n_forget = 0;
}

/* Sends what the client takes now, and makes the next part of a stream when all is out. */
static int push_out(struct connection *c)
{
	for (;;) {
		int r = luo_varlink_flush(c->varlink);

		if (r <= 0)
			return r;
		c->n_fds_out = 0;
		if (c->n_forget > 0)
			forget_sent(c);
		if (!c->stream)
			return 0;
		r = c->stream->next(c, c->stream);
		if (r < 0)
			return r;
		if (r == 0)
			c->stream = stream_free(c->stream);
	}
}

/* ---- in -------------------------------------------------------------------------------------- */

/* 1: the limit is reached, there may be more. */
static int handle_requests(struct connection *c)
{
	uint64_t begin = now_usec(CLOCK_MONOTONIC);

	for (int i = 0; i < REQUESTS_PER_WAKEUP; i++) {
		struct luo_varlink_message message;
		int r;

		if (is_behind(c) || now_usec(CLOCK_MONOTONIC) - begin >= WAKEUP_USEC)
			return 1;
		r = luo_varlink_next(c->varlink, &message);
		if (r <= 0)
			return r;
		r = dispatch(c, &message);
		/* The fds that no method took. */
		close_foreign_many(message.fds, message.n_fds);
		message.n_fds = 0;
		luo_varlink_message_done(&message);
		if (r < 0)
			return r;
		r = push_out(c);
		if (r < 0)
			return r;
	}
	return 1;
}

static int serve(struct connection *c, uint32_t revents)
{
	int r;

	r = push_out(c);
	if (r < 0)
		return r;
	/* Requests that were read before come first: fds belong to their messages. */
	r = handle_requests(c);
	if (r < 0)
		return r;
	if (r == 0 && (revents & (EPOLLIN | EPOLLHUP)) && !c->end_of_input) {
		r = luo_varlink_receive(c->varlink);
		if (r == -ECONNRESET) {
			c->end_of_input = true;
			r = 0;
		}
		if (r < 0)
			return r;
		r = r > 0 ? handle_requests(c) : 0;
		if (r < 0)
			return r;
	}
	if (r > 0 && !is_paused(c))
		(void)sd_event_source_set_enabled(c->defer, SD_EVENT_ONESHOT);
	/* The client has sent everything, and has read every answer or cannot read any more. */
	if (c->end_of_input && (r == 0 && !c->stream && luo_varlink_pending(c->varlink) == 0))
		return -ECONNRESET;
	if ((revents & (EPOLLHUP | EPOLLERR)) && c->end_of_input)
		return -ECONNRESET;
	return 0;
}

static void handle_wakeup(struct connection *c, uint32_t revents)
{
	struct luod *l = c->server->luod;
	int r;

	r = c->broken ? -ECONNRESET : serve(c, revents);
	if (r >= 0 && !c->broken)
		r = update_events(c);
	if (r < 0 || c->broken) {
		if (r != -ECONNRESET && r != -EPIPE && r < 0)
			log_limited(LOG_WARNING,
				    "Closing the connection of process %d (uid %u): %s.",
				    (int)c->peer.pid, (unsigned)c->peer.uid,
				    r == -EBADMSG    ? "it sent an invalid Varlink message"
				    : r == -EMSGSIZE ? "its message is too long"
				    : r == -EMFILE   ? "it sent too many fds"
				    : r == -ENOBUFS  ? "it does not read its answers"
						     : strerror(-r));
		connection_free(c);
	}
	(void)sd_event_source_set_enabled(l->trim_source, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	handle_wakeup(userdata, revents);
	return 0;
}

static int on_defer(sd_event_source *source, void *userdata)
{
	handle_wakeup(userdata, 0);
	return 0;
}

/* Takes over the socket, on success. */
static int start_serving(struct connection *c, int fd)
{
	struct luo_varlink_limits limits = { .message_max = MESSAGE_MAX };
	sd_event *event = c->server->luod->event;
	int r;

	limits.output_max = peer_is_trusted(&c->peer) ? OUTPUT_ROOT_MAX : OUTPUT_MAX;
	r = luo_varlink_new(fd, &limits, &c->varlink);
	if (r < 0)
		return r;
	r = sd_event_add_io(event, &c->source, fd, EPOLLIN, on_connection, c);
	if (r >= 0)
		r = sd_event_add_defer(event, &c->defer, on_defer, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->defer, SD_EVENT_OFF);
	return r;
}

int connection_new(struct server *s, int fd, struct peer *peer)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		safe_close(fd);
		return -ENOMEM;
	}
	c->server = s;
	c->peer = *peer;
	peer->pidfd = -EBADF;
	c->next = s->connections;
	s->connections = c;
	s->n_connections++;
	r = start_serving(c, fd);
	if (r < 0) {
		if (!c->varlink)
			safe_close(fd);
		connection_free(c);
	}
	return r;
}
