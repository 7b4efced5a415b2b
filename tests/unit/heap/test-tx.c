/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Transactions: all of it or nothing, after an abort, a close and a death. */

#include "tests/unit/heap/helpers.h"

#define CELLS 64

struct table {
	uint64_t cells[CELLS];
	LUO_REF(uint8_t) block;
	LUO_REF(uint8_t) old;
	uint8_t wide[100 * 1024];
};

static const struct luo_heap_root_type table_type = { .struct_size = sizeof(table_type),
						      .name = "table",
						      .type_id = 0x22,
						      .version = 1,
						      .size = sizeof(struct table) };

struct fixture {
	int fd;
	struct luo_heap *heap;
	struct table *table;
};

static void find_table(struct fixture *f)
{
	assert_true(luo_heap_root(f->heap, &table_type, (void **)&f->table) >= 0);
}

/* A table with a pattern in it, that refers to a block with a pattern in it. */
static void setup_table(struct fixture *f)
{
	uint8_t *block;

	f->fd = empty_memfd();
	f->heap = open_heap(f->fd);
	find_table(f);
	for (int i = 0; i < CELLS; i++)
		f->table->cells[i] = i;
	fill(f->table->wide, sizeof(f->table->wide), 5);
	block = luo_heap_alloc(f->heap, 500);
	assert_non_null(block);
	fill(block, 500, 6);
	luo_set(f->table->old, block);
}

static void finish_table(struct fixture *f)
{
	luo_heap_close(f->heap);
	close(f->fd);
}

/* As setup_table() made it. */
static void assert_old(struct fixture *f)
{
	struct table *t = f->table;

	for (int i = 0; i < CELLS; i++)
		assert_int_equal(t->cells[i], i);
	assert_true(is_filled(t->wide, sizeof(t->wide), 5));
	assert_null(luo_get(t->block));
	assert_non_null(luo_get(t->old));
	assert_true(is_filled(luo_get(t->old), 500, 6));
	assert_int_equal(usage_of(f->heap).objects, 2);
}

/* As change() made it. */
static void assert_changed(struct fixture *f)
{
	struct table *t = f->table;

	for (int i = 0; i < CELLS; i++)
		assert_int_equal(t->cells[i], i * 3 + 1);
	assert_true(is_filled(t->wide, sizeof(t->wide), 7));
	assert_non_null(luo_get(t->block));
	assert_true(is_filled(luo_get(t->block), 300, 8));
	assert_null(luo_get(t->old));
	assert_int_equal(usage_of(f->heap).objects, 2);
}

/* Everything that a transaction can hold; what is saved does not fit into the slot. */
static int change(struct fixture *f)
{
	struct table *t = f->table;
	uint8_t *block, *passing;

	for (int i = 0; i < CELLS; i++) {
		if (luo_heap_save(f->heap, &t->cells[i], 8) < 0)
			return -1;
		t->cells[i] = i * 3 + 1;
	}
	if (luo_heap_save(f->heap, t->wide, sizeof(t->wide)) < 0)
		return -1;
	fill(t->wide, sizeof(t->wide), 7);
	block = luo_heap_alloc(f->heap, 300);
	passing = luo_heap_alloc(f->heap, 200000);
	if (!block || !passing)
		return -1;
	fill(block, 300, 8);
	if (luo_heap_save(f->heap, &t->block, 8) < 0)
		return -1;
	luo_set(t->block, block);
	if (luo_heap_free(f->heap, luo_get(t->old)) < 0 || luo_heap_free(f->heap, passing) < 0)
		return -1;
	if (luo_heap_save(f->heap, &t->old, 8) < 0)
		return -1;
	luo_set(t->old, NULL);
	return 0;
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
	struct fixture f;
	struct luo_heap *other = memory_heap(64 * MIB);
	uint64_t on_stack = 0;
	uint8_t *foreign = luo_heap_alloc(other, 100);

	setup_table(&f);
	assert_int_equal(luo_heap_commit(f.heap), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, f.table, 8), -EINVAL);
	luo_heap_abort(f.heap);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_begin(f.heap), -EBUSY);
	assert_int_equal(luo_heap_save(f.heap, &on_stack, 8), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, foreign, 8), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, NULL, 8), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, f.table, SIZE_MAX), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, f.table, 64 * MIB), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, f.table, 0), 0);
	/* Another heap has transactions of its own. */
	assert_int_equal(luo_heap_begin(other), 0);
	assert_int_equal(luo_heap_commit(other), 0);
	luo_heap_abort(f.heap);
	assert_int_equal(luo_heap_commit(f.heap), -EINVAL);
	assert_old(&f);
	luo_heap_close(other);
	finish_table(&f);
}

