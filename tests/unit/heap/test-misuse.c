/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Programs that do what they should not, or at a bad moment: the heap stays as it should be. */

#include <pthread.h>

#include "libluo/heap/internal.h"

#include "tests/unit/heap/helpers.h"

/* Two bits of the magic number say that it is being made; they must not be enough. */
static void test_damaged_into_unmade(void **state)
{
	const uint64_t making = HEAP_MAGIC_MAKING;

	for (unsigned i = 0; i < 2; i++) {
		int fd = empty_memfd();
		struct luo_heap *heap = open_heap(fd);

		assert_non_null(luo_heap_alloc(heap, i ? 16 : 1 * MIB));
		luo_heap_close(heap);
		assert_int_equal(pwrite(fd, &making, 8, HEAP_SUPER_OFFSET), 8);
		assert_refused(fd, -EUCLEAN);
		assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY },
				    -EUCLEAN);
		close(fd);
	}
}

/* ---- roots ----------------------------------------------------------------------------------- */

static int upgrade_to_null(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			   void **ret_object, void *userdata)
{
	*ret_object = NULL;
	return 1;
}

static int end_transaction(struct luo_heap *heap, void *object, void *userdata)
{
	if (userdata)
		return luo_heap_commit(heap);
	luo_heap_abort(heap);
	return 0;
}

static void test_upgrade_returns_more(void **state)
{
	struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = "a", .type_id = 1, .version = 1, .size = 64
	};
	struct luo_heap_root_type other = {
		.struct_size = sizeof(other), .name = "b", .type_id = 1, .version = 1, .size = 64
	};
	struct luo_heap *heap = memory_heap(0);
	void *object;

	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	assert_int_equal(luo_heap_root(heap, &other, &object), 1);
	type.version = 2;
	type.upgrade = upgrade_to_null;
	assert_int_equal(luo_heap_root(heap, &type, &object), -EINVAL);
	assert_int_equal(luo_heap_root(heap, &other, &object), 0);
	type.version = 1;
	assert_int_equal(luo_heap_root(heap, &type, &object), 0);
	usage_of(heap);
	luo_heap_close(heap);
}

/* Without the transaction, nothing would undo what it did. */
static void test_init_ends_transaction(void **state)
{
	struct luo_heap_root_type type = { .struct_size = sizeof(type),
					   .name = "a",
					   .type_id = 1,
					   .version = 1,
					   .size = 64,
					   .init = end_transaction };
	struct luo_heap *heap = memory_heap(0);
	void *object;

	for (unsigned i = 0; i < 2; i++) {
		type.userdata = i ? heap : NULL;
		assert_int_equal(luo_heap_root(heap, &type, &object), -EINVAL);
		assert_non_null(strstr(luo_heap_problem(), "transaction"));
		assert_int_equal(luo_heap_root_at(heap, 0,
						  &(struct luo_heap_root_info){
							  .struct_size = sizeof(
								  struct luo_heap_root_info) }),
				 -ENOENT);
		usage_of(heap);
	}
	type.init = NULL;
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	luo_heap_close(heap);
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* More than an object: what would be brought back is the allocator's. */
static void test_save_of_metadata(void **state)
{
	struct luo_heap *heap = memory_heap(0);
	uint8_t *block = luo_heap_alloc(heap, 16);
	uint8_t *slab = heap_page(heap, (uint32_t)(heap_offset(heap, block) / HEAP_PAGE));
	const struct {
		void *begin;
		size_t size;
	} bad[] = {
		{ slab, 8 },
		{ slab + heap_classes[0].first - 1, 2 },
		{ slab - 1, HEAP_PAGE },
		{ heap_page(heap, 1), 16 },
		{ heap_page(heap, 2), 16 },
		{ heap->base, 16 },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(luo_heap_begin(heap), 0);
		assert_int_equal(luo_heap_save(heap, bad[i].begin, bad[i].size), -EINVAL);
		assert_int_equal(luo_heap_commit(heap), -EINVAL);
	}
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_int_equal(luo_heap_save(heap, block, 16), 0);
	assert_int_equal(luo_heap_commit(heap), 0);
	luo_heap_close(heap);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct luo_heap *full;
static pthread_barrier_t barrier;

static void *hold_slot(void *userdata)
{
	luo_heap_free(full, luo_heap_alloc(full, 16));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void *free_it(void *block)
{
	return luo_heap_free(full, block) == 0 ? NULL : block;
}

static void free_in_new_thread(void *block)
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, free_it, block), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(luo_heap_free(full, block) < 0, 1);
}

/* There is no page for the slot of one more thread; it can free nevertheless. */
static void test_free_in_full_heap(void **state)
{
	pthread_t threads[HEAP_SLOTS_PER_PAGE - 1];
	void *large, *small, *last = NULL, *p;

	full = memory_heap(4 * MIB);
	assert_int_equal(pthread_barrier_init(&barrier, NULL, ELEMENTSOF(threads) + 1), 0);
	for (size_t i = 0; i < ELEMENTSOF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hold_slot, NULL), 0);
	pthread_barrier_wait(&barrier);
	large = luo_heap_alloc(full, 200 * KIB);
	small = luo_heap_alloc(full, 20 * KIB);
	while ((p = luo_heap_aligned_alloc(full, HEAP_PAGE, HEAP_PAGE)))
		last = p;
	assert_int_equal(errno, ENOMEM);
	assert_non_null(last);
	free_in_new_thread(small);
	free_in_new_thread(large);
	assert_non_null(luo_heap_alloc(full, 200 * KIB));
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < ELEMENTSOF(threads); i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	usage_of(full);
	luo_heap_close(full);
}

