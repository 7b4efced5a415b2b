/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-heap-recover FILE BYTES ROUNDS MOMENT: how long a heap takes to open after its owner
 * was killed. Fills a heap with about so many bytes of objects, all over its pages; then in each
 * round a child opens it and is killed with SIGKILL, and another opens it, looks at the root, and
 * prints its time in microseconds and whether there was anything to recover.
 *
 *   inside   the child dies in a transaction that has saved 1000 objects, replaced 100 of them, and
 *            is then in the middle of the next: always the same to be undone
 *   random   it does such transactions all the time, each with 10 objects, and is killed at a
 * random moment idle     it only looks at the root: what opening takes without recovery
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <luo/heap.h>

#include "bench/die.h"
#include "bench/record.h"

#define OBJECT 256
#define MANY   1000
#define FEW    10

struct object {
	uint64_t value;
	uint8_t rest[OBJECT - sizeof(uint64_t)];
};

struct table {
	uint64_t n;
	LUO_REF(struct object) at[];
};

struct anchor {
	LUO_REF(struct table) table;
};

static const struct luo_heap_root_type anchor_type = {
	.struct_size = sizeof(anchor_type),
	.name = "anchor",
	.type_id = UINT64_C(0x62656e6368726563),
	.version = 1,
	.size = sizeof(struct anchor),
};

static struct luo_heap *heap;
static struct table *table;

static void open_heap(const char *path, unsigned flags)
{
	struct luo_heap_options options = { .struct_size = sizeof(options), .flags = flags };
	struct anchor *anchor;
	void *object;
	int r = luo_heap_open_path(path, &options, &heap);

	if (r < 0)
		die(r, "%s", luo_heap_problem());
	must(luo_heap_root(heap, &anchor_type, &object));
	anchor = object;
	table = luo_get(anchor->table);
}

static void fill(const char *path, uint64_t bytes)
{
	uint64_t n = bytes / (OBJECT + 8);
	struct table *new;
	struct anchor *anchor;
	void *object;

	open_heap(path, 0);
	must(luo_heap_root(heap, &anchor_type, &object));
	anchor = object;
	new = luo_heap_calloc(heap, 1, sizeof(*new) + n * sizeof(new->at[0]));
	if (!new)
		die(-errno, "the table");
	for (uint64_t i = 0; i < n; i++) {
		struct object *p = luo_heap_alloc(heap, OBJECT);

		if (!p)
			die(-errno, "object %" PRIu64, i);
		p->value = i;
		luo_set(new->at[i], p);
	}
	new->n = n;
	luo_set(anchor->table, new);
	heap = luo_heap_close(heap);
}

/* Objects from all parts of the heap, the same for every size of it. */
static uint64_t pick(uint64_t i)
{
	return i * UINT64_C(0x9e3779b97f4a7c15) % table->n;
}

static void change(uint64_t first, unsigned n, unsigned replaced, bool die_inside)
{
	must(luo_heap_begin(heap));
	for (unsigned i = 0; i < n; i++) {
		uint64_t which = pick(first + i);
		struct object *p = luo_get(table->at[which]), *new;

		if (die_inside && i == n - 1)
			kill(getpid(), SIGKILL);
		if (i >= replaced) {
			must(luo_heap_save(heap, p, OBJECT));
			p->value++;
			continue;
		}
		new = luo_heap_alloc(heap, OBJECT);
		if (!new)
			die(-errno, "an object");
		new->value = p->value + 1;
		must(luo_heap_save(heap, &table->at[which], sizeof(table->at[which])));
		luo_set(table->at[which], new);
		must(luo_heap_free(heap, p));
	}
	must(luo_heap_commit(heap));
}

static void be_killed(const char *path, const char *moment, int ready)
{
	open_heap(path, LUO_HEAP_MUST_EXIST);
	must_errno(write(ready, "", 1));
	if (strcmp(moment, "inside") == 0) {
		change(0, MANY, MANY / 10, false);
		change(0, MANY, MANY / 10, true);
	}
	for (uint64_t i = 0; strcmp(moment, "random") == 0; i += FEW)
		change(i, FEW, FEW / 2, false);
	pause();
}

/* As a process of its own: nothing of the heap is mapped or known. */
static void look(const char *path)
{
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	double begin = bench_now(), took;

	open_heap(path, LUO_HEAP_MUST_EXIST);
	took = bench_now() - begin;
	must(luo_heap_stat(heap, &stat));
	printf("%.1f %d\n", took, stat.recovered);
	fflush(stdout);
	luo_heap_close(heap);
	_exit(0);
}

static void wait_for(pid_t pid, bool killed)
{
	int status;

	must_errno(waitpid(pid, &status, 0));
	if (killed ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
		die(-ECHILD, "a process ended with status 0x%x", (unsigned)status);
}

static void one_round(const char *path, const char *moment, unsigned number)
{
	int ready[2];
	char byte;
	pid_t pid;

	must_errno(pipe2(ready, O_CLOEXEC));
	pid = must_errno(fork());
	if (pid == 0)
		be_killed(path, moment, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die(-ECHILD, "the process that is to be killed");
	close(ready[0]);
	if (strcmp(moment, "inside") != 0) {
		usleep(1000 + number * 7919 % 5000);
		kill(pid, SIGKILL);
	}
	wait_for(pid, true);
	pid = must_errno(fork());
	if (pid == 0)
		look(path);
	wait_for(pid, false);
}

int main(int argc, char **argv)
{
	unsigned rounds;

	if (argc != 5) {
		fprintf(stderr, "usage: %s FILE BYTES ROUNDS inside|random|idle\n", argv[0]);
		return 2;
	}
	rounds = (unsigned)atoi(argv[3]);
	if (access(argv[1], F_OK) < 0)
		fill(argv[1], strtoull(argv[2], NULL, 10));
	for (unsigned i = 0; i < rounds; i++)
		one_round(argv[1], argv[4], i);
	return 0;
}
