/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A child works on a heap with one to four threads, and is killed at a random moment, thousands of
 * times. After each death the heap is opened, checked, and compared with what the child's objects
 * say about themselves; then the next child goes on with it, so that damage would add up.
 *
 *	heap-kill [KILLS [SEED]]
 *
 * What must hold after every death:
 *  - luo_heap_check() finds nothing wrong.
 *  - Every object that a reference leads to is a block in use, once, and says what it should.
 *  - A block in use that no reference leads to is one that a thread was about to publish, or to
 *    free, outside of a transaction: at most one for each thread. It is freed then.
 *  - Sums that only transactions change are right.
 */

#include <sys/mman.h>
#include <sys/wait.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include <luo/heap.h>

#include "tests/integration/heap-objects.h"

#define MAX_THREADS 4

struct shared { /* with the child */
	_Atomic uint32_t ready;
	_Atomic uint64_t operations;
	_Atomic uint32_t failed;
};

struct work {
	struct luo_heap *heap;
	struct world *world;
	struct shared *shared;
	pthread_mutex_t *locks; /* of the mailboxes */
	unsigned number;
	uint64_t seed;
};

#define MUST(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "%s:%d: " #x " (%s)\n", __FILE__, __LINE__, \
				luo_heap_problem());                                \
			atomic_store(&w->shared->failed, 1);                        \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

/* ---- what the child's threads do ------------------------------------------------------------- */

/* Without a transaction: build, publish; take back, free. */
static void replace(struct work *w)
{
	struct slot *slot = &w->world->slots[w->number][next_random(&w->seed) % SLOTS];
	struct object *old = luo_get(slot->object), *new = NULL;

	if (!old || next_random(&w->seed) % 2) {
		new = new_object(w->heap, next_random(&w->seed), random_size(&w->seed));
		MUST(new);
	}
	if (old)
		MUST(object_is_right(w->heap, old));
	luo_set(slot->object, new);
	MUST(luo_heap_free(w->heap, old) == 0);
}

/* Several at once: some new, some gone, one of another size, a wide piece of memory changed. */
static void replace_several(struct work *w)
{
	unsigned n = 1 + next_random(&w->seed) % 6;
	bool abort = next_random(&w->seed) % 8 == 0;
	struct object *new, *old;

	MUST(luo_heap_begin(w->heap) == 0);
	for (unsigned i = 0; i < n; i++) {
		struct slot *slot = &w->world->slots[w->number][next_random(&w->seed) % SLOTS];

		MUST(luo_heap_save(w->heap, slot, sizeof(*slot)) == 0);
		old = luo_get(slot->object);
		switch (next_random(&w->seed) % 4) {
		case 0:
			luo_set(slot->object, NULL);
			MUST(luo_heap_free(w->heap, old) == 0);
			break;
		case 1:
			if (!old)
				break;
			new = resize_object(w->heap, old, random_size(&w->seed));
			MUST(new);
			luo_set(slot->object, new);
			break;
		default:
			new = new_object(w->heap, next_random(&w->seed), random_size(&w->seed));
			MUST(new);
			luo_set(slot->object, new);
			MUST(luo_heap_free(w->heap, old) == 0);
			break;
		}
	}
	if (abort)
		luo_heap_abort(w->heap);
	else
		MUST(luo_heap_commit(w->heap) == 0);
}

/* The sum of a row stays the same. */
static void transfer(struct work *w)
{
	uint64_t *row = w->world->rows[w->number], amount = next_random(&w->seed);
	unsigned from = next_random(&w->seed) % CELLS, to = next_random(&w->seed) % CELLS;

	MUST(luo_heap_begin(w->heap) == 0);
	if (next_random(&w->seed) % 16 == 0) {
		MUST(luo_heap_save(w->heap, row, CELLS * sizeof(*row)) == 0);
	} else {
		MUST(luo_heap_save(w->heap, &row[from], sizeof(*row)) == 0);
		MUST(luo_heap_save(w->heap, &row[to], sizeof(*row)) == 0);
	}
	row[from] -= amount;
	row[to] += amount;
	if (next_random(&w->seed) % 8 == 0)
		luo_heap_abort(w->heap);
	else
		MUST(luo_heap_commit(w->heap) == 0);
}

/* Objects go to other threads through mailboxes, and those threads free them. */
static void send_or_receive(struct work *w)
{
	unsigned box = next_random(&w->seed) % BOXES;
	struct slot *mailbox = &w->world->mailboxes[box];
	struct slot *mine = &w->world->slots[w->number][next_random(&w->seed) % SLOTS];
	struct object *object;

	pthread_mutex_lock(&w->locks[box]);
	object = luo_get(mailbox->object);
	if (object && next_random(&w->seed) % 2) {
		MUST(object_is_right(w->heap, object));
		luo_set(mailbox->object, NULL);
		MUST(luo_heap_free(w->heap, object) == 0);
	} else { /* exchange */
		MUST(luo_heap_begin(w->heap) == 0);
		MUST(luo_heap_save(w->heap, mailbox, sizeof(*mailbox)) == 0);
		MUST(luo_heap_save(w->heap, mine, sizeof(*mine)) == 0);
		luo_set(mailbox->object, luo_get(mine->object));
		luo_set(mine->object, object);
		MUST(luo_heap_commit(w->heap) == 0);
	}
	pthread_mutex_unlock(&w->locks[box]);
}

/* A root comes and goes. */
static void make_or_remove_root(struct work *w)
{
	char name[20];
	struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = name, .type_id = 9, .version = 1, .size = 100
	};
	void *object;

	snprintf(name, sizeof(name), "passing-%u", w->number);
	if (luo_heap_remove_root(w->heap, name) < 0)
		MUST(luo_heap_root(w->heap, &type, &object) == 1);
}