/* Putting the super page back would undo what others did. */
static void test_save_of_super_page(void **state)
{
	struct fixture f;
	uint8_t *base;

	setup_table(&f);
	base = (uint8_t *)((uintptr_t)f.table & -(64 * KIB));
	while (memcmp(base, "\x89LUOEAP1", 8) != 0)
		base -= 64 * KIB;
	assert_int_equal(luo_heap_begin(f.heap), 0);
	for (size_t i = 0; i < 64 * KIB; i += 4096)
		assert_int_equal(luo_heap_save(f.heap, base + i, 4096), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, base - 1, 1), -EINVAL);
	luo_heap_abort(f.heap);
	assert_old(&f);
	finish_table(&f);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void test_commit(void **state)
{
	struct fixture f;

	setup_table(&f);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(change(&f), 0);
	assert_int_equal(luo_heap_commit(f.heap), 0);
	assert_changed(&f);
	luo_heap_close(f.heap);
	f.heap = open_heap(f.fd);
	assert_false(stat_of(f.heap).recovered);
	find_table(&f);
	assert_changed(&f);
	finish_table(&f);
}

static void test_empty(void **state)
{
	struct fixture f;

	setup_table(&f);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(luo_heap_begin(f.heap), 0);
		if (i % 2)
			assert_int_equal(luo_heap_commit(f.heap), 0);
		else
			luo_heap_abort(f.heap);
	}
	assert_old(&f);
	finish_table(&f);
}

/* ---- nothing --------------------------------------------------------------------------------- */

static void test_abort(void **state)
{
	struct fixture f;

	setup_table(&f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(luo_heap_begin(f.heap), 0);
		assert_int_equal(change(&f), 0);
		luo_heap_abort(f.heap);
		assert_old(&f);
	}
	luo_heap_abort(f.heap);
	assert_old(&f);
	finish_table(&f);
}

static void test_close_within(void **state)
{
	struct fixture f;

	setup_table(&f);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(change(&f), 0);
	luo_heap_close(f.heap);
	f.heap = open_heap(f.fd);
	find_table(&f);
	assert_old(&f);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_commit(f.heap), 0);
	finish_table(&f);
}

static int change_and_die(void *userdata)
{
	struct fixture f = { .fd = *(int *)userdata };

	if (luo_heap_open_fd(f.fd, &small_heap, &f.heap) < 0)
		return 1;
	if (luo_heap_root(f.heap, &table_type, (void **)&f.table) != 0)
		return 2;
	if (luo_heap_begin(f.heap) < 0 || change(&f) < 0)
		return 3;
	return 0; /* without a close */
}

static void test_death_within(void **state)
{
	struct fixture f;

	setup_table(&f);
	luo_heap_close(f.heap);
	for (int i = 0; i < 3; i++) {
		in_child(change_and_die, &f.fd);
		f.heap = open_heap(f.fd);
		assert_true(stat_of(f.heap).recovered);
		find_table(&f);
		assert_old(&f);
		luo_heap_close(f.heap);
	}
	close(f.fd);
}

/* ---- details --------------------------------------------------------------------------------- */

/* Saved twice, the first counts; odd sizes at odd places; parts that overlap. */
static void test_overlapping_saves(void **state)
{
	struct fixture f;
	uint8_t *wide;

	setup_table(&f);
	wide = f.table->wide;
	assert_int_equal(luo_heap_begin(f.heap), 0);
	for (size_t i = 0; i < 40; i++) {
		size_t at = i * 3 + i % 5, size = 1 + i * 7 % 29;

		assert_int_equal(luo_heap_save(f.heap, wide + at, size), 0);
		memset(wide + at, (int)i, size);
	}
	luo_heap_abort(f.heap);
	assert_old(&f);
	finish_table(&f);
}

static void test_what_is_allocated_and_freed_within(void **state)
{
	struct fixture f;
	void *block;

	setup_table(&f);
	for (int commit = 0; commit < 2; commit++)
		for (size_t size = 16; size < 1000000; size *= 5) {
			assert_int_equal(luo_heap_begin(f.heap), 0);
			block = luo_heap_alloc(f.heap, size);
			assert_non_null(block);
			memset(block, 1, size);
			block = luo_heap_realloc(f.heap, block, size * 3);
			assert_non_null(block);
			assert_int_equal(luo_heap_free(f.heap, block), 0);
			if (commit)
				assert_int_equal(luo_heap_commit(f.heap), 0);
			else
				luo_heap_abort(f.heap);
			assert_old(&f);
		}
	finish_table(&f);
}

/* What was freed is there until the commit, and cannot be freed a second time. */
static void test_free_within(void **state)
{
	struct fixture f;
	uint8_t *old;

	setup_table(&f);
	old = luo_get(f.table->old);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_free(f.heap, old), 0);
	assert_int_equal(luo_heap_usable_size(f.heap, old) >= 500, 1);
	assert_true(is_filled(old, 500, 6));
	for (int i = 0; i < 100; i++)
		assert_ptr_not_equal(luo_heap_alloc(f.heap, 500), old);
	assert_int_equal(luo_heap_free(f.heap, old + 16), -EINVAL);
	luo_heap_abort(f.heap);
	assert_old(&f);
	finish_table(&f);
}

