/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The smallest service with a persistent heap: an object with a few fields, which every start finds
 * as the one before has left it. After a restart, after SIGKILL, and in the next kernel.
 *
 *   luo-run --unit heap-counter -- luo-example-heap-counter
 *
 * Under systemd: heap-counter.service.
 *
 * With an argument it counts so many times and ends; otherwise once a second without end.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <luo/heap.h>

struct counter {
	uint64_t starts;
	uint64_t kernel_updates;
	uint64_t count;
	int64_t since; /* seconds since 1970 */
};

/* The very first time: all zeros, but for this. */
static int init(struct luo_heap *heap, void *object, void *userdata)
{
	struct counter *counter = object;

	counter->since = time(NULL);
	return 0;
}

static const struct luo_heap_root_type counter_type = {
	.struct_size = sizeof(counter_type),
	.name = "counter",
	.type_id = 0x7a3f19c2d5e8b604, /* any number, but always the same */
	.version = 1,                  /* one more with each change of struct counter */
	.size = sizeof(struct counter),
	.init = init,
};

/* Two fields, which belong together: a transaction changes both of them, or none. */
static int count_start(struct luo_heap *heap, struct counter *counter)
{
	int r;

	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	r = luo_heap_save(heap, counter, sizeof(*counter));
	if (r < 0) {
		luo_heap_abort(heap);
		return r;
	}
	counter->starts++;
	if (luo_heap_get_state(heap) == LUO_HEAP_KERNEL_UPDATED)
		counter->kernel_updates++;
	return luo_heap_commit(heap);
}

static void print(const struct luo_heap *heap, const struct counter *counter)
{
	time_t since = counter->since;
	char text[sizeof("2026-11-21 12:00:00")] = "";

	strftime(text, sizeof(text), "%F %T", localtime(&since));
	printf("%s: start %" PRIu64 " since %s, kernel updates: %" PRIu64 ", count: %" PRIu64 "\n",
	       luo_heap_state_to_string(luo_heap_get_state(heap)), counter->starts, text,
	       counter->kernel_updates, counter->count);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	long left = argc > 1 ? atol(argv[1]) : -1;
	struct luo_heap *heap;
	struct counter *counter;
	void *object;

	/* The heap called "counter" in our fd store, or a new one, and in it the object. */
	if (luo_heap_open("counter", NULL, &heap) < 0 ||
	    luo_heap_root(heap, &counter_type, &object) < 0) {
		fprintf(stderr, "heap-counter: %s\n", luo_heap_problem());
		return EXIT_FAILURE;
	}
	counter = object;
	if (count_start(heap, counter) < 0) {
		fprintf(stderr, "heap-counter: %s\n", luo_heap_problem());
		return EXIT_FAILURE;
	}
	print(heap, counter);
	while (left != 0) {
		counter->count++; /* one store: nothing else is needed */
		if (left > 0)
			left--;
		else
			sleep(1);
	}
	return EXIT_SUCCESS;
}
