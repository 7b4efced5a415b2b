/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Which message do received fds belong to? They come with a socket buffer, and one recvmsg() may
 * return bytes of several. The kernel stops reading behind a buffer that carries fds, so such a
 * buffer is always the last of what one recvmsg() returns. So one byte is read first: fds that come
 * with it belong to it. Then the rest, and
 *
 *   fds with the first byte   belong to the message that this byte is of
 *   fds with the rest         belong to the message with the last byte, because a sender does not
 *                             put other messages behind one with fds into the same sendmsg()
 *
 * (A peek at one byte does not tell: a peek goes on to the next buffers even with no room left.)
 * Each batch of fds is queued with the position in the stream that it belongs to, and goes to the
 * message that covers this position.
 */

#include "common/json-scan.h"
#include "common/varlink.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/util.h"

#define MESSAGE_MAX_DEFAULT ((size_t)1 << 20)
#define READ_SIZE           ((size_t)64 << 10)
/* A buffer that has grown over this is given back when it is empty. */
#define KEEP_SIZE ((size_t)16 << 10)

struct fd_batch {
	struct fd_batch *next;
	uint64_t at; /* position in the stream */
	size_t n_fds;
	int fds[];
};

struct output {
	struct output *next;
	size_t size, sent;
	size_t n_fds;
	int *fds;
	char data[];
};

struct luo_varlink {
	int fd;
	struct luo_varlink_limits limits;

	char *in;
	size_t in_start, in_end, in_allocated;
	size_t in_scanned;  /* no NUL in [in_start, in_scanned) */
	uint64_t in_stream; /* position in the stream of in[in_start] */
	struct fd_batch *batches, **batches_tail;
	size_t n_fds_queued;

	struct output *out, **out_tail;
	size_t out_pending;
};

int luo_varlink_new(int fd, const struct luo_varlink_limits *limits, struct luo_varlink **ret)
{
	struct luo_varlink *v;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (limits)
		v->limits = *limits;
	if (v->limits.message_max == 0)
		v->limits.message_max = MESSAGE_MAX_DEFAULT;
	if (v->limits.fds_max == 0)
		v->limits.fds_max = LUO_VARLINK_FDS_MAX;
	if (v->limits.output_max == 0)
		v->limits.output_max = SIZE_MAX;
	v->batches_tail = &v->batches;
	v->out_tail = &v->out;
	v->fd = fd;
	*ret = v;
	return 0;
}

static void output_free(struct output *output)
{
	close_many(output->fds, output->n_fds);
	free(output->fds);
	free(output);
}

struct luo_varlink *luo_varlink_free(struct luo_varlink *v)
{
	if (!v)
		return NULL;
	while (v->batches) {
		struct fd_batch *batch = v->batches;

		v->batches = batch->next;
		close_many(batch->fds, batch->n_fds);
		free(batch);
	}
	while (v->out) {
		struct output *output = v->out;

		v->out = output->next;
		output_free(output);
	}
	safe_close(v->fd);
	free(v->in);
	free(v);
	return NULL;
}

int luo_varlink_fd(const struct luo_varlink *v)
{
	return v->fd;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* Makes room for @size more bytes behind in_end. */
static int in_reserve(struct luo_varlink *v, size_t size)
{
	size_t used = v->in_end - v->in_start, want;
	char *p;

	if (v->in_allocated - v->in_end >= size)
		return 0;
	if (v->in_start > 0) {
		memmove(v->in, v->in + v->in_start, used);
		v->in_scanned -= v->in_start;
		v->in_end = used;
		v->in_start = 0;
		if (v->in_allocated - v->in_end >= size)
			return 0;
	}
	want = MAX2(used + size, used * 2);
	p = realloc(v->in, want);
	if (!p)
		return -ENOMEM;
	v->in = p;
	v->in_allocated = want;
	return 0;
}

static void in_release(struct luo_varlink *v)
{
	if (v->in_start != v->in_end)
		return;
	v->in_start = v->in_end = v->in_scanned = 0;
	if (v->in_allocated > KEEP_SIZE) {
		free(v->in);
		v->in = NULL;
		v->in_allocated = 0;
	}
}

int luo_varlink_feed(struct luo_varlink *v, const void *data, size_t size, const int *fds,
		     size_t n_fds, bool fds_first)
{
	uint64_t chunk = v->in_stream + (v->in_end - v->in_start);
	int r;

	if (n_fds > 0) {
		struct fd_batch *batch;

		if (size == 0 || v->n_fds_queued + n_fds > v->limits.fds_max) {
			close_many(fds, n_fds);
			return -EMFILE;
		}
		batch = malloc(sizeof(*batch) + n_fds * sizeof(int));
		if (!batch) {
			close_many(fds, n_fds);
			return -ENOMEM;
		}
		batch->next = NULL;
		batch->at = fds_first ? chunk : chunk + size - 1;
		batch->n_fds = n_fds;
		memcpy(batch->fds, fds, n_fds * sizeof(int));
		*v->batches_tail = batch;
		v->batches_tail = &batch->next;
		v->n_fds_queued += n_fds;
	}
	r = in_reserve(v, size);
	if (r < 0)
		return r;
	if (size > 0)
		memcpy(v->in + v->in_end, data, size);
	v->in_end += size;
	return 0;
}

static void take_control(struct msghdr *mh, int *fds, size_t *n_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*n_fds < LUO_VARLINK_FDS_MAX)
				fds[(*n_fds)++] = fd;
			else
				safe_close(fd);
		}
	}
}

