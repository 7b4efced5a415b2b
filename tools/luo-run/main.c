/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-run: become a program that has its fds.
 *
 *   register   luod remembers this pid; an exec does not change it
 *   claim      what the unit has stored, and what it owns from before the kexec
 *   arrange    the fds at 3, 4, ..., and the variables that say so
 *   exec
 *
 * When something is in the way, one rule decides: a service that is started without a state that
 * exists makes a new one, and the old one is then in its way or gone. So luo-run does not start it,
 * unless told to. Where there is no state to lose (luod is not there at all; or the kernel could
 * not restore an entry, which is final) it warns and starts. A luod that was there once and has
 * gone since is another thing: it has the state, and will be back.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include <luo/client.h>

#include "tools/luo-run/arrange.h"
#include "common/escape.h"
#include "tools/luo-run/listen-env.h"
#include "tools/luo-run/options.h"
#include "common/util.h"

#define FIRST_FD   3
#define RETRY_USEC (50 * USEC_PER_MSEC)

/* For a luod that went away in the middle, if no waiting time was given. */
#define RETURN_USEC (2 * USEC_PER_SEC)

struct run {
	struct options options;
	struct rlimit files; /* as it was */
	char *socket;
	struct luo_client *client;
	struct luo_claimed *claimed;
	bool met; /* a luod was there */
	bool registered;
};

static void displaced(int fd)
{
	fprintf(stderr,
		"luo-run: warning: fd %d, which came from the parent, gives way to the fds of the unit\n",
		fd);
}

/* ---- getting them ---------------------------------------------------------------------------- */

/* luod does not listen, and has not since the start. */
static bool luod_is_away(const struct run *run, int error)
{
	return !run->met && (error == -ENOENT || error == -ECONNREFUSED);
}

/* An answer of luod comes with a name; what has none is a trouble on the way to it. */
static bool luod_has_gone(const struct run *run, int error)
{
	const char *name;

	luo_client_error(run->client, &name, NULL);
	return run->met && !name &&
	       (error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
		error == -EPIPE);
}

static int try_to_claim(struct run *run)
{
	const struct options *o = &run->options;
	const char *name;
	int r;

	if (!run->client) {
		r = luo_client_connect(run->socket, o->timeout_usec, &run->client);
		if (r < 0)
			return r;
		run->met = true;
	}
	r = luo_client_register(run->client, o->unit, o->fdstore_max);
	if (r < 0)
		return r;
	run->registered = true;
	r = luo_client_claim(run->client, o->unit, &run->claimed);
	luo_client_error(run->client, &name, NULL);
	if (r == -ENOENT && name)
		return 0; /* a unit that has nothing */
	return r;
}

/* luod may be restarted at any point, and everything here can be said to it twice. */
static int claim(struct run *run)
{
	uint64_t started = now_usec(CLOCK_MONOTONIC), wait_usec = run->options.wait_usec;
	int r;

	for (;;) {
		r = try_to_claim(run);
		if (r >= 0 || (!luod_is_away(run, r) && !luod_has_gone(run, r)))
			return r;
		if (run->met && wait_usec == 0)
			wait_usec = now_usec(CLOCK_MONOTONIC) - started + RETURN_USEC;
		if (now_usec(CLOCK_MONOTONIC) - started >= wait_usec)
			return r;
		usleep(RETRY_USEC);
	}
}

static int explain_away(const struct run *run, int error)
{
	const struct options *o = &run->options;

	fprintf(stderr, "luo-run: %sluod does not answer on %s: %s%s\n",
		o->required ? "" : "warning: ", run->socket, strerror(-error),
		o->required ? ""
			    : "; starting without a store, what the program keeps is lost with it");
	return o->required ? EXIT_UNAVAILABLE : -1;
}

static int explain_refusal(const struct run *run, int error)
{
	const struct options *o = &run->options;
	_cleanup_free_ char *safe = NULL;
	const char *text;

	luo_client_error(run->client, NULL, &text);
	safe = text ? escape(text) : NULL;
	fprintf(stderr, "luo-run: %scannot %s unit %s: %s%s\n", o->ignore_errors ? "warning: " : "",
		run->registered ? "claim the fds of" : "register as", o->unit,
		luod_has_gone(run, error) ? "luod went away and did not come back: " : "",
		safe ?: strerror(-error));
	if (o->ignore_errors)
		return -1;
	fprintf(stderr,
		"luo-run: %s is not started, because without its state it would make a new one; --ignore-errors starts it all the same\n",
		o->command[0]);
	return error == -EPERM || error == -EACCES ? EXIT_NO_PERMISSION : EXIT_NOT_NOW;
}

/* -1: go on; otherwise exit with that. */
static int get_fds(struct run *run)
{
	int r;

	r = claim(run);
	if (r >= 0)
		return -1;
	if (luod_is_away(run, r))
		return explain_away(run, r);
	return explain_refusal(run, r);
}

