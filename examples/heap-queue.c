/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Code that was written with pointers, here <sys/queue.h>, in a persistent heap: with a fixed
 * address they stay right. What it changes must still be in a transaction, for it knows nothing of
 * sudden death.
 *
 *   luo-example-heap-queue FILE put TEXT
 *   luo-example-heap-queue FILE take
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <luo/heap.h>

struct item {
	STAILQ_ENTRY(item) next;
	char text[];
};
STAILQ_HEAD(queue, item);

/* An empty queue is not all zeros: its tail points into itself. */
static int init(struct luo_heap *heap, void *object, void *userdata)
{
	struct queue *queue = object;

	STAILQ_INIT(queue);
	return 0;
}

static const struct luo_heap_root_type queue_type = {
	.struct_size = sizeof(queue_type),
	.name = "queue",
	.type_id = 0x91d6e2a7430bc58f,
	.version = 1,
	.size = sizeof(struct queue),
	.init = init,
};

/* STAILQ_INSERT_TAIL() writes into the head and into the place that its tail points to. */
static int put(struct luo_heap *heap, struct queue *queue, const char *text)
{
	struct item *item;
	int r;

	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	item = luo_heap_alloc(heap, sizeof(*item) + strlen(text) + 1);
	if (!item)
		r = -errno;
	if (r == 0)
		r = luo_heap_save(heap, queue, sizeof(*queue));
	if (r == 0)
		r = luo_heap_save(heap, queue->stqh_last, sizeof(*queue->stqh_last));
	if (r < 0) {
		luo_heap_abort(heap);
		return r;
	}
	strcpy(item->text, text);
	STAILQ_INSERT_TAIL(queue, item, next);
	return luo_heap_commit(heap);
}

static int take(struct luo_heap *heap, struct queue *queue)
{
	struct item *item = STAILQ_FIRST(queue);
	int r;

	if (!item) {
		puts("the queue is empty");
		return 0;
	}
	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	r = luo_heap_save(heap, queue, sizeof(*queue));
	if (r == 0)
		r = luo_heap_free(heap, item);
	if (r < 0) {
		luo_heap_abort(heap);
		return r;
	}
	STAILQ_REMOVE_HEAD(queue, next);
	puts(item->text);
	return luo_heap_commit(heap);
}

int main(int argc, char **argv)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .flags = LUO_HEAP_FIXED_ADDRESS };
	struct luo_heap *heap;
	void *queue;
	int r;

	if (argc < 3) {
		fputs("Usage: heap-queue FILE put TEXT | take\n", stderr);
		return 2;
	}
	r = luo_heap_open_path(argv[1], &options, &heap);
	if (r == 0)
		r = luo_heap_root(heap, &queue_type, &queue);
	if (r >= 0)
		r = argc > 3 ? put(heap, queue, argv[3]) : take(heap, queue);
	if (r < 0)
		fprintf(stderr, "heap-queue: %s\n", luo_heap_problem());
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
