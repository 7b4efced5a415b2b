/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_RUN_OPTIONS_H
#define LUO_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* How luo-run ends when it does not become the program; the numbers of sysexits.h and of env(1). */
enum exit_code {
	EXIT_USAGE = 2,
	EXIT_UNAVAILABLE = 69, /* luod is not there */
	EXIT_SYSTEM = 71,
	EXIT_NOT_NOW = 75, /* what the unit owns cannot be claimed now */
	EXIT_NO_PERMISSION = 77,
	EXIT_CANNOT_EXEC = 126,
	EXIT_NOT_FOUND = 127,
};

struct options {
	const char *unit;
	unsigned fdstore_max;  /* 0: luod's default */
	uint64_t wait_usec;    /* for luod to be there */
	uint64_t timeout_usec; /* for each answer */
	const char *runtime_dir;
	bool required;
	bool ignore_errors;
	char **command; /* ends with NULL */
};

/* -1: go on; otherwise exit with that. */
int options_parse(struct options *options, int argc, char **argv);

#endif
