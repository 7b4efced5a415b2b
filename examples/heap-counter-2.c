/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The next version of heap-counter.c: it remembers every start, in a list. It goes on with the heap
 * that version 1 has left; version 1 then refuses what is of version 2, and changes nothing.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <luo/heap.h>

/* The layout of version 1, from its source. */
struct counter_1 {
	uint64_t starts;
	uint64_t kernel_updates;
	uint64_t count;
	int64_t since;
};

struct start {
	LUO_REF(struct start) previous;
	int64_t when;
	char kernel[48];
};

struct counter {
	uint64_t starts;
	uint64_t kernel_updates;
	uint64_t count;
	int64_t since;
	LUO_REF(struct start) last; /* new in version 2 */
};

static int init(struct luo_heap *heap, void *object, void *userdata)
{
	struct counter *counter = object;

	counter->since = time(NULL);
	return 0;
}

/* A new object from the old one. That, freeing the old one, and the number 2 are one transaction,
 * which luo_heap_root() has begun and will commit. */
static int upgrade(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
		   void **ret_object, void *userdata)
{
	const struct counter_1 *old = object;
	struct counter *counter;

	if (version != 1 || size != sizeof(*old))
		return -EPROTONOSUPPORT;
	counter = luo_heap_calloc(heap, 1, sizeof(*counter));
	if (!counter)
		return -errno;
	counter->starts = old->starts;
	counter->kernel_updates = old->kernel_updates;
	counter->count = old->count;
	counter->since = old->since;
	*ret_object = counter;
	return luo_heap_free(heap, object);
}

static const struct luo_heap_root_type counter_type = {
	.struct_size = sizeof(counter_type),
	.name = "counter",
	.type_id = 0x7a3f19c2d5e8b604, /* as in version 1 */
	.version = 2,
	.size = sizeof(struct counter),
	.init = init,
	.upgrade = upgrade,
};

/* In a transaction, so that the block is not lost if we are killed before the last line. */
static int remember(struct luo_heap *heap, struct counter *counter)
{
	struct start *start = luo_heap_calloc(heap, 1, sizeof(*start));
	struct utsname name;

	if (!start)
		return -errno;
	uname(&name);
	snprintf(start->kernel, sizeof(start->kernel), "%.47s", name.release);
	start->when = time(NULL);
	luo_set(start->previous, luo_get(counter->last));
	luo_set(counter->last, start);
	return 0;
}

static int count_start(struct luo_heap *heap, struct counter *counter)
{
	int r;

	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	r = luo_heap_save(heap, counter, sizeof(*counter));
	if (r == 0)
		r = remember(heap, counter);
	if (r < 0) {
		luo_heap_abort(heap);
		return r;
	}
	counter->starts++;
	if (luo_heap_get_state(heap) == LUO_HEAP_KERNEL_UPDATED)
		counter->kernel_updates++;
	return luo_heap_commit(heap);
}

static const char *time_text(int64_t seconds, char *text, size_t size)
{
	time_t when = seconds;

	return strftime(text, size, "%F %T", localtime(&when)) > 0 ? text : "?";
}

static void print(const struct luo_heap *heap, const struct counter *counter)
{
	char text[32];

	printf("%s: start %" PRIu64 " since %s, kernel updates: %" PRIu64 ", count: %" PRIu64 "\n",
	       luo_heap_state_to_string(luo_heap_get_state(heap)), counter->starts,
	       time_text(counter->since, text, sizeof(text)), counter->kernel_updates,
	       counter->count);
	for (struct start *s = luo_get(counter->last); s; s = luo_get(s->previous))
		printf("  %s, Linux %s\n", time_text(s->when, text, sizeof(text)), s->kernel);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	long left = argc > 1 ? atol(argv[1]) : -1;
	struct luo_heap *heap;
	struct counter *counter;
	void *object;

	if (luo_heap_open("counter", NULL, &heap) < 0 ||
	    luo_heap_root(heap, &counter_type, &object) < 0 ||
	    count_start(heap, counter = object) < 0) {
		fprintf(stderr, "heap-counter-2: %s\n", luo_heap_problem());
		return EXIT_FAILURE;
	}
	print(heap, counter);
	while (left != 0) {
		counter->count++;
		if (left > 0)
			left--;
		else
			sleep(1);
	}
	return EXIT_SUCCESS;
}