/* One recvmsg() of at most @size bytes. 1, 0, or negative, as luo_varlink_receive(). */
static int receive_some(struct luo_varlink *v, char *data, size_t size, bool first)
{
	union {
		struct cmsghdr header;
		char buffer[CMSG_SPACE(sizeof(int) * LUO_VARLINK_FDS_MAX)];
	} control;
	int fds[LUO_VARLINK_FDS_MAX];
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	size_t n_fds = 0;
	ssize_t n;
	int r;

	do
		n = recvmsg(v->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	take_control(&mh, fds, &n_fds);
	if (mh.msg_flags & MSG_CTRUNC || n == 0) {
		/* Some fds are lost, and nobody can tell which: names and fds would not match. */
		close_many(fds, n_fds);
		return n == 0 ? -ECONNRESET : -EBADMSG;
	}
	r = luo_varlink_feed(v, data, (size_t)n, fds, n_fds, first);
	return r < 0 ? r : 1;
}

int luo_varlink_receive(struct luo_varlink *v)
{
	_cleanup_free_ char *data = NULL;
	int r;

	data = malloc(READ_SIZE);
	if (!data)
		return -ENOMEM;
	r = receive_some(v, data, 1, true);
	if (r <= 0)
		return r;
	r = receive_some(v, data, READ_SIZE, false);
	/* That it ends here is said the next time. */
	return r < 0 && r != -ECONNRESET ? r : 1;
}

/* Takes the fds that belong to positions before @end. */
static int take_fds(struct luo_varlink *v, uint64_t end, int **ret_fds, size_t *ret_n_fds)
{
	_cleanup_free_ int *fds = NULL;
	size_t n = 0, i = 0;

	for (struct fd_batch *batch = v->batches; batch && batch->at < end; batch = batch->next)
		n += batch->n_fds;
	if (n > 0) {
		fds = calloc(n, sizeof(int));
		if (!fds)
			return -ENOMEM;
	}
	while (v->batches && v->batches->at < end) {
		struct fd_batch *batch = v->batches;

		memcpy(fds + i, batch->fds, batch->n_fds * sizeof(int));
		i += batch->n_fds;
		v->n_fds_queued -= batch->n_fds;
		v->batches = batch->next;
		if (!v->batches)
			v->batches_tail = &v->batches;
		free(batch);
	}
	*ret_fds = TAKE_PTR(fds);
	*ret_n_fds = n;
	return 0;
}

/*
 * What the tree of a message may take: what a call of ours needs many times over, and for long
 * replies, which come from luod, some times what they honestly need.
 */
#define TREE_PER_BYTE 40
#define TREE_MIN      ((size_t)8 << 20)
#define TREE_MIN_SIZE ((size_t)1 << 20)

static int parse_object(const char *text, size_t size, struct json_object **ret)
{
	const struct json_limits limits = {
		.depth = LUO_VARLINK_DEPTH_MAX,
		.memory = size <= TREE_MIN_SIZE ? TREE_MIN : size * TREE_PER_BYTE,
	};
	struct json_object *object;
	const char *reason;
	size_t position;
	int r;

	if (size > INT_MAX)
		return -EMSGSIZE;
	/* Three bytes of "{}," become a kilobyte: a peer could fill our memory. */
	r = json_parse_limited(text, size, &limits, &object, &reason, &position);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return -EBADMSG;
	}
	*ret = object;
	return 0;
}

int luo_varlink_next(struct luo_varlink *v, struct luo_varlink_message *ret)
{
	struct luo_varlink_message message = { 0 };
	size_t size;
	char *end;
	int r;

	if (v->in_start == v->in_end)
		return 0;
	end = memchr(v->in + v->in_scanned, 0, v->in_end - v->in_scanned);
	if (!end) {
		v->in_scanned = v->in_end;
		return v->in_end - v->in_start > v->limits.message_max ? -EMSGSIZE : 0;
	}
	size = (size_t)(end - (v->in + v->in_start));
	if (size > v->limits.message_max)
		return -EMSGSIZE;
	r = take_fds(v, v->in_stream + size + 1, &message.fds, &message.n_fds);
	if (r < 0)
		return r;
	r = parse_object(v->in + v->in_start, size, &message.object);
	if (r < 0) {
		luo_varlink_message_done(&message);
		return r;
	}
	v->in_start += size + 1;
	v->in_scanned = v->in_start;
	v->in_stream += size + 1;
	in_release(v);
	*ret = message;
	return 1;
}

