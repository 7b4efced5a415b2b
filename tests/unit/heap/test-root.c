/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Roots: found, made, upgraded completely or not at all, removed. */

#include "tests/unit/heap/helpers.h"

struct v1 {
	uint64_t count;
};

struct v2 {
	uint64_t count, limit;
	LUO_REF(char) label;
};

static int init_calls;

static int init_v1(struct luo_heap *heap, void *object, void *userdata)
{
	struct v1 *v = object;

	init_calls++;
	assert_true(is_zero(v, sizeof(*v)));
	v->count = *(uint64_t *)userdata;
	return 0;
}

static int upgrade_v2(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
		      void **ret_object, void *userdata)
{
	struct v2 *new = luo_heap_calloc(heap, 1, sizeof(*new));
	char *label;
	int r;

	assert_int_equal(version, 1);
	assert_int_equal(size, sizeof(struct v1));
	if (!new)
		return -errno;
	new->count = ((struct v1 *)object)->count;
	new->limit = 100;
	label = luo_heap_alloc(heap, 20);
	if (!label)
		return -errno;
	strcpy(label, "upgraded");
	luo_set(new->label, label);
	r = luo_heap_free(heap, object);
	if (r < 0)
		return r;
	if (userdata && *(int *)userdata < 0)
		return *(int *)userdata;
	*ret_object = new;
	return 0;
}

static uint64_t five = 5;
static const struct luo_heap_root_type v1_type = { .struct_size = sizeof(v1_type),
						   .name = "counter",
						   .type_id = 0x33,
						   .version = 1,
						   .size = sizeof(struct v1),
						   .init = init_v1,
						   .userdata = &five };
static const struct luo_heap_root_type v2_type = { .struct_size = sizeof(v2_type),
						   .name = "counter",
						   .type_id = 0x33,
						   .version = 2,
						   .size = sizeof(struct v2),
						   .upgrade = upgrade_v2 };

static size_t count_roots(struct luo_heap *heap)
{
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };
	size_t n = 0;

	while (luo_heap_root_at(heap, n, &info) == 0)
		n++;
	return n;
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void assert_type_refused(struct luo_heap *heap, struct luo_heap_root_type type)
{
	void *object = (void *)UNTOUCHED;

	assert_int_equal(luo_heap_root(heap, &type, &object), -EINVAL);
	assert_ptr_equal(object, (void *)UNTOUCHED);
}

static void test_bad_types(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	const struct luo_heap_root_type good = {
		.struct_size = sizeof(good), .name = "r", .type_id = 1, .version = 1, .size = 8
	};
	struct luo_heap_root_type type = good;
	void *object = (void *)UNTOUCHED;

	assert_int_equal(luo_heap_root(heap, NULL, &object), -EINVAL);
	assert_int_equal(luo_heap_root(heap, &good, NULL), -EINVAL);
	type.name = NULL;
	assert_type_refused(heap, type);
	type.name = "";
	assert_type_refused(heap, type);
	type.name = long_name(48);
	assert_type_refused(heap, type);
	type.name = "new\nline";
	assert_type_refused(heap, type);
	type.name = "\xc3\xa4";
	assert_type_refused(heap, type);
	type = good;
	type.version = 0;
	assert_type_refused(heap, type);
	type = good;
	type.size = 0;
	assert_type_refused(heap, type);
	type.size = UINT64_MAX;
	assert_int_equal(luo_heap_root(heap, &type, &object), -ENOMEM);
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_type_refused(heap, good);
	assert_int_equal(luo_heap_remove_root(heap, "r"), -EINVAL);
	assert_int_equal(luo_heap_commit(heap), 0);
	assert_int_equal(luo_heap_remove_root(heap, "r"), -ENOENT);
	assert_int_equal(luo_heap_remove_root(heap, NULL), -EINVAL);
	assert_ptr_equal(object, (void *)UNTOUCHED);
	assert_int_equal(count_roots(heap), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	type = good;
	type.name = long_name(47);
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	luo_heap_close(heap);
}

static void test_another_type(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct luo_heap_root_type type = v1_type;
	struct v1 *object, *refused = (void *)UNTOUCHED;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&object), 1);
	type.type_id = 0x34;
	assert_int_equal(luo_heap_root(heap, &type, (void **)&refused), -EPROTOTYPE);
	assert_non_null(strstr(luo_heap_problem(), "counter"));
	type = v1_type;
	type.size = 16;
	assert_int_equal(luo_heap_root(heap, &type, (void **)&refused), -EPROTOTYPE);
	type = v2_type;
	type.upgrade = NULL;
	assert_int_equal(luo_heap_root(heap, &type, (void **)&refused), -EPROTONOSUPPORT);
	assert_non_null(strstr(luo_heap_problem(), "version"));
	assert_ptr_equal(refused, (void *)UNTOUCHED);
	assert_int_equal(object->count, 5);
	luo_heap_close(heap);
}

