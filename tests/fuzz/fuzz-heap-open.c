/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Damaged heaps: words of a valid one are changed, or it is cut off. Opening it and working on it
 * must neither crash nor hang; if it is refused, or open read-only, nothing of it is changed.
 *
 * Input: which heap, how it is opened, where it is cut off; then changes, see damage().
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#include "tests/fuzz/fuzz.h"

#define MAX_SIZE  (UINT64_C(4) << 20)
#define MAX_BASES 5

static struct base {
	uint8_t *bytes;
	size_t size;
	uint32_t *words; /* offsets of those that are not zero */
	size_t n_words;
} bases[MAX_BASES];

/* ---- valid heaps ----------------------------------------------------------------------------- */

static struct luo_heap *heap_on(int fd, unsigned flags)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .max_size = MAX_SIZE,
						  .flags = flags };
	struct luo_heap *heap = NULL;

	return luo_heap_open_fd(fd, &options, &heap) < 0 ? NULL : heap;
}

static void keep_base(struct base *b, int fd)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	b->size = (size_t)st.st_size;
	b->bytes = malloc(b->size);
	b->words = calloc(b->size / 8, sizeof(*b->words));
	MUST(b->bytes && b->words);
	MUST(pread(fd, b->bytes, b->size, 0) == (ssize_t)b->size);
	for (uint32_t i = 0; i < b->size; i += 8)
		if (*(uint64_t *)(b->bytes + i))
			b->words[b->n_words++] = i;
}

struct freeing {
	struct luo_heap *heap;
	void *blocks[8];
};

/* Of another slot: into the list of the slot that owns them, where they stay. */
static void *free_them(void *userdata)
{
	struct freeing *f = userdata;

	MUST(luo_heap_alloc(f->heap, 100));
	for (size_t i = 0; i < ELEMENTSOF(f->blocks); i++)
		MUST(luo_heap_free(f->heap, f->blocks[i]) == 0);
	return NULL;
}

static struct luo_heap *filled_heap(int fd, uint64_t **ret_root)
{
	static const struct luo_heap_root_type type = { .struct_size = sizeof(type),
							.name = "root",
							.type_id = 1,
							.version = 1,
							.size = 4000 };
	struct luo_heap *heap = heap_on(fd, 0);
	struct freeing f = { .heap = heap };
	void *blocks[60];
	pthread_t thread;

	MUST(heap);
	MUST(luo_heap_root(heap, &type, (void **)ret_root) == 1);
	for (size_t i = 0; i < ELEMENTSOF(blocks); i++) {
		blocks[i] = luo_heap_alloc(heap, i % 20 ? 1 + i * i : 140000);
		MUST(blocks[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(blocks); i += 3)
		MUST(luo_heap_free(heap, blocks[i]) == 0);
	for (size_t i = 0; i < ELEMENTSOF(f.blocks); i++)
		f.blocks[i] = blocks[3 * i + 1];
	MUST(pthread_create(&thread, NULL, free_them, &f) == 0);
	pthread_join(thread, NULL);
	return heap;
}

/* In the middle of a transaction whose log has a segment of its own. */
static void begin_much(struct luo_heap *heap, uint64_t *root)
{
	MUST(luo_heap_begin(heap) == 0);
	MUST(luo_heap_save(heap, root, 64) == 0);
	MUST(luo_heap_alloc(heap, 200));
	MUST(luo_heap_save(heap, root, 4000) == 0);
	MUST(luo_heap_alloc(heap, 150000));
	MUST(luo_heap_free(heap, luo_heap_alloc(heap, 300)) == 0);
	memset(root, 1, 4000);
}

static uint32_t log_sum(const struct heap_log_entry *entries, unsigned n)
{
	uint64_t sum = n;

	for (unsigned i = 0; i < n; i++)
		sum = heap_mix(sum, entries[i].offset, entries[i].value);
	return (uint32_t)(sum ^ sum >> 32);
}

/* As it is between the commit of its log and the end: the values are those that are there. */
static void interrupt_log(struct base *b, uint64_t *commit, struct heap_log_entry *entries)
{
	static const uint64_t offsets[] = { HEAP_INDEX_OFFSET, HEAP_INDEX_OFFSET + 8,
					    HEAP_DIRECTORY_OFFSET + 8, HEAP_PAGE + 64 };

	for (size_t i = 0; i < ELEMENTSOF(offsets); i++)
		entries[i] =
			(struct heap_log_entry){ offsets[i], *(uint64_t *)(b->bytes + offsets[i]) };
	*commit = ELEMENTSOF(offsets) | (uint64_t)log_sum(entries, ELEMENTSOF(offsets)) << 32;
}

static void make_bases(void)
{
	for (int i = 0; i < MAX_BASES; i++) {
		int fd = memfd_create("base", MFD_CLOEXEC);
		struct heap_slot *slot;
		uint64_t *root;
		struct luo_heap *heap = filled_heap(fd, &root);
		struct base *b = &bases[i];

		if (i == 1 || i == 2)
			begin_much(heap, root);
		slot = heap->slots[0].slot;
		if (i == 2)
			slot->tx.word = (slot->tx.word & UINT32_MAX) | (uint64_t)HEAP_TX_COMMITTING
									       << 32;
		keep_base(b, fd);
		if (i == 3) {
			struct heap_log *log = (struct heap_log *)(b->bytes + HEAP_LOG_OFFSET);

			interrupt_log(b, &log->commit, log->entries);
		} else if (i == 4) {
			slot = (struct heap_slot *)(b->bytes + heap_offset(heap, slot));
			interrupt_log(b, &slot->log.commit, slot->log.entries);
		}
		if (i == 2) /* let it be closed */
			slot->tx.word = (slot->tx.word & UINT32_MAX) | (uint64_t)HEAP_TX_ACTIVE
									       << 32;
		luo_heap_close(heap);
		close(fd);
	}
}

/* ---- damage ---------------------------------------------------------------------------------- */

struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct input *in, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n && in->size > 0; i++, in->data++, in->size--)
		value |= (uint64_t)*in->data << 8 * i;
	return value;
}