void luo_varlink_message_done(struct luo_varlink_message *message)
{
	close_many(message->fds, message->n_fds);
	free(message->fds);
	json_object_put(message->object);
	*message = (struct luo_varlink_message){ 0 };
}

/* ---- out ------------------------------------------------------------------------------------- */

int luo_varlink_send(struct luo_varlink *v, struct json_object *object, const int *fds,
		     size_t n_fds)
{
	struct output *output;
	const char *text;
	size_t size;

	if (n_fds > LUO_VARLINK_FDS_MAX)
		return -E2BIG;
	text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (!text)
		return -ENOMEM;
	if (v->out_pending + size + 1 > v->limits.output_max)
		return -ENOBUFS;
	output = malloc(sizeof(*output) + size + 1);
	if (!output)
		return -ENOMEM;
	*output = (struct output){ .size = size + 1, .n_fds = n_fds };
	memcpy(output->data, text, size + 1);
	if (n_fds > 0) {
		output->fds = calloc(n_fds, sizeof(int));
		if (!output->fds) {
			free(output);
			return -ENOMEM;
		}
		memcpy(output->fds, fds, n_fds * sizeof(int));
	}
	*v->out_tail = output;
	v->out_tail = &output->next;
	v->out_pending += output->size;
	return 0;
}

/* Sends some of one message, its fds with the first byte. Bytes sent, or negative errno. */
static ssize_t send_some(int fd, struct output *output)
{
	union {
		struct cmsghdr header;
		char buffer[CMSG_SPACE(sizeof(int) * LUO_VARLINK_FDS_MAX)];
	} control;
	struct iovec iov = {
		.iov_base = output->data + output->sent,
		.iov_len = output->size - output->sent,
	};
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (output->n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * output->n_fds);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * output->n_fds);
		memcpy(CMSG_DATA(c), output->fds, sizeof(int) * output->n_fds);
	}
	do
		n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int luo_varlink_flush(struct luo_varlink *v)
{
	while (v->out) {
		struct output *output = v->out;
		ssize_t n = send_some(v->fd, output);

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		close_many(output->fds, output->n_fds);
		output->n_fds = 0;
		output->sent += (size_t)n;
		v->out_pending -= (size_t)n;
		if (output->sent < output->size)
			continue;
		v->out = output->next;
		if (!v->out)
			v->out_tail = &v->out;
		output_free(output);
	}
	return 1;
}

size_t luo_varlink_pending(const struct luo_varlink *v)
{
	return v->out_pending;
}

int luo_varlink_wait(struct luo_varlink *v, uint64_t deadline_usec)
{
	for (;;) {
		struct pollfd p = { .fd = v->fd, .events = v->out ? POLLIN | POLLOUT : POLLIN };
		struct timespec ts, *timeout = NULL;

		if (deadline_usec != UINT64_MAX) {
			uint64_t now = now_usec(CLOCK_MONOTONIC);
			uint64_t left = deadline_usec > now ? deadline_usec - now : 0;

			ts.tv_sec = (time_t)(left / USEC_PER_SEC);
			ts.tv_nsec = (long)(left % USEC_PER_SEC * NSEC_PER_USEC);
			timeout = &ts;
		}
		int r = ppoll(&p, 1, timeout, NULL);

		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* ---- messages -------------------------------------------------------------------------------- */

static int make_message(const char *key, const char *value, struct json_object *parameters,
			struct json_object **ret)
{
	struct json_object *object = json_object_new_object(), *text;

	if (!parameters)
		parameters = json_object_new_object();
	if (!object || !parameters)
		goto fail;
	if (key) {
		text = json_object_new_string(value);
		if (!text || json_object_object_add(object, key, text) < 0) {
			json_object_put(text);
			goto fail;
		}
	}
	if (json_object_object_add(object, "parameters", parameters) < 0)
		goto fail;
	*ret = object;
	return 0;
fail:
	json_object_put(parameters);
	json_object_put(object);
	return -ENOMEM;
}

static int add_true(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_new_boolean(true);

	if (!value || json_object_object_add(object, key, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int luo_varlink_make_call(const char *method, struct json_object *parameters, unsigned flags,
			  struct json_object **ret)
{
	struct json_object *object;
	int r = make_message("method", method, parameters, &object);

	if (r < 0)
		return r;
	if (flags & LUO_VARLINK_MORE)
		r = add_true(object, "more");
	if (r == 0 && (flags & LUO_VARLINK_ONEWAY))
		r = add_true(object, "oneway");
	if (r < 0) {
		json_object_put(object);
		return r;
	}
	*ret = object;
	return 0;
}

int luo_varlink_make_reply(struct json_object *parameters, bool continues, struct json_object **ret)
{
	struct json_object *object;
	int r = make_message(NULL, NULL, parameters, &object);

	if (r < 0)
		return r;
	if (continues) {
		r = add_true(object, "continues");
		if (r < 0) {
			json_object_put(object);
			return r;
		}
	}
	*ret = object;
	return 0;
}

int luo_varlink_make_error(const char *error, struct json_object *parameters,
			   struct json_object **ret)
{
	return make_message("error", error, parameters, ret);
}
