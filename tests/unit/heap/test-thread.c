/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Several threads on one heap: their own blocks, each other's, transactions, and more than slots.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/unit/heap/helpers.h"

#define THREADS 4
#define OBJECTS 64

/* cmocka's assertions are for the main thread: elsewhere a failure is counted. */
static atomic_int failures;

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			print_error("%s:%d: " #x " (%s)\n", __FILE__, __LINE__, \
				    luo_heap_problem());                        \
			atomic_fetch_add(&failures, 1);                         \
		}                                                               \
	} while (0)

struct worker {
	pthread_t thread;
	struct luo_heap *heap;
	unsigned number;
	unsigned rounds;
	void *extra;
};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static size_t random_size(unsigned *seed)
{
	unsigned r = next_random(seed);

	if (r % 64 == 0)
		return 140000 + r % 100000;
	return r % 8 ? 1 + r % 300 : 1 + r % 20000;
}

static void run_workers(struct luo_heap *heap, void *(*run)(void *), unsigned n, unsigned rounds,
			void *extra)
{
	struct worker *workers = calloc(n, sizeof(*workers));

	assert_non_null(workers);
	atomic_store(&failures, 0);
	for (unsigned i = 0; i < n; i++) {
		workers[i] = (struct worker){
			.heap = heap, .number = i, .rounds = rounds, .extra = extra
		};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	assert_int_equal(atomic_load(&failures), 0);
}

/* ---- each its own ---------------------------------------------------------------------------- */

static void *churn(void *userdata)
{
	struct worker *w = userdata;
	unsigned seed = w->number + 1;
	uint8_t *blocks[OBJECTS] = {};
	size_t sizes[OBJECTS] = {};

	for (unsigned i = 0; i < w->rounds; i++) {
		unsigned j = next_random(&seed) % OBJECTS;

		if (blocks[j]) {
			MUST(is_filled(blocks[j], sizes[j], w->number * 1000 + j));
			MUST(luo_heap_free(w->heap, blocks[j]) == 0);
			blocks[j] = NULL;
			continue;
		}
		sizes[j] = random_size(&seed);
		blocks[j] = i % 16 ? luo_heap_alloc(w->heap, sizes[j])
				   : luo_heap_aligned_alloc(w->heap, 256, sizes[j]);
		MUST(blocks[j]);
		if (blocks[j])
			fill(blocks[j], sizes[j], w->number * 1000 + j);
	}
	for (unsigned j = 0; j < OBJECTS; j++) {
		if (blocks[j])
			MUST(is_filled(blocks[j], sizes[j], w->number * 1000 + j));
		MUST(luo_heap_free(w->heap, blocks[j]) == 0);
	}
	return NULL;
}

static void test_own_blocks(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);

	run_workers(heap, churn, THREADS, 1000, NULL);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

/* ---- each other's ---------------------------------------------------------------------------- */

/* Blocks go from hand to hand: what one allocates, another frees. */
struct exchange {
	pthread_mutex_t lock;
	uint8_t *blocks[OBJECTS];
	size_t sizes[OBJECTS];
	uint64_t seeds[OBJECTS];
};

static void *trade(void *userdata)
{
	struct worker *w = userdata;
	struct exchange *e = w->extra;
	unsigned seed = w->number + 77;

	for (unsigned i = 0; i < w->rounds; i++) {
		unsigned j = next_random(&seed) % OBJECTS;
		size_t size = random_size(&seed), old_size;
		uint8_t *block = luo_heap_alloc(w->heap, size), *old;
		uint64_t old_seed;

		MUST(block);
		if (!block)
			continue;
		fill(block, size, i);
		pthread_mutex_lock(&e->lock);
		old = e->blocks[j];
		old_size = e->sizes[j];
		old_seed = e->seeds[j];
		e->blocks[j] = block;
		e->sizes[j] = size;
		e->seeds[j] = i;
		pthread_mutex_unlock(&e->lock);
		if (old)
			MUST(is_filled(old, old_size, old_seed));
		MUST(luo_heap_free(w->heap, old) == 0);
	}
	return NULL;
}

static void test_each_others_blocks(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);
	struct exchange e = { .lock = PTHREAD_MUTEX_INITIALIZER };

	run_workers(heap, trade, THREADS, 1000, &e);
	for (unsigned i = 0; i < OBJECTS; i++) {
		assert_true(is_filled(e.blocks[i], e.blocks[i] ? e.sizes[i] : 0, e.seeds[i]));
		assert_int_equal(luo_heap_free(heap, e.blocks[i]), 0);
	}
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

/* One makes, another frees: the memory comes back to the first, and the heap does not grow. */
struct pipe_of_blocks {
	void *_Atomic ring[16];
	atomic_bool done;
};

static void *consume(void *userdata)
{
	struct worker *w = userdata;
	struct pipe_of_blocks *p = w->extra;
	bool done = false;

	while (!done) {
		done = atomic_load(&p->done);
		for (unsigned i = 0; i < ELEMENTSOF(p->ring); i++) {
			void *block = atomic_exchange(&p->ring[i], NULL);

			if (block)
				MUST(luo_heap_free(w->heap, block) == 0);
		}
		sched_yield();
	}
	return NULL;
}

static void test_one_way(void **state)
{
	struct luo_heap *heap = memory_heap(16 * MIB);
	static struct pipe_of_blocks p;
	struct worker consumer = { .heap = heap, .extra = &p };

	memset(&p, 0, sizeof(p));
	atomic_store(&failures, 0);
	assert_int_equal(pthread_create(&consumer.thread, NULL, consume, &consumer), 0);
	/* 5000 blocks of 10000 bytes are three times the largest size. */
	for (unsigned i = 0; i < 5000; i++) {
		void *block = luo_heap_alloc(heap, 10000), *expected = NULL;

		assert_non_null(block);
		while (!atomic_compare_exchange_weak(&p.ring[i % 16], &expected, block)) {
			expected = NULL;
			sched_yield();
		}
	}
	atomic_store(&p.done, true);
	pthread_join(consumer.thread, NULL);
	assert_int_equal(atomic_load(&failures), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

/* ---- transactions ---------------------------------------------------------------------------- */

struct account {
	uint64_t cells[THREADS * 8];
};

static const struct luo_heap_root_type account_type = { .struct_size = sizeof(account_type),
							.name = "account",
							.type_id = 1,
							.version = 1,
							.size = sizeof(struct account) };

/* Each moves numbers among its own cells; half of it is undone. */
static void *transfer(void *userdata)
{
	struct worker *w = userdata;
	uint64_t *cells = ((struct account *)w->extra)->cells + (size_t)w->number * 8;
	unsigned seed = w->number + 5;

	for (unsigned i = 0; i < w->rounds; i++) {
		uint64_t *from = &cells[next_random(&seed) % 8],
			 *to = &cells[next_random(&seed) % 8];
		void *block;

		MUST(luo_heap_begin(w->heap) == 0);
		MUST(luo_heap_begin(w->heap) == -EBUSY);
		MUST(luo_heap_save(w->heap, from, 8) == 0);
		*from -= i;
		block = luo_heap_alloc(w->heap, random_size(&seed));
		MUST(block);
		MUST(luo_heap_save(w->heap, to, 8) == 0);
		*to += i;
		if (i % 2) {
			MUST(luo_heap_free(w->heap, block) == 0);
			MUST(luo_heap_commit(w->heap) == 0);
		} else {
			luo_heap_abort(w->heap);
		}
	}
	return NULL;
}

static void test_transactions(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);
	struct account *account;

	assert_int_equal(luo_heap_root(heap, &account_type, (void **)&account), 1);
	for (unsigned i = 0; i < THREADS * 8; i++)
		account->cells[i] = 1000000;
	run_workers(heap, transfer, THREADS, 300, account);
	for (unsigned i = 0; i < THREADS; i++) {
		uint64_t sum = 0;

		for (unsigned j = 0; j < 8; j++)
			sum += account->cells[i * 8 + j];
		assert_int_equal(sum, 8000000);
	}
	assert_int_equal(usage_of(heap).objects, 1);
	luo_heap_close(heap);
}

/* A thread that ends within a transaction: it is undone. */
static void *end_within(void *userdata)
{
	struct worker *w = userdata;
	struct account *account = w->extra;

	MUST(luo_heap_begin(w->heap) == 0);
	MUST(luo_heap_save(w->heap, &account->cells[w->number], 8) == 0);
	account->cells[w->number] = 666;
	MUST(luo_heap_alloc(w->heap, 100));
	return NULL;
}

static void test_thread_ends_within(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct account *account;

	assert_int_equal(luo_heap_root(heap, &account_type, (void **)&account), 1);
	run_workers(heap, end_within, THREADS, 1, account);
	assert_true(is_zero(account, sizeof(*account)));
	assert_int_equal(usage_of(heap).objects, 1);
	luo_heap_close(heap);
}

/* ---- many threads ---------------------------------------------------------------------------- */

static void test_threads_come_and_go(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	uint64_t size = 0;

	for (unsigned i = 0; i < 30; i++) {
		run_workers(heap, churn, THREADS, 40, NULL);
		if (i == 10)
			size = stat_of(heap).size;
	}
	/* They take over what those before them left. */
	assert_true(stat_of(heap).size <= size + 2 * MIB);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

struct crowd {
	pthread_barrier_t all_there;
};

static void *in_a_crowd(void *userdata)
{
	struct worker *w = userdata;
	struct crowd *crowd = w->extra;
	void *block = luo_heap_alloc(w->heap, 64);

	MUST(block);
	pthread_barrier_wait(&crowd->all_there);
	churn(w);
	MUST(luo_heap_begin(w->heap) == 0);
	MUST(luo_heap_free(w->heap, block) == 0);
	MUST(luo_heap_alloc(w->heap, 30));
	if (w->number % 3 == 0)
		MUST(luo_heap_commit(w->heap) == 0);
	else if (w->number % 3 == 1)
		luo_heap_abort(w->heap);
	return NULL; /* or end within it */
}

/* More at once than there are slots: the last slot is for all that found none. */
static void test_more_than_slots(void **state)
{
	struct luo_heap *heap = memory_heap(256 * MIB);
	struct crowd crowd;

	pthread_barrier_init(&crowd.all_there, NULL, 140);
	run_workers(heap, in_a_crowd, 140, 20, &crowd);
	pthread_barrier_destroy(&crowd.all_there);
	assert_int_equal(usage_of(heap).objects, 140);
	luo_heap_close(heap);
}

/* One thread with many heaps, many threads with each heap; heaps close while threads go on. */
static void *many_heaps(void *userdata)
{
	struct worker *w = userdata;

	for (unsigned i = 0; i < w->rounds; i++) {
		struct luo_heap *mine = NULL;
		void *a, *b;
		int r = luo_heap_open_memory(
			&(struct luo_heap_options){ .struct_size = sizeof(struct luo_heap_options),
						    .max_size = 16 * MIB },
			&mine);

		MUST(r == 0);
		if (r < 0)
			return NULL;
		a = luo_heap_alloc(mine, 100);
		b = luo_heap_alloc(w->heap, 100);
		MUST(a && b);
		MUST(luo_heap_free(mine, b) == -EINVAL);
		MUST(luo_heap_free(w->heap, b) == 0);
		luo_heap_close(mine);
	}
	return NULL;
}

static void test_many_heaps(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);

	run_workers(heap, many_heaps, THREADS, 20, NULL);
	assert_int_equal(usage_of(heap).objects, 0);
	luo_heap_close(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_own_blocks),
		HEAP_TEST(test_each_others_blocks),
		HEAP_TEST(test_one_way),
		HEAP_TEST(test_transactions),
		HEAP_TEST(test_thread_ends_within),
		HEAP_TEST(test_threads_come_and_go),
		HEAP_TEST(test_more_than_slots),
		HEAP_TEST(test_many_heaps),
	};

	return cmocka_run_group_tests_name("heap-thread", tests, NULL, NULL);
}
