/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

/*
 * Times, and the file they go into: one JSON object a line, read by bench/render.
 *
 *   {"bench": "commit", "files": 10, "bytes": 4096, "what": "libluo", "usec": [812.1, 803.4]}
 *   {"bench": "luod", "files": 10000, "what": "stored", "values": {"VmRSS": 7340032}}
 */

#include <stddef.h>
#include <stdint.h>

#define SERIES_MAX 64

/* Repetitions of one measurement. */
struct series {
	double usec[SERIES_MAX];
	size_t n;
};

double bench_now(void); /* microseconds */
void series_add(struct series *series, double usec);

/* What a line is about. */
struct subject {
	const char *bench;
	const char *path; /* of the file, appended to */
	size_t files;
	uint64_t bytes;  /* of each file */
	size_t sessions; /* 0: not said */
};

void record_series(const struct subject *subject, const char *what, const struct series *series);

struct value {
	const char *name;
	uint64_t value;
};
void record_values(const struct subject *subject, const char *what, const struct value *values,
		   size_t n);

#endif
