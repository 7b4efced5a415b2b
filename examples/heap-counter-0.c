/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* heap-counter.c before it had a heap: what it counts ends with the process. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct counter {
	uint64_t starts;
	uint64_t count;
	int64_t since; /* seconds since 1970 */
};

static struct counter counter;

int main(int argc, char **argv)
{
	long left = argc > 1 ? atol(argv[1]) : -1;

	if (counter.starts == 0)
		counter.since = time(NULL);
	counter.starts++;
	printf("start %" PRIu64 ", count: %" PRIu64 "\n", counter.starts, counter.count);
	fflush(stdout);
	while (left != 0) {
		counter.count++;
		if (left > 0)
			left--;
		else
			sleep(1);
	}
	return EXIT_SUCCESS;
}
