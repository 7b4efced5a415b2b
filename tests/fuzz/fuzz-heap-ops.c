/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Random operations on a heap, against a model of it: what was allocated keeps its content and
 * overlaps nothing, transactions happen or do not, and a death (the file is copied, and the copy is
 * what goes on) loses nothing but the transaction that was open.
 *
 * Input: operations of a few bytes each, see step().
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#include "tests/fuzz/fuzz.h"

#define MAX_SIZE (UINT64_C(8) << 20)
#define OBJECTS  48
#define ROOTS    6

struct object {
	uint64_t offset; /* 0: none */
	size_t size;
	uint8_t seed;
};

struct model {
	struct object objects[OBJECTS];
	struct object roots[ROOTS];
};

static struct state {
	int fd;
	struct luo_heap *heap;
	struct model now, before; /* the transaction */
	bool in_tx;
	bool spoiled; /* it can only be undone */
	const uint8_t *data;
	size_t size;
} s;

static unsigned take(unsigned n)
{
	unsigned value = 0;

	for (unsigned i = 0; i < n && s.size > 0; i++, s.data++, s.size--)
		value |= (unsigned)*s.data << 8 * i;
	return value;
}

static size_t take_size(void)
{
	unsigned n = take(2);

	switch (n & 7) {
	case 0:
		return (n >> 3) * 40; /* to 320 KiB */
	case 1:
	case 2:
		return n >> 3;
	default:
		return n >> 3 & 0xff;
	}
}

/* ---- content --------------------------------------------------------------------------------- */

static uint8_t byte_at(uint8_t seed, size_t i)
{
	return (uint8_t)(seed + i * 5 + (i >> 8));
}

/* All of what is small; of what is large the ends, and some of each page. */
static size_t stride(size_t i, size_t size)
{
	return i < 600 || i + 600 > size ? 1 : 251;
}

static void fill(const struct object *o)
{
	uint8_t *bytes = heap_at(s.heap, o->offset);

	for (size_t i = 0; i < o->size; i += stride(i, o->size))
		bytes[i] = byte_at(o->seed, i);
}

static void verify(const struct object *o)
{
	const uint8_t *bytes = heap_at(s.heap, o->offset);

	if (!o->offset)
		return;
	MUST(luo_heap_usable_size(s.heap, bytes) >= MAX2(o->size, (size_t)1));
	for (size_t i = 0; i < o->size; i += stride(i, o->size))
		MUST(bytes[i] == byte_at(o->seed, i));
}

static void print_problem(const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

/* Freed blocks of a transaction are in use until its commit, so counting is for outside. */
static void verify_all(void)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	uint64_t n = 0;

	for (size_t i = 0; i < OBJECTS; i++) {
		verify(&s.now.objects[i]);
		n += s.now.objects[i].offset != 0;
	}
	for (size_t i = 0; i < ROOTS; i++) {
		verify(&s.now.roots[i]);
		n += s.now.roots[i].offset != 0;
	}
	MUST(luo_heap_check(s.heap, print_problem, NULL, &usage) == 0);
	MUST(s.in_tx || usage.objects == n);
}

/* In a transaction; a failure (no memory for its log) spoils it. */
static bool save(const struct object *o)
{
	int r = luo_heap_save(s.heap, heap_at(s.heap, o->offset), o->size);

	MUST(r == 0 || r == -ENOMEM);
	s.spoiled = s.spoiled || r < 0;
	return r == 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void open_it(void)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .max_size = MAX_SIZE };

	if (luo_heap_open_fd(s.fd, &options, &s.heap) < 0) {
		fprintf(stderr, "%s\n", luo_heap_problem());
		abort();
	}
}

static void forget_transaction(void)
{
	if (s.in_tx)
		s.now = s.before;
	s.in_tx = s.spoiled = false;
}

/* What is in the file at this moment is all that is left. */
static void die(void)
{
	static uint8_t buffer[1 << 16];
	int copy = memfd_create("copy", MFD_CLOEXEC);
	off_t at = 0, end;
	struct stat st;

	MUST(copy >= 0 && fstat(s.fd, &st) == 0 && ftruncate(copy, st.st_size) == 0);
	while (at < st.st_size && (at = lseek(s.fd, at, SEEK_DATA)) >= 0) {
		end = lseek(s.fd, at, SEEK_HOLE);
		while (at < end) {
			size_t n = MIN2((size_t)(end - at), sizeof(buffer));

			MUST(pread(s.fd, buffer, n, at) == (ssize_t)n);
			MUST(pwrite(copy, buffer, n, at) == (ssize_t)n);
			at += (off_t)n;
		}
	}
	luo_heap_close(s.heap);
	close(s.fd);
	s.fd = copy;
	open_it();
	forget_transaction();
	verify_all();
}

static void put(struct object *o, void *p, size_t size, uint8_t seed)
{
	if (!p) {
		MUST(errno == ENOMEM);
		return;
	}
	*o = (struct object){ heap_offset(s.heap, p), size, seed };
	fill(o);
}

