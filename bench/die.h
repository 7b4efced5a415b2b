/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef BENCH_DIE_H
#define BENCH_DIE_H

/* A benchmark has nothing to save: whatever does not work ends it, with a word about what it was.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define die(r, ...)                                        \
	do {                                               \
		fprintf(stderr, "bench: ");                \
		fprintf(stderr, __VA_ARGS__);              \
		fprintf(stderr, ": %s\n", strerror(-(r))); \
		exit(1);                                   \
	} while (0)

/* The value of an expression that gives a negative errno on failure. */
#define must(expression)                            \
	({                                          \
		int _r = (expression);              \
		if (_r < 0)                         \
			die(_r, "%s", #expression); \
		_r;                                 \
	})

/* The same for one that sets errno. */
#define must_errno(expression)                            \
	({                                                \
		__typeof__(expression) _r = (expression); \
		if (_r < 0)                               \
			die(-errno, "%s", #expression);   \
		_r;                                       \
	})

#endif
