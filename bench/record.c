/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "bench/die.h"
#include "bench/record.h"

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void series_add(struct series *series, double usec)
{
	if (series->n == SERIES_MAX)
		die(-E2BIG, "more than %d repetitions", SERIES_MAX);
	series->usec[series->n++] = usec;
}

static FILE *begin(const struct subject *s, const char *what)
{
	FILE *f = fopen(s->path, "ae");

	if (!f)
		die(-errno, "%s", s->path);
	fprintf(f, "{\"bench\":\"%s\",\"files\":%zu,\"bytes\":%" PRIu64 ",\"what\":\"%s\"",
		s->bench, s->files, s->bytes, what);
	if (s->sessions)
		fprintf(f, ",\"sessions\":%zu", s->sessions);
	return f;
}

static void end(FILE *f, const char *path)
{
	fprintf(f, "}\n");
	if (fclose(f) != 0)
		die(-errno, "%s", path);
}

void record_series(const struct subject *subject, const char *what, const struct series *series)
{
	FILE *f = begin(subject, what);

	fprintf(f, ",\"usec\":[");
	for (size_t i = 0; i < series->n; i++)
		fprintf(f, "%s%.1f", i ? "," : "", series->usec[i]);
	fprintf(f, "]");
	end(f, subject->path);
}

void record_values(const struct subject *subject, const char *what, const struct value *values,
		   size_t n)
{
	FILE *f = begin(subject, what);

	fprintf(f, ",\"values\":{");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s\"%s\":%" PRIu64, i ? "," : "", values[i].name, values[i].value);
	fprintf(f, "}");
	end(f, subject->path);
}
