/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The sentence of luo_heap_problem(): what was tried, on what, and why it failed. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

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

static int explain(const struct luo_heap *h, int r)
{
	switch (r) {
	case -ENOMEM:
		return heap_problem(r, "no memory; it has %" PRIu64 " bytes of at most %" PRIu64,
				    (uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT, h->max_size);
	case -EBUSY:
		return heap_problem(
			r,
			"its memory is in a LUO session, and cannot grow before the kexec, or luoctl abort");
	case -EUCLEAN:
		return heap_problem(r, "it is damaged; luoctl heap check says where");
	case -EROFS:
		return heap_problem(r, "it was opened read-only");
	default:
		return heap_problem_end(r);
	}
}

int heap_failed(const struct luo_heap *h, const char *verb, int r)
{
	heap_problem_begin(verb, heap_super(h)->name);
	return explain(h, r);
}

int heap_refused(const struct luo_heap *h, const char *verb, int r, const char *why)
{
	heap_problem_begin(verb, heap_super(h)->name);
	return heap_problem(r, "%s", why);
}

void *heap_alloc_failed(const struct luo_heap *h, int r)
{
	heap_failed(h, "allocating in the heap", r);
	errno = -r;
	return NULL;
}

_public_ const char *luo_heap_problem(void)
{
	return problem;
}
