/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_HEAP_FIXTURE_H
#define TESTS_UNIT_HEAP_FIXTURE_H

/*
 * Heaps as text: tests/fixtures/heap/ has all words that are not zero, by their offset. Here is how
 * such a file becomes a heap, what is in those of format 1, and how they were made.
 */

#include <inttypes.h>
#include <pthread.h>

#include "libluo/heap/internal.h"

#include "tests/unit/helpers.h"

#define MIX_0_0_0 UINT64_C(0x055f5f235cd90812)
#define MIX_1_2_3 UINT64_C(0xaea74139ba1532d9)

#define FIXTURE_ITEMS   9
#define FIXTURE_OBJECTS (1 + FIXTURE_ITEMS + 1) /* root, items, large object */
#define FIXTURE_LARGE   ((size_t)200 << 10)

struct fixture_item {
	LUO_REF(struct fixture_item) next;
	uint64_t number;
	char text[];
};

struct fixture_root {
	uint64_t counter;
	LUO_REF(struct fixture_item) first;
	LUO_REF(char) large;
	char greeting[32];
};

static const struct luo_heap_root_type fixture_type = {
	.struct_size = sizeof(fixture_type),
	.name = "fixture",
	.type_id = UINT64_C(0xf1cedf0123456789),
	.version = 3,
	.size = sizeof(struct fixture_root),
};

static size_t fixture_item_size(unsigned i)
{
	static const size_t sizes[FIXTURE_ITEMS] = { 20,   32,   100,   128,   1000,
						     3000, 9000, 20000, 131072 };

	return sizes[i];
}

/* NULL, or what is not as it was made. */
static inline const char *fixture_differs(const struct fixture_root *root)
{
	const struct fixture_item *item = luo_get(root->first);
	const char *large = luo_get(root->large);

	if (root->counter != 4711 || strcmp(root->greeting, "Greetings from format 1") != 0)
		return "the root";
	for (unsigned i = 0; i < FIXTURE_ITEMS; i++, item = luo_get(item->next))
		if (!item || item->number != i || item->text[0] != (char)('a' + i))
			return "an item";
	if (item)
		return "the end of the list";
	if (strcmp(large, "large") != 0 || strcmp(large + FIXTURE_LARGE - 8, "its end") != 0)
		return "the large object";
	return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A memfd; the caller closes it. */
static inline int fixture_load(const char *source, const char *name)
{
	int fd = memfd_create("fixture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_free_ char *path = NULL;
	uint64_t offset, value;
	char line[128];
	FILE *f;

	assert_true(fd >= 0);
	assert_true(asprintf(&path, "%s/tests/fixtures/heap/%s", source, name) > 0);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		if (sscanf(line, "size %" SCNx64, &offset) == 1) {
			assert_int_equal(ftruncate(fd, (off_t)offset), 0);
			continue;
		}
		assert_int_equal(sscanf(line, "%" SCNx64 " %" SCNx64, &offset, &value), 2);
		assert_int_equal(pwrite(fd, &value, sizeof(value), (off_t)offset), sizeof(value));
	}
	fclose(f);
	return fd;
}

/* ---- making ---------------------------------------------------------------------------------- */

static struct luo_heap *fixture_heap;

static void *fixture_free(void *p)
{
	return luo_heap_free(fixture_heap, p) == 0 ? NULL : p;
}

/* Into the remote list, where it stays. */
static inline void fixture_free_elsewhere(void *p)
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, fixture_free, p), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
}