static void *work(void *userdata)
{
	struct work *w = userdata;

	for (;;) {
		unsigned what = next_random(&w->seed) % 100;

		if (what < 40)
			replace(w);
		else if (what < 60)
			replace_several(w);
		else if (what < 75)
			transfer(w);
		else if (what < 98)
			send_or_receive(w);
		else if (what < 99)
			make_or_remove_root(w);
		else
			MUST(luo_heap_trim(w->heap) == 0);
		atomic_fetch_add(&w->shared->operations, 1);
		/* Threads that end leave their slots to others. */
		if (w->number > 0 && next_random(&w->seed) % 512 == 0)
			return NULL;
	}
}

static int child(int fd, struct shared *shared, unsigned threads, uint64_t seed)
{
	static pthread_mutex_t locks[BOXES];
	static struct work works[MAX_THREADS];
	struct luo_heap_options options = { .struct_size = sizeof(options), .max_size = HEAP_SIZE };
	struct work *w = &works[0];
	struct luo_heap *heap;
	struct world *world;
	pthread_t thread[MAX_THREADS];

	w->shared = shared;
	MUST(luo_heap_open_fd(fd, &options, &heap) == 0);
	MUST(luo_heap_root(heap, &world_type, (void **)&world) >= 0);
	for (unsigned i = 0; i < BOXES; i++)
		pthread_mutex_init(&locks[i], NULL);
	for (unsigned i = 0; i < threads; i++)
		works[i] = (struct work){ .heap = heap,
					  .world = world,
					  .shared = shared,
					  .locks = locks,
					  .number = i,
					  .seed = seed * MAX_THREADS + i };
	atomic_store(&shared->ready, 1);
	for (unsigned i = 1; i < threads; i++)
		MUST(pthread_create(&thread[i], NULL, work, &works[i]) == 0);
	work(&works[0]);
	return 1;
}

/* ---- what the parent does -------------------------------------------------------------------- */

struct tally {
	uint64_t kills, early, leaked, recovered, objects, operations;
};

/* Any error ends the program, and the file is kept for inspection. */
static void wrong(int fd, const char *what, uint64_t seed)
{
	const char *path = getenv("HEAP_KILL_KEEP");

	fprintf(stderr, "%s (seed %llu)\n", what, (unsigned long long)seed);
	if (path) {
		char command[200];

		snprintf(command, sizeof(command), "cp /proc/%d/fd/%d '%s'", getpid(), fd, path);
		if (system(command) == 0)
			fprintf(stderr, "the heap is in %s\n", path);
	}
	exit(1);
}

static void print_problem(const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

static void verify(int fd, unsigned threads, uint64_t seed, struct tally *tally)
{
	struct luo_heap_options options = { .struct_size = sizeof(options), .max_size = HEAP_SIZE };
	struct luo_heap *heap;
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	size_t leaked;
	const char *why = NULL;

	if (luo_heap_open_fd(fd, &options, &heap) < 0)
		wrong(fd, luo_heap_problem(), seed);
	if (luo_heap_check(heap, print_problem, NULL, NULL) < 0)
		wrong(fd, "luo_heap_check() found problems", seed);
	luo_heap_stat(heap, &stat);
	tally->recovered += stat.recovered;
	if (!world_is_right(heap, &leaked, &tally->objects, &why))
		wrong(fd, why, seed);
	if (leaked > threads) {
		fprintf(stderr, "%zu blocks are lost\n", leaked);
		wrong(fd, "more than one for each thread", seed);
	}
	tally->leaked += leaked;
	if (leaked > 0 && luo_heap_check(heap, print_problem, NULL, NULL) < 0)
		wrong(fd, "luo_heap_check() found problems after the lost were freed", seed);
	luo_heap_close(heap);
}

static void one_round(int fd, struct shared *shared, uint64_t *seed, struct tally *tally)
{
	unsigned threads = 1 + next_random(seed) % MAX_THREADS;
	/* Now and then so early that it is still opening the heap. */
	bool early = next_random(seed) % 8 == 0;
	uint64_t round = *seed;
	int status;
	pid_t pid;

	atomic_store(&shared->ready, 0);
	pid = fork();
	if (pid == 0)
		_exit(child(fd, shared, threads, round));
	while (!early && !atomic_load(&shared->ready) && waitpid(pid, &status, WNOHANG) == 0)
		usleep(50);
	usleep(next_random(seed) % (early ? 1000 : 6000));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (atomic_load(&shared->failed) || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		wrong(fd, "the child was not killed, it gave up", round);
	tally->kills++;
	tally->early += !atomic_load(&shared->ready);
	verify(fd, threads, round, tally);
}

int main(int argc, char **argv)
{
	uint64_t kills = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("heap-kill", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct tally tally = {};

	if (fd < 0 || shared == MAP_FAILED)
		return 1;
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	while (tally.kills < kills)
		one_round(fd, shared, &seed, &tally);
	printf("%llu kills, %llu of them while opening; %llu heaps had to be recovered, %llu operations, %llu objects were right, %llu lost blocks were freed\n",
	       (unsigned long long)tally.kills, (unsigned long long)tally.early,
	       (unsigned long long)tally.recovered,
	       (unsigned long long)atomic_load(&shared->operations),
	       (unsigned long long)tally.objects, (unsigned long long)tally.leaked);
	/* A run that recovered nothing has shown nothing. */
	return tally.recovered > 0 ? 0 : 1;
}
