/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * What is done to a heap while heap-step looks at it after every store: each way that the allocator
 * can go at least once, and then whatever a random number says.
 */

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "libluo/heap/internal.h"

#include "tests/integration/heap-step.h"
#include "common/util.h"

#define BLOCKS 64

static struct {
	int fd;
	struct luo_heap *heap;
	struct step_operation *operation;
	void *blocks[BLOCKS];
	uint64_t offsets[BLOCKS]; /* where they are while the heap is closed */
	uint64_t seed;
} w;

#define MUST(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "%s:%d: " #x " (%s)\n", __FILE__, __LINE__, \
				luo_heap_problem());                                \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

static uint64_t next_random(void)
{
	w.seed = heap_mix(w.seed, 1, 2);
	return w.seed >> 8;
}

static void begin(const char *name)
{
	*w.operation = (struct step_operation){};
	snprintf(w.operation->name, sizeof(w.operation->name), "%s", name);
}

/* From here on each store is looked at. */
static void go(void)
{
	trap_say(STEP_BEGIN);
	trap_arm();
}

static void end(void)
{
	trap_disarm();
	trap_say(STEP_END);
}

/* ---- one call each --------------------------------------------------------------------------- */

static void open_it(const char *name)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .max_size = STEP_HEAP_SIZE,
						  .name = "step" };

	begin(name);
	w.operation->all_content = true;
	go();
	MUST(luo_heap_open_fd(w.fd, &options, &w.heap) == 0);
	end();
}

static void close_it(void)
{
	begin("close");
	w.operation->all_content = true;
	go();
	w.heap = luo_heap_close(w.heap);
	end();
}

static void reopen(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		w.offsets[i] = w.blocks[i] ? heap_offset(w.heap, w.blocks[i]) : 0;
	close_it();
	open_it("open");
	for (size_t i = 0; i < BLOCKS; i++)
		w.blocks[i] = w.offsets[i] ? heap_at(w.heap, w.offsets[i]) : NULL;
}

static void *alloc(size_t size)
{
	void *p;

	begin("alloc");
	go();
	p = luo_heap_alloc(w.heap, size);
	end();
	MUST(p);
	memset(p, (int)size, MIN2(size, (size_t)64));
	return p;
}

static void free_it(void *p)
{
	begin("free");
	w.operation->freed = p ? heap_offset(w.heap, p) : 0;
	go();
	MUST(luo_heap_free(w.heap, p) == 0);
	end();
}

static void *resize(void *p, size_t size)
{
	begin("realloc");
	w.operation->freed = heap_offset(w.heap, p);
	w.operation->two_steps = true;
	go();
	p = luo_heap_realloc(w.heap, p, size);
	end();
	MUST(p);
	return p;
}

static void trim(void)
{
	begin("trim");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_trim(w.heap) == 0);
	end();
}

/* ---- transactions and roots ------------------------------------------------------------------ */

/* Everything that one can hold; @wide: it does not fit into the slot. */
static void transaction(bool commit, bool wide)
{
	size_t i = next_random() % BLOCKS, j = (i + 1 + next_random() % (BLOCKS - 1)) % BLOCKS;
	void *small, *large = NULL, *kept;

	/* Both are there, and of some size. */
	if (!w.blocks[i])
		w.blocks[i] = alloc(3000);
	if (!w.blocks[j])
		w.blocks[j] = alloc(wide ? 150000 : 40);
	kept = w.blocks[i];
	begin(commit ? "commit" : "abort");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_begin(w.heap) == 0);
	MUST(luo_heap_save(w.heap, kept,
			   wide ? MIN2(luo_heap_usable_size(w.heap, kept), (size_t)3000) : 16) ==
	     0);
	memset(kept, (int)next_random(), 16);
	small = luo_heap_alloc(w.heap, 100);
	MUST(small);
	memset(small, 5, 100);
	if (wide) {
		large = luo_heap_alloc(w.heap, 140000);
		MUST(large);
		memset(large, 6, 64);
	}
	MUST(luo_heap_free(w.heap, w.blocks[j]) == 0);
	MUST(luo_heap_free(w.heap, large) == 0);
	if (commit)
		MUST(luo_heap_commit(w.heap) == 0);
	else
		luo_heap_abort(w.heap);
	end();
	if (commit)
		w.blocks[j] = small;
}

static int fill_root(struct luo_heap *heap, void *object, void *userdata)
{
	memset(object, 7, 48);
	return 0;
}

static int upgrade_root(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			void **ret_object, void *userdata)
{
	void *new = luo_heap_calloc(heap, 1, 200);

	if (!new || luo_heap_free(heap, object) < 0)
		return -1;
	memcpy(new, object, size);
	*ret_object = new;
	return userdata ? -ECANCELED : 0;
}

static void roots(const char *name)
{
	struct luo_heap_root_type type = { .struct_size = sizeof(type),
					   .name = name,
					   .type_id = 5,
					   .version = 1,
					   .size = 48,
					   .init = fill_root };
	void *object;

	begin("root");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_root(w.heap, &type, &object) == 1);
	end();
	type.version = 2;
	type.size = 200;
	type.upgrade = upgrade_root;
	type.userdata = &type;
	begin("upgrade that fails");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_root(w.heap, &type, &object) == -ECANCELED);
	end();
	type.userdata = NULL;
	begin("upgrade");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_root(w.heap, &type, &object) == 2);
	end();
}

