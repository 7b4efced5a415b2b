/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/luod.h"

#define PROBLEMS_MAX 100

void problem_report(struct luod *l, const char *format, ...)
{
	char **grown;
	char *text;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	log_error("%s", text);
	grown = l->n_problems < PROBLEMS_MAX
			? reallocarray(l->problems, l->n_problems + 1, sizeof(char *))
			: NULL;
	if (!grown) {
		free(text);
		return;
	}
	l->problems = grown;
	l->problems[l->n_problems++] = text;
}

void problems_free(struct luod *l)
{
	for (size_t i = 0; i < l->n_problems; i++)
		free(l->problems[i]);
	free(TAKE_PTR(l->problems));
	l->n_problems = 0;
}