static uint8_t *some_word(struct input *in, const struct base *b, uint8_t *image)
{
	return image + b->words[take(in, 2) % b->n_words];
}

/* Most are changes of words that are not zero: where the heap is. */
static void damage(struct input *in, const struct base *b, uint8_t *image)
{
	uint8_t *word;

	switch (take(in, 1) % 6) {
	case 0:
		word = some_word(in, b, image);
		*(uint64_t *)word = take(in, 8);
		break;
	case 1:
		word = some_word(in, b, image);
		*(uint64_t *)word ^= UINT64_C(1) << take(in, 1) % 64;
		break;
	case 2:
		word = some_word(in, b, image);
		*(uint64_t *)word += (uint64_t)(int8_t)take(in, 1);
		break;
	case 3: /* of one word by another */
		word = some_word(in, b, image);
		*(uint64_t *)word = *(uint64_t *)some_word(in, b, image);
		break;
	case 4:
		word = some_word(in, b, image);
		word[take(in, 1) % 8] = (uint8_t)take(in, 1);
		break;
	case 5: /* anywhere */
		image[take(in, 3) % b->size] = (uint8_t)take(in, 1);
		break;
	}
}

/* ---- work ------------------------------------------------------------------------------------ */

static int visit(void *ptr, size_t size, void *userdata)
{
	volatile const uint8_t *bytes = ptr;

	(void)bytes[0];
	(void)bytes[size - 1];
	++*(size_t *)userdata;
	return 0;
}

static void look(struct luo_heap *heap)
{
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	size_t n = 0;

	for (size_t i = 0; luo_heap_root_at(heap, i, &info) == 0; i++)
		(void)luo_heap_usable_size(heap, info.object);
	(void)luo_heap_walk(heap, visit, &n);
	(void)luo_heap_check(heap, NULL, NULL, &usage);
	(void)luo_heap_stat(heap, &stat);
}

static void work(struct luo_heap *heap)
{
	static const size_t sizes[] = { 8, 100, 100, 1000, 3000, 9000, 40000, 131072, 140000, 64 };
	struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = "new", .type_id = 1, .version = 1, .size = 9
	};
	void *blocks[ELEMENTSOF(sizes)], *object;

	for (unsigned round = 0; round < 3; round++) {
		if (round == 1 && luo_heap_begin(heap) < 0)
			continue;
		for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
			blocks[i] = luo_heap_alloc(heap, sizes[i]);
			if (blocks[i])
				memset(blocks[i], 0xfe, sizes[i]);
			if (round == 1 && blocks[i])
				(void)luo_heap_save(heap, blocks[i], sizes[i]);
		}
		for (size_t i = 0; i < ELEMENTSOF(sizes); i += 2)
			(void)luo_heap_free(heap, blocks[i]);
		for (size_t i = 1; i < ELEMENTSOF(sizes); i += 4)
			(void)luo_heap_realloc(heap, blocks[i], sizes[i] * 3);
		if (round == 1)
			(void)luo_heap_commit(heap);
		(void)luo_heap_root(heap, &type, &object);
		(void)luo_heap_remove_root(heap, round ? "root" : "new");
	}
	(void)luo_heap_trim(heap);
}

static bool is_unchanged(int fd, const uint8_t *image, size_t size)
{
	struct stat st;
	uint8_t *now;
	bool same;

	MUST(fstat(fd, &st) == 0);
	if ((size_t)st.st_size != size)
		return false;
	if (size == 0)
		return true;
	now = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	MUST(now != MAP_FAILED);
	same = memcmp(now, image, size) == 0;
	munmap(now, size);
	return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *image;
	struct input in = { data, size };
	struct luo_heap *heap;
	const struct base *b;
	unsigned how, cut;
	size_t length;
	int fd;

	if (!image) {
		make_bases();
		image = malloc(MAX_SIZE);
	}
	MUST(image);
	b = &bases[take(&in, 1) % MAX_BASES];
	how = (unsigned)take(&in, 1);
	cut = (unsigned)take(&in, 2);
	length = b->size;
	memcpy(image, b->bytes, length);
	for (unsigned i = 0; i < 32 && in.size > 0; i++)
		damage(&in, b, image);
	/* Seldom, or there would be nothing else to see. */
	if (how % 16 == 15)
		length = cut * UINT64_C(16) % b->size;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && pwrite(fd, image, length, 0) == (ssize_t)length);

	heap = heap_on(fd, how & 16 ? LUO_HEAP_READ_ONLY : LUO_HEAP_MUST_EXIST);
	if (!heap) {
		MUST(luo_heap_problem()[0]);
		MUST(is_unchanged(fd, image, length));
	} else {
		look(heap);
		if (how & 16)
			MUST(!luo_heap_alloc(heap, 10) && errno == EROFS);
		else
			work(heap);
		look(heap);
		luo_heap_close(heap);
		if (how & 16)
			MUST(is_unchanged(fd, image, length));
		heap = heap_on(fd, LUO_HEAP_MUST_EXIST);
		luo_heap_close(heap);
	}
	close(fd);
	return 0;
}
