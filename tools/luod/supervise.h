/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_SUPERVISE_H
#define LUOD_SUPERVISE_H

/*
 * luod --supervise: keeps the fds of luod where there is no systemd, and starts luod again when it
 * ends. It does as little as possible, so that little can go wrong: as long as it lives, no fd is
 * lost, whatever happens to luod.
 */

#include <limits.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct kept;
struct options;

struct supervisor {
	int ours, theirs; /* the two ends of the socket to luod */
	int signals;
	char path[PATH_MAX];
	char *argv[16];
	char oom_score[16]; /* the score before the supervisor protected itself */

	struct kept *kept;
	size_t n_kept, kept_allocated, n_kept_at_start;

	pid_t child; /* 0: none */
	bool ready;  /* this luod is ready */
	bool was_ready;
	bool ending;
	uint64_t started, start_at, end_by; /* microseconds of CLOCK_MONOTONIC */
	unsigned failures, crashes;         /* in a row */
};

/* Runs the supervisor until it is told to end. The exit status, or a negative errno. */
int supervise(const struct options *options, int argc, char *argv[]);

#endif