static void allocate(struct object *o)
{
	unsigned how = take(1);
	size_t size = take_size(), align = (size_t)16 << (how >> 2) % 14;
	uint8_t *p;

	if (o->offset)
		return;
	switch (how & 3) {
	case 0:
		p = luo_heap_calloc(s.heap, 1, size);
		for (size_t i = 0; p && i < size; i += stride(i, size))
			MUST(p[i] == 0);
		break;
	case 1:
		p = luo_heap_aligned_alloc(s.heap, align, size);
		MUST(((uintptr_t)p & (align - 1)) == 0);
		break;
	default:
		p = luo_heap_alloc(s.heap, size);
		MUST(((uintptr_t)p & 15) == 0);
		break;
	}
	put(o, p, size, (uint8_t)how);
}

static void resize(struct object *o)
{
	size_t size = take_size();
	void *p = o->offset ? heap_at(s.heap, o->offset) : NULL;
	struct object old = *o;

	if (!p)
		return;
	/* It may stay where it is, and is filled then. */
	if (s.in_tx && !save(o))
		return;
	p = luo_heap_realloc(s.heap, p, size);
	if (!p) {
		MUST(errno == ENOMEM);
		s.spoiled = s.in_tx; /* perhaps it was the log */
		return;
	}
	old.offset = heap_offset(s.heap, p);
	old.size = MIN2(old.size, size);
	if (old.size <= 600) /* else what is written of it depends on its size */
		verify(&old);
	put(o, p, size, o->seed);
}

static void *free_elsewhere(void *p)
{
	MUST(luo_heap_free(s.heap, p) == 0);
	return NULL;
}

static void release(struct object *o)
{
	unsigned how = take(1) % 4;
	uint8_t *p = o->offset ? heap_at(s.heap, o->offset) : NULL;
	pthread_t thread;

	if (!p)
		return;
	if (!s.in_tx)
		MUST(luo_heap_free(s.heap, p + 8) == -EINVAL);
	if (how == 0 && !s.in_tx) {
		MUST(pthread_create(&thread, NULL, free_elsewhere, p) == 0);
		pthread_join(thread, NULL);
	} else {
		int r = luo_heap_free(s.heap, p);

		if (r == -ENOMEM && s.in_tx) {
			s.spoiled = true;
			return;
		}
		MUST(r == 0);
	}
	if (!s.in_tx) { /* again; with its slab, the block is gone altogether */
		int again = luo_heap_free(s.heap, p);

		MUST(again == -EALREADY || again == -EINVAL);
	}
	o->offset = 0;
}

/* In a transaction only after it was saved. */
static void change(struct object *o)
{
	uint8_t seed = (uint8_t)take(1);

	if (!o->offset)
		return;
	if (s.in_tx && !save(o))
		return;
	o->seed = seed;
	fill(o);
}

static void commit(void)
{
	int r = luo_heap_commit(s.heap);

	MUST(s.spoiled ? r == -ENOMEM : r == 0);
	if (r < 0)
		s.now = s.before;
	s.in_tx = s.spoiled = false;
}

static void begin_or_end(void)
{
	unsigned how = take(1);

	if (!s.in_tx) {
		MUST(luo_heap_begin(s.heap) == 0);
		MUST(luo_heap_begin(s.heap) == -EBUSY);
		s.before = s.now;
		s.in_tx = true;
	} else if (how & 1) {
		commit();
	} else {
		luo_heap_abort(s.heap);
		forget_transaction();
	}
}

static void root(void)
{
	unsigned i = take(1) % ROOTS;
	char name[] = "root-0";
	struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = name, .type_id = i, .version = 1
	};
	struct object *o = &s.now.roots[i];
	void *object = NULL;
	int r;

	name[5] = (char)('0' + i);
	type.size = o->offset ? o->size : take_size() + 1;
	r = luo_heap_root(s.heap, &type, &object);
	if (s.in_tx) {
		MUST(r == -EINVAL);
	} else if (o->offset) {
		MUST(r == 0 && heap_offset(s.heap, object) == o->offset);
		MUST(luo_heap_remove_root(s.heap, name) == 0);
		o->offset = 0;
	} else if (r < 0) {
		MUST(r == -ENOMEM);
	} else {
		MUST(r == 1);
		put(o, object, type.size, (uint8_t)i);
	}
}

static void step(void)
{
	struct object *o;
	unsigned what = take(1);

	o = &s.now.objects[take(1) % OBJECTS];
	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		allocate(o);
		break;
	case 5:
	case 6:
	case 7:
		release(o);
		break;
	case 8:
		resize(o);
		break;
	case 9:
	case 10:
		change(o);
		break;
	case 11:
	case 12:
		begin_or_end();
		break;
	case 13:
		root();
		break;
	case 14:
		die();
		break;
	case 15:
		if (what & 16) {
			MUST(luo_heap_trim(s.heap) == 0);
		} else {
			luo_heap_close(s.heap);
			open_it();
			forget_transaction();
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	s = (struct state){ .data = data, .size = size };
	s.fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(s.fd >= 0);
	open_it();
	for (unsigned i = 0; i < 300 && s.size > 0; i++)
		step();
	verify_all();
	if (s.in_tx)
		commit();
	verify_all();
	/* All of it can be allocated again. */
	for (size_t i = 0; i < OBJECTS; i++)
		if (s.now.objects[i].offset)
			MUST(luo_heap_free(s.heap, heap_at(s.heap, s.now.objects[i].offset)) == 0);
	memset(s.now.objects, 0, sizeof(s.now.objects));
	verify_all();
	luo_heap_close(s.heap);
	close(s.fd);
	return 0;
}