static const char *free_all_and_allocate(void **blocks)
{
	size_t n = 0, again = 0;

	for (; blocks[n]; n++)
		if (luo_heap_free(full, blocks[n]) < 0)
			return "freeing";
	if (luo_heap_begin(full) < 0)
		return "beginning";
	while (luo_heap_alloc(full, 1000))
		again++;
	/* The log of the transaction has an end, too, if there is no memory for more. */
	luo_heap_abort(full);
	if (again < 50 || again > n)
		return "allocating in a transaction";
	for (again = 0; again < n; again++)
		if (!(blocks[again] = luo_heap_alloc(full, 1000)))
			return "allocating";
	if (luo_heap_alloc(full, 1000))
		return "allocating more than there was";
	return luo_heap_free(full, blocks[0]) < 0 ? "freeing one of them" : NULL;
}

static void *other_thread(void *blocks)
{
	return (void *)free_all_and_allocate(blocks);
}

/* All blocks belong to a thread that does nothing any more, and another one frees them. */
static void test_owner_is_idle(void **state)
{
	void *blocks[8192] = { NULL }, *result;
	pthread_t thread;
	size_t n = 0;

	full = memory_heap(4 * MIB);
	free_in_new_thread(luo_heap_alloc(full, 16)); /* makes it a slot */
	while ((blocks[n] = luo_heap_alloc(full, 1000)))
		assert_true(++n < ELEMENTSOF(blocks));
	assert_true(n > 1000);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, blocks), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	if (result)
		fail_msg("%s", (char *)result);
	assert_int_equal(usage_of(full).objects, n - 1);
	luo_heap_close(full);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static size_t private_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	size_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmData: %zu", &kib);
	if (f)
		fclose(f);
	return kib;
}

static int die_in_transaction(void *userdata)
{
	struct luo_heap *heap = NULL;

	if (luo_heap_open_fd(*(int *)userdata, NULL, &heap) < 0)
		return 1;
	return luo_heap_begin(heap) == 0 && luo_heap_alloc(heap, 16) ? 0 : 2;
}

/*
 * What is recovered is tried on a private copy: of what there is, not of what may come. Where
 * vm.overcommit_memory is 2, all of it is promised.
 */
static void test_recover_with_little_memory(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap;
	size_t before;

	in_child(die_in_transaction, &fd);
	before = private_kib();
	assert_true(before > 0);
	heap = open_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY });
	assert_true(stat_of(heap).recovered);
	assert_true(private_kib() < before + 64 * KIB);
	luo_heap_close(heap);
	close(fd);
}

/* ---- children -------------------------------------------------------------------------------- */

struct mapped {
	struct luo_heap *heap;
	uint8_t *base;
	size_t size;
};

static int close_in_child(void *userdata)
{
	const struct mapped *m = userdata;
	uint8_t *mine;

	/* What the child has at these addresses now is its own. */
	mine = mmap(m->base, m->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (mine != m->base)
		return 1;
	*mine = 5;
	luo_heap_close(m->heap);
	return msync(mine, m->size, MS_ASYNC) == 0 && *mine == 5 ? 0 : 2;
}

static void test_close_in_child(void **state)
{
	struct luo_heap *heap;
	struct mapped mapped;

	if (is_under_valgrind())
		skip();
	heap = memory_heap(64 * MIB);
	mapped = (struct mapped){ heap, heap->base, 64 * MIB };

	assert_non_null(luo_heap_alloc(heap, 16));
	in_child(close_in_child, &mapped);
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_non_null(luo_heap_alloc(heap, 16));
	in_child(close_in_child, &mapped);
	assert_int_equal(luo_heap_commit(heap), 0);
	usage_of(heap);
	luo_heap_close(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_damaged_into_unmade),   HEAP_TEST(test_upgrade_returns_more),
		HEAP_TEST(test_init_ends_transaction), HEAP_TEST(test_save_of_metadata),
		HEAP_TEST(test_free_in_full_heap),     HEAP_TEST(test_owner_is_idle),
		HEAP_TEST(test_close_in_child),        HEAP_TEST(test_recover_with_little_memory),
	};

	return cmocka_run_group_tests_name("heap-misuse", tests, NULL, NULL);
}