/* ---- handing them on ------------------------------------------------------------------------- */

/* Moves out the fds of those that are there, and writes their names. */
static size_t sort_out(struct run *run, size_t n_before, int *fds, FILE *names)
{
	size_t n = 0;

	for (size_t i = 0; i < luo_claimed_n(run->claimed); i++) {
		int fd = luo_claimed_take_fd(run->claimed, i);

		if (fd < 0) {
			_cleanup_free_ char *name = escape(luo_claimed_get_name(run->claimed, i));

			fprintf(stderr,
				"luo-run: warning: \"%s\" of unit %s is lost: the kernel could not restore it\n",
				name ?: "?", run->options.unit);
			continue;
		}
		listen_env_name(names, n_before + n, luo_claimed_get_name(run->claimed, i));
		fds[n++] = fd;
	}
	return n;
}

static int arrange(struct run *run, FILE *names, size_t *ret_n)
{
	_cleanup_free_ int *fds = calloc(luo_claimed_n(run->claimed) + 1, sizeof(int));
	size_t n_before, n;
	int r;

	if (!fds)
		return -ENOMEM;
	r = listen_env_inherit(names, &n_before);
	if (r < 0)
		return r;
	n = sort_out(run, n_before, fds, names);
	r = arrange_fds(fds, n, FIRST_FD + (int)n_before, displaced);
	if (r < 0)
		return r;
	*ret_n = n_before + n;
	return 0;
}

static int set_notify_socket(const struct run *run)
{
	_cleanup_free_ char *path = NULL;

	if (!run->registered)
		return 0;
	if (asprintf(&path, "%s/%s", run->options.runtime_dir, LUO_NOTIFY_NAME) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return setenv("NOTIFY_SOCKET", path, 1) < 0 ? -errno : 0;
}

static int hand_on(struct run *run)
{
	_cleanup_free_ char *names = NULL;
	FILE *stream;
	size_t size, n = 0;
	int r;

	stream = open_memstream(&names, &size);
	if (!stream)
		return -errno;
	r = arrange(run, stream, &n);
	if (fclose(stream) != 0 && r == 0)
		r = -ENOMEM;
	if (r == 0)
		r = listen_env_set(n, names);
	if (r == 0)
		r = set_notify_socket(run);
	return r;
}

static int explain_hand_on(const struct run *run, int error)
{
	if (error == -E2BIG)
		fprintf(stderr,
			"luo-run: the names of %zu fds are longer than $LISTEN_FDNAMES can be (128 KiB): use shorter names, or keep more in one memfd\n",
			luo_claimed_n(run->claimed));
	else if (error == -EINVAL)
		fprintf(stderr,
			"luo-run: $LISTEN_FDS and $LISTEN_FDNAMES, as they were given to luo-run, are malformed\n");
	else
		fprintf(stderr, "luo-run: cannot arrange the fds of unit %s: %s\n",
			run->options.unit, strerror(-error));
	return EXIT_SYSTEM;
}

static int become(char **command)
{
	int error;

	execvp(command[0], command);
	error = errno;
	fprintf(stderr, "luo-run: cannot execute %s: %s\n", command[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC;
}

/* ---- the process ----------------------------------------------------------------------------- */

/* Otherwise an fd of the unit could become the program's standard output. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < FIRST_FD);
	safe_close(fd);
}

/* To receive as many as there may be; the program gets back the limit that we were given. */
static void raise_file_limit(struct run *run)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &run->files) < 0)
		return;
	limit = run->files;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* A program that could open ten more files should still be able to after a live update. */
static void restore_file_limit(const struct run *run, size_t n)
{
	struct rlimit limit = run->files;

	if (limit.rlim_max == 0)
		return;
	if (FIRST_FD + n > limit.rlim_cur / 2)
		limit.rlim_cur = MIN2(limit.rlim_cur + n, limit.rlim_max);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_it(struct run *run)
{
	int r;

	if (asprintf(&run->socket, "%s/%s", run->options.runtime_dir, LUO_SOCKET_NAME) < 0) {
		run->socket = NULL;
		return explain_hand_on(run, -ENOMEM);
	}
	raise_file_limit(run);
	r = get_fds(run);
	if (r >= 0)
		return r;
	/* Its fd may be just where one of the unit has to go. */
	run->client = luo_client_free(run->client);
	r = hand_on(run);
	if (r < 0)
		return explain_hand_on(run, r);
	restore_file_limit(run, luo_claimed_n(run->claimed));
	return become(run->options.command);
}

int main(int argc, char **argv)
{
	struct run run = { 0 };
	int r;

	fill_standard_fds();
	r = options_parse(&run.options, argc, argv);
	if (r < 0)
		r = run_it(&run);
	luo_claimed_free(run.claimed);
	luo_client_free(run.client);
	free(run.socket);
	return r;
}