static inline void fixture_fill(struct luo_heap *heap, struct fixture_root *root)
{
	struct fixture_item *before = NULL;
	void *free_later[6];
	char *large;

	root->counter = 4711;
	strcpy(root->greeting, "Greetings from format 1");
	for (size_t i = 0; i < ELEMENTSOF(free_later); i++)
		free_later[i] = luo_heap_alloc(heap, 100);
	for (unsigned i = 0; i < FIXTURE_ITEMS; i++) {
		struct fixture_item *item = luo_heap_calloc(heap, 1, fixture_item_size(i));

		assert_non_null(item);
		item->number = i;
		item->text[0] = (char)('a' + i);
		if (before)
			luo_set(before->next, item);
		else
			luo_set(root->first, item);
		before = item;
	}
	large = luo_heap_calloc(heap, 1, FIXTURE_LARGE);
	assert_non_null(large);
	strcpy(large, "large");
	strcpy(large + FIXTURE_LARGE - 8, "its end");
	luo_set(root->large, large);
	for (size_t i = 0; i < ELEMENTSOF(free_later) / 2; i++)
		assert_int_equal(luo_heap_free(heap, free_later[i]), 0);
	/* A free run, and holes. */
	assert_int_equal(luo_heap_free(heap, luo_heap_alloc(heap, FIXTURE_LARGE)), 0);
	assert_int_equal(luo_heap_trim(heap), 0);
	for (size_t i = ELEMENTSOF(free_later) / 2; i < ELEMENTSOF(free_later); i++)
		fixture_free_elsewhere(free_later[i]);
}

/* A transaction that was not ended. */
static inline void fixture_interrupt(struct luo_heap *heap, struct fixture_root *root)
{
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_int_equal(luo_heap_save(heap, root, sizeof(*root)), 0);
	root->counter = 0;
	assert_non_null(luo_heap_alloc(heap, 500));
	assert_non_null(luo_heap_alloc(heap, FIXTURE_LARGE));
	assert_int_equal(luo_heap_free(heap, luo_get(root->first)), 0);
	assert_int_equal(luo_heap_save(heap, luo_get(root->large), 8192), 0);
	memset(luo_get(root->large), 0, 8192);
}

/* A change of the root's version that got as far as the new sum. */
static inline void fixture_interrupt_change(uint8_t *image)
{
	uint64_t version = HEAP_ROOTS_OFFSET + offsetof(struct heap_root, version), sum;
	struct heap_log *log = (struct heap_log *)(image + HEAP_LOG_OFFSET);

	log->entries[0].offset = version;
	log->entries[0].value = *(uint64_t *)(image + version);
	log->entries[1].offset = HEAP_INDEX_OFFSET;
	log->entries[1].value = *(uint64_t *)(image + HEAP_INDEX_OFFSET);
	sum = 2;
	for (unsigned i = 0; i < 2; i++)
		sum = heap_mix(sum, log->entries[i].offset, log->entries[i].value);
	log->commit = 2 | (sum ^ sum >> 32) << 32;
	*(uint64_t *)(image + version) = 2;
}

static inline bool fixture_is_of_machine(uint64_t offset)
{
	return offset >= HEAP_OWNER_OFFSET &&
	       offset < HEAP_OWNER_OFFSET + offsetof(struct heap_owner, openings);
}

static inline void fixture_print_image(const uint8_t *image, size_t size)
{
	puts("# A heap of format 1: all words that are not zero, by their offset. Never changed.\n"
	     "# Made by test-heap-format, see tests/unit/heap/fixture.h.");
	printf("size %zx\n", size);
	for (size_t offset = 0; offset < size; offset += sizeof(uint64_t)) {
		uint64_t value = *(const uint64_t *)(image + offset);

		if (value && !fixture_is_of_machine(offset))
			printf("%zx %" PRIx64 "\n", offset, value);
	}
}

/* To stdout; for main(). */
static inline int fixture_print(const char *name)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .name = "fixture" };
	int fd = memfd_create("fixture", MFD_CLOEXEC);
	bool interrupted = strstr(name, "interrupted");
	struct stat st;
	uint8_t *image;
	void *root;

	if (luo_heap_open_fd(fd, &options, &fixture_heap) < 0 ||
	    luo_heap_root(fixture_heap, &fixture_type, &root) != 1) {
		fprintf(stderr, "%s\n", luo_heap_problem());
		return 1;
	}
	fixture_fill(fixture_heap, root);
	if (interrupted)
		fixture_interrupt(fixture_heap, root);
	if (fstat(fd, &st) < 0)
		return 1;
	image = malloc((size_t)st.st_size);
	if (!image || pread(fd, image, (size_t)st.st_size, 0) != st.st_size)
		return 1;
	if (interrupted)
		fixture_interrupt_change(image);
	fixture_print_image(image, (size_t)st.st_size);
	free(image);
	luo_heap_close(fixture_heap);
	close(fd);
	return 0;
}

#endif
