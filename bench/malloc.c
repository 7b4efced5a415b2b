/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-malloc WORKLOAD THREADS OPERATIONS     with the malloc of the C library, or one
 * preloaded luo-bench-heap-alloc WORKLOAD THREADS OPERATIONS the same program, compiled for
 * luo/heap.h
 *
 * Prints how many million operations a second all threads did together; an operation is a free and
 * the allocation that takes its place. Every block is written to, at both ends, and what was
 * written is looked at before it is freed: an allocator that gives a block out twice does not pass.
 *
 *   fixed     blocks of 64 bytes, 10,000 of them alive, a random one replaced
 *   mixed     16 to 8192 bytes, each doubling as often as any other; otherwise the same
 *   many      blocks of 64 bytes, a million alive: most of them in no cache
 *   larson    as a server does (Larson, Krishnan: "Memory allocation for long-running server
 *             applications", 1998): 10 to 500 bytes, 1,000 alive in each thread; after 50,000
 *             operations a thread ends, and one that is started hands its blocks to goes on.
 *             With several threads they go to another's successor, so what one
 *             allocated another frees.
 *   footprint 10 million blocks of 64 bytes; prints the bytes of memory each of them takes
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/die.h"
#include "bench/record.h"

#ifdef BENCH_HEAP
#include <luo/heap.h>

static struct luo_heap *heap;

static void open_heap(void)
{
	if (luo_heap_open_memory(NULL, &heap) < 0)
		die(-errno, "%s", luo_heap_problem());
}

static inline void *allocate(size_t size)
{
	return luo_heap_alloc(heap, size);
}

static inline void release(void *p)
{
	luo_heap_free(heap, p);
}
#else
static void open_heap(void)
{
}

static inline void *allocate(size_t size)
{
	return malloc(size);
}

static inline void release(void *p)
{
	free(p);
}
#endif

#define THREADS_MAX    8
#define LARSON_ROUND   50000
#define FOOTPRINT      10000000
#define FOOTPRINT_SIZE 64

struct block {
	uint8_t *memory;
	size_t size;
};

struct workload {
	const char *name;
	size_t alive; /* blocks of a thread */
	size_t (*size)(uint32_t random);
};

struct worker {
	pthread_t thread;
	const struct workload *workload;
	struct block *blocks;
	uint64_t operations;
	uint32_t random;
	double begin, end;
};

static pthread_barrier_t filled;

static uint32_t next_random(uint32_t *state)
{
	uint32_t x = *state; /* xorshift32, Marsaglia 2003 */

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static size_t below(uint32_t random, size_t n)
{
	return (size_t)((uint64_t)random * n >> 32);
}

static size_t size_fixed(uint32_t random)
{
	return 64;
}

static size_t size_mixed(uint32_t random)
{
	size_t base = (size_t)16 << random % 9;

	return base + below(random, base);
}

static size_t size_larson(uint32_t random)
{
	return 10 + below(random, 491);
}

static const struct workload workloads[] = {
	{ "fixed", 10000, size_fixed },
	{ "mixed", 10000, size_mixed },
	{ "many", 1000000, size_fixed },
	{ "larson", 1000, size_larson },
};

static void fill(struct block *block, size_t size)
{
	block->memory = allocate(size);
	if (!block->memory)
		die(-errno, "allocating %zu bytes", size);
	block->size = size;
	block->memory[0] = (uint8_t)size;
	block->memory[size - 1] = (uint8_t)size;
}

static void empty(struct block *block)
{
	if (block->memory[0] != (uint8_t)block->size ||
	    block->memory[block->size - 1] != (uint8_t)block->size)
		die(-EUCLEAN, "a block of %zu bytes is not as it was left", block->size);
	release(block->memory);
}

static void *replace(void *arg)
{
	struct worker *w = arg;
	size_t alive = w->workload->alive;

	for (uint64_t i = 0; i < w->operations; i++) {
		struct block *block = &w->blocks[below(next_random(&w->random), alive)];

		empty(block);
		fill(block, w->workload->size(next_random(&w->random)));
	}
	return NULL;
}

static void first_fill(struct worker *w)
{
	for (size_t i = 0; i < w->workload->alive; i++)
		fill(&w->blocks[i], w->workload->size(next_random(&w->random)));
}

static void *fill_and_replace(void *arg)
{
	struct worker *w = arg;

	first_fill(w);
	pthread_barrier_wait(&filled);
	w->begin = bench_now();
	replace(w);
	w->end = bench_now();
	return NULL;
}

static void start(struct worker *w, void *(*run)(void *))
{
	int r = pthread_create(&w->thread, NULL, run, w);

	if (r != 0)
		die(-r, "starting a thread");
}

/* Returns how long it took, from the first that began to the last that ended. */
static double churn(struct worker *workers, unsigned n)
{
	double begin, end;

	pthread_barrier_init(&filled, NULL, n);
	/* A single one is the main thread, as in a program without threads. */
	if (n == 1)
		fill_and_replace(&workers[0]);
	for (unsigned i = 0; n > 1 && i < n; i++)
		start(&workers[i], fill_and_replace);
	for (unsigned i = 0; n > 1 && i < n; i++)
		pthread_join(workers[i].thread, NULL);
	begin = workers[0].begin;
	end = workers[0].end;
	for (unsigned i = 1; i < n; i++) {
		begin = workers[i].begin < begin ? workers[i].begin : begin;
		end = workers[i].end > end ? workers[i].end : end;
	}
	return end - begin;
}

/* Threads come and go, and the blocks go from one to the next. */
static double larson(struct worker *workers, unsigned n, uint64_t operations)
{
	double begin;

	for (unsigned i = 0; i < n; i++)
		first_fill(&workers[i]);
	begin = bench_now();
	for (uint64_t done = 0; done < operations; done += LARSON_ROUND) {
		struct block *first = workers[0].blocks;

		for (unsigned i = 0; i < n; i++) {
			workers[i].operations = LARSON_ROUND;
			start(&workers[i], replace);
		}
		for (unsigned i = 0; i < n; i++)
			pthread_join(workers[i].thread, NULL);
		for (unsigned i = 0; i + 1 < n; i++)
			workers[i].blocks = workers[i + 1].blocks;
		workers[n - 1].blocks = first;
	}
	return bench_now() - begin;
}

static void measure(const struct workload *workload, unsigned n, uint64_t operations)
{
	struct worker workers[THREADS_MAX];
	double usec;

	for (unsigned i = 0; i < n; i++) {
		workers[i] = (struct worker){ .workload = workload,
					      .operations = operations,
					      .random = 2463534242u + i };
		workers[i].blocks = calloc(workload->alive, sizeof(struct block));
		if (!workers[i].blocks)
			die(-ENOMEM, "the table of blocks");
	}
	usec = workload->size == size_larson ? larson(workers, n, operations) : churn(workers, n);
	printf("%.3f\n", (double)operations * n / usec);
}

/* Of this process, in bytes: pages of the heap's memory that are mapped count, too. */
static uint64_t resident(void)
{
	unsigned long long total, pages;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%llu %llu", &total, &pages) != 2)
		die(-errno, "/proc/self/statm");
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void footprint(void)
{
	void **previous = NULL;
	uint64_t before;

	release(allocate(FOOTPRINT_SIZE)); /* what the first one costs belongs to no block */
	before = resident();
	/* A list, so that there is no table to be subtracted. */
	for (unsigned i = 0; i < FOOTPRINT; i++) {
		void **p = allocate(FOOTPRINT_SIZE);

		if (!p)
			die(-errno, "allocating block %u", i);
		memset(p, 1, FOOTPRINT_SIZE);
		*p = (void *)previous;
		previous = p;
	}
	printf("%.3f\n", (double)(resident() - before) / FOOTPRINT);
}

int main(int argc, char **argv)
{
	unsigned threads = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	uint64_t operations = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;

	if (argc != 4 || threads < 1 || threads > THREADS_MAX || operations < 1) {
		fprintf(stderr, "usage: %s WORKLOAD THREADS OPERATIONS\n", argv[0]);
		return 2;
	}
	open_heap();
	if (strcmp(argv[1], "footprint") == 0) {
		footprint();
		return 0;
	}
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (strcmp(argv[1], workloads[i].name) == 0) {
			measure(&workloads[i], threads, operations);
			return 0;
		}
	fprintf(stderr, "%s: there is no workload %s\n", argv[0], argv[1]);
	return 2;
}
