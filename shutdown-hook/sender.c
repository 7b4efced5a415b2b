/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Sends a call to luod and repeats it while luod restarts, until the deadline. See sender.h. */

#include "shutdown-hook/sender.h"

#include "common/json.h"
#include "common/util.h"

#define PAUSE_USEC (50 * USEC_PER_MSEC)

/* How long luod may take to restart. If its socket is missing, it probably never ran. */
#define RESTART_USEC   (5 * USEC_PER_SEC)
#define NO_SOCKET_USEC (1 * USEC_PER_SEC)

static void pause_briefly(void)
{
	struct timespec ts = { .tv_nsec = (long)(PAUSE_USEC * NSEC_PER_USEC) };

	(void)nanosleep(&ts, NULL);
}

/* luod is not running, or it closed the connection during the call. */
static bool is_disconnected(const struct sender *s, int r)
{
	const char *name = NULL;

	luo_client_error(s->client, &name, NULL);
	if (name)
		return false;
	return r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE;
}

int sender_is_cut_off(const struct sender *s, int error)
{
	const char *name = NULL;

	luo_client_error(s->client, &name, NULL);
	return !name && (is_disconnected(s, error) || error == -ETIMEDOUT);
}

static int call_once(struct sender *s, const char *method, const char *parameters, const int *fds,
		     size_t n_fds)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC);
	int r;

	if (now >= s->deadline)
		return -ETIMEDOUT;
	if (!s->client) {
		r = luo_client_connect(NULL, s->deadline - now, &s->client);
		if (r < 0)
			return r;
	}
	r = luo_client_call(s->client, method, parameters, fds, n_fds, NULL, NULL, NULL);
	/* The next connection gets the time that is left then. */
	if (r < 0 && is_disconnected(s, r))
		s->client = luo_client_free(s->client);
	return r;
}

int sender_call(struct sender *s, const char *method, struct json_object *parameters,
		const int *fds, size_t n_fds)
{
	const char *text = json_to_text(parameters);
	uint64_t begin = now_usec(CLOCK_MONOTONIC);
	int r;

	/* Without a member the request could mean something else. */
	if (!text) {
		json_object_put(parameters);
		return -ENOMEM;
	}

	for (;;) {
		uint64_t now;

		r = call_once(s, method, text, fds, n_fds);
		if (r >= 0 || !is_disconnected(s, r))
			break;
		now = now_usec(CLOCK_MONOTONIC) + PAUSE_USEC;
		if (now >= s->deadline ||
		    now - begin >= (r == -ENOENT ? NO_SOCKET_USEC : RESTART_USEC))
			break;
		pause_briefly();
	}
	json_object_put(parameters);
	return r;
}

void sender_done(struct sender *s)
{
	s->client = luo_client_free(s->client);
}

const char *sender_error(const struct sender *s, int error)
{
	const char *name = NULL, *text = NULL;

	luo_client_error(s->client, &name, &text);
	if (text || name)
		return text ? text : name;
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "luod is not running";
	case -ECONNRESET:
	case -EPIPE:
		return "luod closed the connection";
	case -ETIMEDOUT:
		return "luod did not answer in time";
	default:
		return strerror(-error);
	}
}