static void remove_root(const char *name)
{
	begin("remove root");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_remove_root(w.heap, name) == 0);
	end();
}

/* ---- another thread's blocks ----------------------------------------------------------------- */

struct helper {
	pthread_t thread;
	sem_t ready, go_on;
	void *blocks[24];
};

/* Allocates, waits while others free that, then goes on: drains. */
static void *help(void *userdata)
{
	struct helper *h = userdata;

	for (size_t i = 0; i < ELEMENTSOF(h->blocks); i++) {
		h->blocks[i] = luo_heap_alloc(w.heap, i % 3 ? 640 : 30000);
		MUST(h->blocks[i]);
	}
	sem_post(&h->ready);
	sem_wait(&h->go_on);
	for (size_t i = 0; i < 40; i++) /* more than its hints */
		h->blocks[i % 12] = alloc(640);
	sem_post(&h->ready);
	sem_wait(&h->go_on);
	return NULL;
}

static void transaction_on(void *p, bool commit)
{
	begin("free in a transaction");
	w.operation->all_content = true;
	go();
	MUST(luo_heap_begin(w.heap) == 0);
	MUST(luo_heap_free(w.heap, p) == 0);
	if (commit)
		MUST(luo_heap_commit(w.heap) == 0);
	else
		luo_heap_abort(w.heap);
	end();
}

static void others_blocks(void)
{
	struct helper h = {};

	sem_init(&h.ready, 0, 0);
	sem_init(&h.go_on, 0, 0);
	MUST(pthread_create(&h.thread, NULL, help, &h) == 0);
	sem_wait(&h.ready);
	for (size_t i = 0; i < 12; i++) {
		if (i % 5 == 3)
			transaction_on(h.blocks[i], false);
		if (i % 4 == 3)
			transaction_on(h.blocks[i], true);
		else
			free_it(h.blocks[i]);
	}
	sem_post(&h.go_on);
	sem_wait(&h.ready); /* it has drained */
	for (size_t i = 12; i < 18; i++)
		free_it(h.blocks[i]);
	sem_post(&h.go_on);
	pthread_join(h.thread, NULL);
	/*
	 * Now its slot is unclaimed: another thread that needs that class takes what the slot
	 * owned.
	 */
	for (size_t i = 18; i < 24; i++)
		free_it(h.blocks[i]);
	for (size_t i = 0; i < 12; i++)
		free_it(h.blocks[i]);
	for (size_t i = 0; i < BLOCKS / 2; i++)
		if (!w.blocks[i])
			w.blocks[i] = alloc(640);
}

/* ---- the script ------------------------------------------------------------------------------ */

/* Slabs are made, magazines run empty and full, pages are split and joined. */
static void every_way(void)
{
	static const size_t large[] = { 200000, 140000, 500000, 131073, 1000000, 131073 };
	void *more[200];

	for (size_t i = 0; i < 40; i++)
		more[i] = alloc(1500); /* one slab and the beginning of another */
	for (size_t i = 0; i < 40; i += 2)
		free_it(more[i]);
	for (size_t i = 1; i < 40; i += 2)
		free_it(more[i]);
	for (size_t i = 0; i < ELEMENTSOF(large); i++)
		more[i] = alloc(large[i]);
	for (size_t i = 0; i < ELEMENTSOF(large); i++)
		free_it(more[(i * 5) % ELEMENTSOF(large)]);
	more[0] = alloc(16);
	more[0] = resize(more[0], 3000);
	more[0] = resize(more[0], 150000);
	more[0] = resize(more[0], 100);
	free_it(more[0]);
	trim();
	roots("first");
	roots("second");
	remove_root("first");
	transaction(true, false);
	transaction(false, false);
	transaction(true, true);
	transaction(false, true);
	others_blocks();
	trim();
}

static size_t random_size(void)
{
	uint64_t r = next_random();

	if (r % 16 == 0)
		return 131073 + next_random() % 300000;
	return r % 4 ? 1 + next_random() % 600 : 1 + next_random() % 30000;
}

static void random_one(void)
{
	size_t i = next_random() % BLOCKS;
	unsigned what = next_random() % 32;

	if (what == 0) {
		reopen();
	} else if (what == 1) {
		trim();
	} else if (what < 6) {
		transaction(what % 2, next_random() % 2);
	} else if (what < 9 && w.blocks[i]) {
		w.blocks[i] = resize(w.blocks[i], random_size());
	} else if (w.blocks[i]) {
		free_it(w.blocks[i]);
		w.blocks[i] = NULL;
	} else {
		w.blocks[i] = alloc(random_size());
	}
}

int step_work(int fd, struct step_operation *operation, unsigned operations, uint64_t seed)
{
	w.fd = fd;
	w.operation = operation;
	w.seed = seed;
	open_it("make");
	every_way();
	reopen();
	for (unsigned i = 0; i < operations; i++)
		random_one();
	close_it();
	/* Deaths while recovering from a death. */
	while (trap_say(STEP_NEXT_IMAGE)) {
		open_it("recover");
		close_it();
	}
	return 0;
}
