/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The caller's end of io.luo. A call sends one message and waits for one or more replies.
 *
 * Replies carry no number; their order says which call they answer. So a connection on which a call
 * ended before its last reply (a timeout, a broken message, a callback that stopped) must not be
 * used again: the late reply would be taken for the reply of the next call. The client closes such
 * a connection at once, and the next call makes a new one. Losing a connection costs nothing,
 * because luod identifies processes, not connections.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <json-c/json_object.h>
#include <json-c/json_tokener.h>

#include "libluo/client/internal.h"
#include "common/json.h"
#include "common/runtime-dir.h"
#include "common/util.h"

#define INTERFACE "io.luo."

/* Enough for a list of all entries of a full luod, or for the largest mapping, escaped. */
#define REPLY_MAX ((size_t)160 << 20)

struct luo_client {
	struct luo_varlink *varlink; /* NULL: not connected */
	char *path;
	uint64_t timeout_usec;
	char *error_name;
	char *error_text;
};

/* ---- connecting ------------------------------------------------------------------------------ */

/* connect(2) on AF_UNIX waits while the backlog is full, up to the send timeout. */
static int set_connect_timeout(int fd, uint64_t usec)
{
	struct timeval tv = { 0 };

	if (usec != UINT64_MAX) {
		usec = MAX2(usec, UINT64_C(1)); /* 0 would mean no timeout */
		tv.tv_sec = (time_t)(usec / USEC_PER_SEC);
		tv.tv_usec = (suseconds_t)(usec % USEC_PER_SEC);
	}
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int connect_to(const char *path, uint64_t timeout_usec, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = set_connect_timeout(fd, timeout_usec);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int client_connect(struct luo_client *c)
{
	const struct luo_varlink_limits limits = {
		.message_max = REPLY_MAX,
		/* one message returned, and the next one that arrived with it */
		.fds_max = (size_t)2 * LUO_VARLINK_FDS_MAX,
	};
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = connect_to(c->path, c->timeout_usec, &fd);
	if (r < 0)
		return r;
	r = luo_varlink_new(fd, &limits, &c->varlink);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

_public_ int luo_client_connect(const char *path, uint64_t timeout_usec,
				struct luo_client **ret_client)
{
	struct luo_client *c;
	int r;

	if (!ret_client || (path && !*path))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->timeout_usec = timeout_usec;
	if (path) {
		c->path = strdup(path);
		r = c->path ? 0 : -ENOMEM;
	} else {
		r = runtime_path(LUO_SOCKET_NAME, &c->path);
	}
	if (r == 0)
		r = client_connect(c);
	if (r < 0) {
		luo_client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

static void client_disconnect(struct luo_client *c)
{
	c->varlink = luo_varlink_free(c->varlink);
}

static void forget_error(struct luo_client *c)
{
	free(c->error_name);
	free(c->error_text);
	c->error_name = c->error_text = NULL;
}

_public_ struct luo_client *luo_client_free(struct luo_client *c)
{
	if (!c)
		return NULL;
	client_disconnect(c);
	forget_error(c);
	free(c->path);
	free(c);
	return NULL;
}

/* True if the connection is open and has no unread data. */
static int client_ready(struct luo_client *c)
{
	struct luo_varlink_message message;
	int r = 0;

	if (c->varlink)
		r = luo_varlink_receive(c->varlink);
	if (c->varlink && r == 0) {
		r = luo_varlink_next(c->varlink, &message);
		if (r > 0)
			luo_varlink_message_done(&message);
	}
	if (r != 0) /* luod exited meanwhile, or sent something that no call asked for */
		client_disconnect(c);
	return c->varlink ? 0 : client_connect(c);
}

/* ---- errors ---------------------------------------------------------------------------------- */

_public_ void luo_client_error(const struct luo_client *c, const char **ret_name,
			       const char **ret_text)
{
	if (ret_name)
		*ret_name = c ? c->error_name : NULL;
	if (ret_text)
		*ret_text = c ? c->error_text : NULL;
}

static int take_error(struct luo_client *c, const char *name, struct json_object *parameters)
{
	c->error_name = strdup(name);
	c->error_text = luo_client_error_sentence(name, parameters);
	return c->error_name ? luo_client_error_to_errno(name, parameters) : -ENOMEM;
}

/* ---- a call ---------------------------------------------------------------------------------- */

static uint64_t deadline_in(uint64_t usec)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC);

	return usec > UINT64_MAX - now ? UINT64_MAX : now + usec;
}

static int parse_parameters(const char *text, struct json_object **ret)
{
	enum json_tokener_error error;
	struct json_object *o;

	if (!text) {
		*ret = NULL;
		return 0;
	}
	o = json_tokener_parse_verbose(text, &error);
	if (error != json_tokener_success || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EINVAL;
	}
	*ret = o;
	return 0;
}

/* The connection closes its copies after sending; the caller keeps the originals. */
static int send_with_copies(struct luo_varlink *v, struct json_object *message, const int *fds,
			    size_t n_fds)
{
	int copies[LUO_VARLINK_FDS_MAX];
	size_t n;
	int r = 0;

	if (n_fds > ELEMENTSOF(copies))
		return -E2BIG;
	for (n = 0; n < n_fds; n++) {
		copies[n] = fcntl(fds[n], F_DUPFD_CLOEXEC, 3);
		if (copies[n] < 0) {
			r = -errno;
			break;
		}
	}
	if (r == 0)
		r = luo_varlink_send(v, message, copies, n);
	if (r < 0)
		close_many(copies, n);
	return r;
}

/* Takes ownership of @parameters. */
static int send_call(struct luo_client *c, const char *method, struct json_object *parameters,
		     const int *fds, size_t n_fds, unsigned flags)
{
	_cleanup_free_ char *full = NULL;
	struct json_object *message;
	int r;

	if (parameters && !json_is_complete(parameters)) {
		json_object_put(parameters);
		return -ENOMEM;
	}
	if (!strchr(method, '.')) {
		if (asprintf(&full, INTERFACE "%s", method) < 0) {
			full = NULL;
			json_object_put(parameters);
			return -ENOMEM;
		}
		method = full;
	}
	r = luo_varlink_make_call(method, parameters, flags, &message);
	if (r < 0)
		return r;
	r = send_with_copies(c->varlink, message, fds, n_fds);
	json_object_put(message);
	return r;
}

/* Waits for a message, and writes pending output meanwhile. */
static int next_message(struct luo_client *c, struct luo_varlink_message *ret)
{
	uint64_t deadline = deadline_in(c->timeout_usec);

	for (;;) {
		int flushed, r;

		r = luo_varlink_next(c->varlink, ret);
		if (r != 0)
			return r < 0 ? r : 0;
		/* If luod closes the connection while we send, its reply may give the reason. */
		flushed = luo_varlink_flush(c->varlink);
		r = luo_varlink_receive(c->varlink);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (flushed < 0)
			return flushed == -EPIPE ? -ECONNRESET : flushed;
		r = luo_varlink_wait(c->varlink, deadline);
		if (r < 0)
			return r;
	}
}

void luo_reply_done(struct luo_reply *reply)
{
	luo_varlink_message_done(&reply->message);
}

static int check_reply(struct luo_client *c, struct luo_reply *reply)
{
	struct json_object *o = reply->message.object, *value;

	if (json_object_object_get_ex(o, "parameters", &reply->parameters) && reply->parameters &&
	    !json_object_is_type(reply->parameters, json_type_object))
		return -EBADMSG;
	if (json_object_object_get_ex(o, "error", &value) && value) {
		if (!json_object_is_type(value, json_type_string))
			return -EBADMSG;
		return take_error(c, json_object_get_string(value), reply->parameters);
	}
	if (json_object_object_get_ex(o, "continues", &value) && value) {
		if (!json_object_is_type(value, json_type_boolean))
			return -EBADMSG;
		reply->continues = json_object_get_boolean(value);
	}
	return 0;
}

static int receive_reply(struct luo_client *c, struct luo_reply *ret)
{
	struct luo_reply reply = { 0 };
	int r;

	r = next_message(c, &reply.message);
	if (r < 0)
		return r;
	r = check_reply(c, &reply);
	if (r < 0) {
		luo_reply_done(&reply);
		return r;
	}
	*ret = reply;
	return 0;
}

/* After this, both sides agree on the next message, unless the connection itself failed. */
static int end_call(struct luo_client *c, int r)
{
	if (r < 0 && !c->error_name)
		client_disconnect(c);
	return r;
}

int luo_client_call_object(struct luo_client *c, const char *method, struct json_object *parameters,
			   const int *fds, size_t n_fds, struct luo_reply *ret)
{
	int r;

	forget_error(c);
	r = client_ready(c);
	if (r < 0) {
		json_object_put(parameters);
		return r;
	}
	r = send_call(c, method, parameters, fds, n_fds, 0);
	if (r == 0)
		r = receive_reply(c, ret);
	if (r == 0 && ret->continues) {
		luo_reply_done(ret);
		r = -EBADMSG;
	}
	return end_call(c, r);
}

int luo_client_call_more_object(struct luo_client *c, const char *method,
				struct json_object *parameters, luo_reply_fn callback,
				void *userdata)
{
	struct luo_reply reply = { 0 };
	bool continues;
	int r;

	forget_error(c);
	r = client_ready(c);
	if (r < 0) {
		json_object_put(parameters);
		return r;
	}
	r = send_call(c, method, parameters, NULL, 0, LUO_VARLINK_MORE);
	if (r < 0)
		return end_call(c, r);
	do {
		r = receive_reply(c, &reply);
		if (r < 0)
			return end_call(c, r);
		continues = reply.continues;
		r = callback(&reply, userdata);
		luo_reply_done(&reply);
		if (r != 0 && continues)
			client_disconnect(c);
	} while (r == 0 && continues);
	return r;
}

static int reply_text(const struct luo_reply *reply, char **ret)
{
	const char *text = "{}";

	if (reply->parameters)
		text = json_object_to_json_string_ext(
			reply->parameters, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

_public_ int luo_client_call(struct luo_client *c, const char *method, const char *parameters,
			     const int *fds, size_t n_fds, char **ret_reply, int **ret_fds,
			     size_t *ret_n_fds)
{
	struct json_object *object;
	struct luo_reply reply;
	int r;

	if (!c || !method || !*method || (n_fds > 0 && !fds) || !ret_fds != !ret_n_fds)
		return -EINVAL;
	r = parse_parameters(parameters, &object);
	if (r < 0)
		return r;
	r = luo_client_call_object(c, method, object, fds, n_fds, &reply);
	if (r < 0)
		return r;
	if (ret_reply)
		r = reply_text(&reply, ret_reply);
	if (r == 0 && ret_fds) {
		*ret_fds = TAKE_PTR(reply.message.fds);
		*ret_n_fds = reply.message.n_fds;
		reply.message.n_fds = 0;
	}
	luo_reply_done(&reply);
	return r;
}

struct more {
	luo_client_reply_fn callback;
	void *userdata;
};

static int more_as_text(struct luo_reply *reply, void *userdata)
{
	struct more *more = userdata;
	_cleanup_free_ char *text = NULL;
	size_t n = reply->message.n_fds;
	int r;

	r = reply_text(reply, &text);
	if (r < 0)
		return r;
	reply->message.n_fds = 0; /* the callback owns the fds, but not the array */
	return more->callback(text, reply->message.fds, n, reply->continues, more->userdata);
}

_public_ int luo_client_call_more(struct luo_client *c, const char *method, const char *parameters,
				  luo_client_reply_fn callback, void *userdata)
{
	struct more more = { callback, userdata };
	struct json_object *object;
	int r;

	if (!c || !method || !*method || !callback)
		return -EINVAL;
	r = parse_parameters(parameters, &object);
	if (r < 0)
		return r;
	return luo_client_call_more_object(c, method, object, more_as_text, &more);
}
