/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-heap-cost: what single operations of luo/heap.h cost, in one thread and with everything
 * in the caches, beside what a program does without a persistent heap. One line each: the name, and
 * nanoseconds for each of the rounds.
 */

#include <errno.h>
#include <stdbool.h>

#include <luo/heap.h>

#include "bench/die.h"
#include "bench/record.h"

#define ROUNDS     9
#define OPERATIONS 200000
#define SAVED      10

struct node {
	LUO_REF(struct node) next;
	uint64_t value;
	uint64_t more[6];
};

static struct luo_heap *heap;
static struct node *nodes[SAVED];
static struct node *plain;
static struct node *holder; /* of the object that is replaced */

static const struct luo_heap_root_type root_type = {
	.struct_size = sizeof(root_type),
	.name = "bench",
	.type_id = 1,
	.version = 1,
	.size = sizeof(struct node),
};

static void malloc_free(void)
{
	void *volatile p = malloc(64);

	free(p);
}

static void alloc_free(void)
{
	void *p = luo_heap_alloc(heap, 64);

	must(luo_heap_free(heap, p));
}

static void alloc_free_large(void)
{
	void *p = luo_heap_alloc(heap, 1 << 20);

	must(luo_heap_free(heap, p));
}

static void set_pointer(void)
{
	__atomic_store_n(&plain, nodes[1], __ATOMIC_RELEASE);
}

static void set_reference(void)
{
	luo_set(nodes[0]->next, nodes[1]);
}

static void get_reference(void)
{
	struct node *volatile p = luo_get(nodes[0]->next);

	(void)p;
}

static void empty_transaction(void)
{
	must(luo_heap_begin(heap));
	must(luo_heap_commit(heap));
}

static void save(unsigned n, size_t size)
{
	must(luo_heap_begin(heap));
	for (unsigned i = 0; i < n; i++) {
		must(luo_heap_save(heap, &nodes[i]->value, size));
		nodes[i]->value++;
	}
	must(luo_heap_commit(heap));
}

static void save_one(void)
{
	save(1, sizeof(uint64_t));
}

static void save_ten(void)
{
	save(SAVED, sizeof(uint64_t));
}

static void save_ten_more(void)
{
	save(SAVED, 7 * sizeof(uint64_t));
}

static void transaction_alloc(void)
{
	struct node *p;

	/* An object is replaced by another, as one does with values: both happen, or neither. */
	must(luo_heap_begin(heap));
	p = luo_heap_alloc(heap, sizeof(*p));
	if (!p)
		die(-errno, "luo_heap_alloc");
	must(luo_heap_save(heap, &holder->next, sizeof(holder->next)));
	must(luo_heap_free(heap, luo_get(holder->next)));
	luo_set(holder->next, p);
	must(luo_heap_commit(heap));
}

static void look_up_root(void)
{
	void *object;

	must(luo_heap_root(heap, &root_type, &object));
}

static const struct {
	const char *name;
	void (*run)(void);
	unsigned fraction; /* so much less often */
} operations[] = {
	{ "malloc and free, 64 bytes", malloc_free, 1 },
	{ "luo_heap_alloc and luo_heap_free, 64 bytes", alloc_free, 1 },
	{ "the same, 1 MiB", alloc_free_large, 100 },
	{ "storing a pointer", set_pointer, 1 },
	{ "luo_set", set_reference, 1 },
	{ "luo_get", get_reference, 1 },
	{ "empty transaction", empty_transaction, 1 },
	{ "transaction, 1 word saved and changed", save_one, 1 },
	{ "transaction, 10 words", save_ten, 10 },
	{ "transaction, 10 times 56 bytes", save_ten_more, 10 },
	{ "transaction, an object replaced by a new one", transaction_alloc, 10 },
	{ "luo_heap_root, of 10 roots", look_up_root, 10 },
};
#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void prepare(void)
{
	static const char *const others[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
	void *object;

	if (luo_heap_open_memory(NULL, &heap) < 0)
		die(-errno, "%s", luo_heap_problem());
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct luo_heap_root_type type = root_type;

		type.name = others[i];
		must(luo_heap_root(heap, &type, &object));
	}
	must(luo_heap_root(heap, &root_type, &object));
	for (unsigned i = 0; i < SAVED; i++) {
		nodes[i] = luo_heap_calloc(heap, 1, sizeof(struct node));
		if (!nodes[i])
			die(-errno, "luo_heap_calloc");
	}
	holder = luo_heap_calloc(heap, 1, sizeof(struct node));
	if (!holder)
		die(-errno, "luo_heap_calloc");
	luo_set(holder->next, luo_heap_calloc(heap, 1, sizeof(struct node)));
}

int main(void)
{
	static struct series took[N_OPERATIONS];

	prepare();
	/* In turns, so that what disturbs disturbs all; the first round only fills caches. */
	for (unsigned round = 0; round <= ROUNDS; round++)
		for (size_t i = 0; i < N_OPERATIONS; i++) {
			unsigned n = OPERATIONS / operations[i].fraction;
			double begin = bench_now();

			for (unsigned j = 0; j < n; j++)
				operations[i].run();
			if (round > 0)
				series_add(&took[i], (bench_now() - begin) * 1e3 / n);
		}
	for (size_t i = 0; i < N_OPERATIONS; i++) {
		printf("%s\t", operations[i].name);
		for (size_t j = 0; j < took[i].n; j++)
			printf("%s%.2f", j ? " " : "", took[i].usec[j]);
		printf("\n");
	}
	return 0;
}
