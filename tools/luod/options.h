/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_OPTIONS_H
#define LUOD_OPTIONS_H

#include <stdbool.h>

/*
 * The names of all kept fds travel in one string of the environment, which the kernel limits to
 * 128 KiB; at seven bytes a name this is what fits, with some to spare for luod's own.
 */
#define FDSTORE_MAX_TOTAL_LIMIT   18000
#define FDSTORE_MAX_TOTAL_DEFAULT 16384
#define FDSTORE_MAX_DEFAULT       1024

struct options {
	const char *session;
	const char *runtime_dir;
	unsigned fdstore_max_total;
	unsigned fdstore_max;
	bool supervise;
	bool no_live_update;
	int log_level;
};

/* 1: go on; 0: all is said and done, exit 0; negative: wrong usage, said so on stderr. */
int options_parse(int argc, char *argv[], struct options *ret);

#endif