static void test_too_many(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	char name[20];
	struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = name, .type_id = 1, .version = 1, .size = 8
	};
	void *object = (void *)UNTOUCHED;

	for (int i = 0; i < 128; i++) {
		snprintf(name, sizeof(name), "root-%d", i);
		assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	}
	strcpy(name, "one too many");
	assert_int_equal(luo_heap_root(heap, &type, &object), -ENOSPC);
	assert_int_equal(usage_of(heap).objects, 128);
	/* Any of them makes room, and all others stay. */
	assert_int_equal(luo_heap_remove_root(heap, "root-77"), 0);
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	assert_int_equal(count_roots(heap), 128);
	for (int i = 0; i < 128; i++) {
		snprintf(name, sizeof(name), "root-%d", i);
		type.size = 8;
		if (i != 77)
			assert_int_equal(luo_heap_root(heap, &type, &object), 0);
	}
	usage_of(heap);
	luo_heap_close(heap);
}

/* ---- what is made ---------------------------------------------------------------------------- */

static void test_made_once(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };
	struct v1 *object, *again;

	init_calls = 0;
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&object), 1);
	assert_int_equal(object->count, 5);
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&again), 0);
	assert_ptr_equal(again, object);
	object->count = 6;
	luo_heap_close(heap);
	heap = open_heap(fd);
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&object), 0);
	assert_int_equal(object->count, 6);
	assert_int_equal(init_calls, 1);

	assert_int_equal(luo_heap_root_at(heap, 0, &info), 0);
	assert_string_equal(info.name, "counter");
	assert_int_equal(info.type_id, 0x33);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.size, sizeof(struct v1));
	assert_ptr_equal(info.object, object);
	assert_int_equal(luo_heap_root_at(heap, 1, &info), -ENOENT);
	assert_int_equal(luo_heap_root_at(heap, SIZE_MAX, &info), -ENOENT);
	luo_heap_close(heap);
	close(fd);
}

static int init_and_fail(struct luo_heap *heap, void *object, void *userdata)
{
	assert_non_null(luo_heap_alloc(heap, 300000));
	assert_non_null(luo_heap_alloc(heap, 3));
	*(uint64_t *)object = 1;
	return -ELOOP;
}

static void test_init_fails(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct luo_heap_root_type type = v1_type;
	void *object = (void *)UNTOUCHED;

	type.init = init_and_fail;
	assert_int_equal(luo_heap_root(heap, &type, &object), -ELOOP);
	assert_ptr_equal(object, (void *)UNTOUCHED);
	assert_int_equal(count_roots(heap), 0);
	assert_int_equal(usage_of(heap).objects, 0);
	type.init = NULL;
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	assert_true(is_zero(object, sizeof(struct v1)));
	luo_heap_close(heap);
}

/* ---- upgrades -------------------------------------------------------------------------------- */

static void test_upgrade(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct v1 *v1;
	struct v2 *v2;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 1);
	assert_int_equal(luo_heap_root(heap, &v2_type, (void **)&v2), 2);
	assert_int_equal(v2->count, 5);
	assert_int_equal(v2->limit, 100);
	assert_string_equal(luo_get(v2->label), "upgraded");
	assert_int_equal(usage_of(heap).objects, 2); /* the old one is free */
	luo_heap_close(heap);
	heap = open_heap(fd);
	assert_int_equal(luo_heap_root(heap, &v2_type, (void **)&v2), 0);
	assert_int_equal(v2->limit, 100);
	/* An older program is refused. */
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), -EPROTONOSUPPORT);
	luo_heap_close(heap);
	close(fd);
}

static void test_upgrade_fails(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct luo_heap_root_type type = v2_type;
	int error = -EILSEQ;
	struct v1 *v1, *again;
	void *object = (void *)UNTOUCHED;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 1);
	type.userdata = &error;
	for (int i = 0; i < 3; i++)
		assert_int_equal(luo_heap_root(heap, &type, &object), -EILSEQ);
	assert_ptr_equal(object, (void *)UNTOUCHED);
	assert_int_equal(usage_of(heap).objects, 1);
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&again), 0);
	assert_ptr_equal(again, v1);
	assert_int_equal(v1->count, 5);
	luo_heap_close(heap);
}

/* The upgrade function kills its process. */
static int upgrade_and_die(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			   void **ret_object, void *userdata)
{
	int r = upgrade_v2(heap, object, version, size, ret_object, NULL);

	die(r < 0 ? 1 : 0);
	return 0;
}

static int open_and_upgrade(void *userdata)
{
	struct luo_heap_root_type type = v2_type;
	struct luo_heap *heap;
	void *object;

	type.upgrade = upgrade_and_die;
	if (luo_heap_open_fd(*(int *)userdata, &small_heap, &heap) < 0)
		return 2;
	luo_heap_root(heap, &type, &object);
	return 3;
}

