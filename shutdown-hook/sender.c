/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shutdown-hook/sender.h"

#include "common/json.h"
#include "common/util.h"

#define PAUSE_USEC (50 * USEC_PER_MSEC)

/* How long a luod may take to come back. Without a socket it was hardly there before. */
#define RESTART_USEC   (5 * USEC_PER_SEC)
#define NO_SOCKET_USEC (1 * USEC_PER_SEC)

static void sleep_a_bit(void)
{
	struct timespec ts = { .tv_nsec = (long)(PAUSE_USEC * NSEC_PER_USEC) };

	(void)nanosleep(&ts, NULL);
}

/* luod is not there, or has gone in the middle. */
static bool is_broken(const struct sender *s, int r)
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
	return !name && (is_broken(s, error) || error == -ETIMEDOUT);
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
	/* The next one is made with the time that is left then. */
	if (r < 0 && is_broken(s, r))
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
		if (r >= 0 || !is_broken(s, r))
			break;
		now = now_usec(CLOCK_MONOTONIC) + PAUSE_USEC;
		if (now >= s->deadline ||
		    now - begin >= (r == -ENOENT ? NO_SOCKET_USEC : RESTART_USEC))
			break;
		sleep_a_bit();
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
		return "luod went away";
	case -ETIMEDOUT:
		return "luod did not answer in time";
	default:
		return strerror(-error);
	}
}
