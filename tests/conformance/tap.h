/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef CONFORMANCE_TAP_H
#define CONFORMANCE_TAP_H

/*
 * Just enough of the Test Anything Protocol. A test is a function that returns on the first thing
 * that is not as it should be, having said what it was.
 */

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum tap_result {
	TAP_OK,
	TAP_FAILED,
	TAP_SKIPPED,
};

struct tap_test {
	const char *name;
	enum tap_result (*run)(void);
};

/* Runs them all, prints TAP, returns how many failed. */
int tap_run(const struct tap_test *tests, size_t n);

/* Says why; for TAP_SKIPPED it goes on the test's own line. */
enum tap_result tap_failed(const char *file, int line, const char *what, long long got);
enum tap_result tap_skipped(const char *why);

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			return tap_failed(__FILE__, __LINE__, #condition, 0); \
	} while (0)

/* @expression must be @expected; what it is instead is printed, an errno by its name. */
#define CHECK_IS(expression, expected)                                                             \
	do {                                                                                       \
		long long _got = (long long)(expression);                                          \
		if (_got != (long long)(expected))                                                 \
			return tap_failed(__FILE__, __LINE__, #expression " should be " #expected, \
					  _got);                                                   \
	} while (0)

/* A helper that returns enum tap_result itself. */
#define CHECK_RESULT(expression)                   \
	do {                                       \
		enum tap_result _r = (expression); \
		if (_r != TAP_OK)                  \
			return _r;                 \
	} while (0)

#define SKIP(why) return tap_skipped(why)

#endif