static void test_death_in_upgrade(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct v1 *v1;
	void *object;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 1);
	luo_heap_close(heap);
	in_child(open_and_upgrade, &fd);
	heap = open_heap(fd);
	assert_true(stat_of(heap).recovered);
	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 0);
	assert_int_equal(v1->count, 5);
	assert_int_equal(usage_of(heap).objects, 1);
	assert_int_equal(luo_heap_root(heap, &v2_type, &object), 2);
	luo_heap_close(heap);
	close(fd);
}

static int upgrade_in_place(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			    void **ret_object, void *userdata)
{
	struct v1 *v = object;
	int r = luo_heap_save(heap, v, sizeof(*v));

	if (r < 0)
		return r;
	v->count *= 1000;
	*ret_object = object;
	return *(int *)userdata;
}

static void test_upgrade_in_place(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct luo_heap_root_type type = v1_type;
	struct v1 *v1, *same;
	int result = -EIO;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 1);
	type.version = 9;
	type.upgrade = upgrade_in_place;
	type.userdata = &result;
	assert_int_equal(luo_heap_root(heap, &type, (void **)&same), -EIO);
	assert_int_equal(v1->count, 5);
	result = 0;
	assert_int_equal(luo_heap_root(heap, &type, (void **)&same), 2);
	assert_ptr_equal(same, v1);
	assert_int_equal(v1->count, 5000);
	assert_int_equal(luo_heap_root(heap, &type, (void **)&same), 0);
	luo_heap_close(heap);
}

/* What an upgrade gives back must be a block that is large enough. */
static int upgrade_to_nonsense(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
			       void **ret_object, void *userdata)
{
	*ret_object = (uint8_t *)object + (intptr_t)userdata;
	return 0;
}

static void test_upgrade_to_nonsense(void **state)
{
	struct luo_heap *heap = memory_heap(64 * MIB);
	struct luo_heap_root_type type = v1_type;
	struct v1 *v1;
	void *object = (void *)UNTOUCHED;

	assert_int_equal(luo_heap_root(heap, &v1_type, (void **)&v1), 1);
	type.version = 2;
	type.upgrade = upgrade_to_nonsense;
	type.userdata = (void *)(intptr_t)8;
	assert_int_equal(luo_heap_root(heap, &type, &object), -EINVAL);
	type.userdata = NULL;
	type.size = 4096; /* the old block is too small for that */
	assert_int_equal(luo_heap_root(heap, &type, &object), -EINVAL);
	assert_ptr_equal(object, (void *)UNTOUCHED);
	assert_int_equal(luo_heap_root(heap, &v1_type, &object), 0);
	usage_of(heap);
	luo_heap_close(heap);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void test_remove(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	struct luo_heap_root_type type = v1_type;
	void *object;

	assert_int_equal(luo_heap_root(heap, &v1_type, &object), 1);
	type.name = "other";
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	assert_int_equal(luo_heap_remove_root(heap, "count"), -ENOENT);
	assert_int_equal(luo_heap_remove_root(heap, "counter"), 0);
	assert_int_equal(luo_heap_remove_root(heap, "counter"), -ENOENT);
	assert_int_equal(count_roots(heap), 1);
	assert_int_equal(usage_of(heap).objects, 1);
	luo_heap_close(heap);
	heap = open_heap(fd);
	assert_int_equal(count_roots(heap), 1);
	/* Another program may have the name now. */
	type = v2_type;
	assert_int_equal(luo_heap_root(heap, &type, &object), 1);
	usage_of(heap);
	luo_heap_close(heap);
	close(fd);
}

/* Large root objects, too, are zeros, also where something else was. */
static void test_large_root(void **state)
{
	struct luo_heap_root_type type = { .struct_size = sizeof(type),
					   .name = "large",
					   .type_id = 1,
					   .version = 1,
					   .size = 500000 };
	struct luo_heap *heap = memory_heap(64 * MIB);
	void *object;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(luo_heap_root(heap, &type, &object), 1);
		assert_true(is_zero(object, type.size));
		memset(object, 0xff, type.size);
		assert_int_equal(luo_heap_remove_root(heap, "large"), 0);
	}
	luo_heap_close(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_bad_types),        HEAP_TEST(test_another_type),
		HEAP_TEST(test_too_many),         HEAP_TEST(test_made_once),
		HEAP_TEST(test_init_fails),       HEAP_TEST(test_upgrade),
		HEAP_TEST(test_upgrade_fails),    HEAP_TEST(test_death_in_upgrade),
		HEAP_TEST(test_upgrade_in_place), HEAP_TEST(test_upgrade_to_nonsense),
		HEAP_TEST(test_remove),           HEAP_TEST(test_large_root),
	};

	return cmocka_run_group_tests_name("heap-root", tests, NULL, NULL);
}
