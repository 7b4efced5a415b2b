/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_OPTIONS_H
#define LUOD_OPTIONS_H

#include <stdbool.h>

/*
 * One environment string has the names of all kept fds, and the kernel limits it to 128 KiB. At
 * seven bytes a name, so many fit, with some left for the other fds of luod.
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

/*
 * 1: continue; 0: the help or the version was printed, exit 0; negative: wrong usage, which was
 * reported on stderr.
 */
int options_parse(int argc, char *argv[], struct options *ret);

#endif