static void test_double_free_within(void **state)
{
	struct fixture f;
	uint8_t *block;

	setup_table(&f);
	block = luo_heap_alloc(f.heap, 64);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_free(f.heap, block), 0);
	/* Said now or later, but nothing breaks. */
	(void)luo_heap_free(f.heap, block);
	(void)luo_heap_commit(f.heap);
	luo_heap_abort(f.heap);
	assert_int_equal(luo_heap_free(f.heap, block), -EALREADY);
	assert_old(&f);
	finish_table(&f);
}

static void test_many_blocks(void **state)
{
	struct fixture f;

	setup_table(&f);
	for (int commit = 0; commit < 2; commit++) {
		uint64_t before = usage_of(f.heap).objects;

		assert_int_equal(luo_heap_begin(f.heap), 0);
		for (int i = 0; i < 3000; i++)
			assert_non_null(luo_heap_alloc(f.heap, 16 + i % 50));
		if (commit)
			assert_int_equal(luo_heap_commit(f.heap), 0);
		else
			luo_heap_abort(f.heap);
		assert_int_equal(usage_of(f.heap).objects, before + (commit ? 3000 : 0));
	}
	finish_table(&f);
}

/* The log takes all the memory there is: it says so, and everything can be undone. */
static void test_log_cannot_grow(void **state)
{
	static const struct luo_heap_root_type type = { .struct_size = sizeof(type),
							.name = "wide",
							.type_id = 1,
							.version = 1,
							.size = 1 << 20 };
	struct luo_heap *heap = memory_heap(4 * MIB);
	uint8_t *wide;
	uint64_t pages;
	int r = 0;

	assert_int_equal(luo_heap_root(heap, &type, (void **)&wide), 1);
	fill(wide, 1 << 20, 1);
	assert_int_equal(luo_heap_trim(heap), 0);
	pages = usage_of(heap).objects;
	assert_int_equal(luo_heap_begin(heap), 0);
	for (int i = 0; r == 0 && i < 100; i++) {
		r = luo_heap_save(heap, wide, 1 << 20);
		if (r == 0)
			memset(wide, i, 1 << 20);
	}
	assert_int_equal(r, -ENOMEM);
	luo_heap_abort(heap);
	assert_true(is_filled(wide, 1 << 20, 1));
	assert_int_equal(usage_of(heap).objects, pages);
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_int_equal(luo_heap_save(heap, wide, 1 << 20), 0);
	memset(wide, 0, 1 << 20);
	assert_int_equal(luo_heap_commit(heap), 0);
	assert_true(is_zero(wide, 1 << 20));
	luo_heap_close(heap);
}

static void test_realloc_within(void **state)
{
	struct fixture f;
	uint8_t *moved;

	setup_table(&f);
	for (int commit = 0; commit < 2; commit++) {
		assert_int_equal(luo_heap_begin(f.heap), 0);
		moved = luo_heap_realloc(f.heap, luo_get(f.table->old), 400000);
		assert_non_null(moved);
		assert_true(is_filled(moved, 500, 6));
		assert_int_equal(luo_heap_save(f.heap, &f.table->old, 8), 0);
		luo_set(f.table->old, moved);
		if (commit)
			assert_int_equal(luo_heap_commit(f.heap), 0);
		else
			luo_heap_abort(f.heap);
		assert_old(&f);
	}
	assert_true(luo_heap_usable_size(f.heap, luo_get(f.table->old)) >= 400000);
	finish_table(&f);
}

/* Who does not look at each call learns of it at the commit, and has lost nothing. */
static void test_failure_within(void **state)
{
	struct fixture f;
	uint8_t *block;

	setup_table(&f);
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_save(f.heap, f.table->cells, sizeof(f.table->cells)), 0);
	f.table->cells[3] = 1234;
	block = luo_heap_alloc(f.heap, 100);
	assert_non_null(block);
	assert_int_equal(luo_heap_free(f.heap, block + 16), -EINVAL);
	assert_int_equal(luo_heap_save(f.heap, &f, sizeof(f)), -EINVAL);
	assert_int_equal(luo_heap_commit(f.heap), -EINVAL);
	assert_non_null(strstr(luo_heap_problem(), "undone"));
	assert_old(&f);

	/* The next one is not spoilt by it. */
	assert_int_equal(luo_heap_begin(f.heap), 0);
	assert_int_equal(luo_heap_save(f.heap, f.table->cells, 8), 0);
	f.table->cells[0] = 0;
	assert_int_equal(luo_heap_commit(f.heap), 0);
	assert_old(&f);
	finish_table(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_refusals),
		HEAP_TEST(test_save_of_super_page),
		HEAP_TEST(test_commit),
		HEAP_TEST(test_empty),
		HEAP_TEST(test_abort),
		HEAP_TEST(test_close_within),
		HEAP_TEST(test_death_within),
		HEAP_TEST(test_overlapping_saves),
		HEAP_TEST(test_what_is_allocated_and_freed_within),
		HEAP_TEST(test_free_within),
		HEAP_TEST(test_double_free_within),
		HEAP_TEST(test_many_blocks),
		HEAP_TEST(test_failure_within),
		HEAP_TEST(test_log_cannot_grow),
		HEAP_TEST(test_realloc_within),
	};

	return cmocka_run_group_tests_name("heap-tx", tests, NULL, NULL);
}
