/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tests/conformance/tap.h"

static const char *skip_reason;

enum tap_result tap_failed(const char *file, int line, const char *what, long long got)
{
	const char *slash = strrchr(file, '/');
	const char *name = NULL;

#ifdef __GLIBC__
	if (got < 0 && got > -4096)
		name = strerrorname_np((int)-got);
#endif

	printf("# %s:%d: %s", slash ? slash + 1 : file, line, what);
	if (name)
		printf(", is -%s\n", name);
	else if (strstr(what, " should be "))
		printf(", is %lld (0x%llx)\n", got, (unsigned long long)got);
	else
		printf("\n");
	return TAP_FAILED;
}

enum tap_result tap_skipped(const char *why)
{
	skip_reason = why;
	return TAP_SKIPPED;
}

int tap_run(const struct tap_test *tests, size_t n)
{
	int failed = 0;

	printf("TAP version 13\n1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		enum tap_result r = tests[i].run();

		failed += r == TAP_FAILED;
		printf("%s %zu - %s", r == TAP_FAILED ? "not ok" : "ok", i + 1, tests[i].name);
		if (r == TAP_SKIPPED)
			printf(" # SKIP %s", skip_reason);
		printf("\n");
		fflush(stdout);
	}
	return failed;
}
