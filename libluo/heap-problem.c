/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sentence that luo_heap_problem() returns: what was tried, on what, and why it failed. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libluo/heap-internal.h>
#include <libluo/util.h>

static _Thread_local char subject[160];
static _Thread_local char problem[640];

void heap_problem_begin(const char *verb, const char *name)
{
	snprintf(subject, sizeof(subject), "%s '%s'", verb, name ?: "");
	problem[0] = '\0';
}

int heap_problem(int r, const char *format, ...)
{
	size_t n = (size_t)snprintf(problem, sizeof(problem), "%s: ", subject);
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem + n, sizeof(problem) - n, format, ap);
	va_end(ap);
	return r;
}

int heap_problem_end(int r)
{
	if (r < 0 && !problem[0])
		snprintf(problem, sizeof(problem), "%s: %s", subject, strerror(-r));
	return r;
}

_public_ const char *luo_heap_problem(void)
{
	return problem;
}
