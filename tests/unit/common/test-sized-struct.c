/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Structs that callers allocate can grow: an old program works with a new library, and a new
 * program with an old library. Both are played here, by structs that end earlier or later than
 * ours.
 */

#include "common/sized-struct.h"

#include <luo/luo.h>
#include <stddef.h>

#include "tests/unit/helpers.h"

#define SPARE 64

/* What a newer program has: our struct, and members behind it that this library does not know. */
#define NEWER(type)                         \
	struct {                            \
		type known;                 \
		unsigned char later[SPARE]; \
	}

/* No padding at the end: a new member would be in it, where an old program has garbage. */
struct old {
	size_t struct_size;
	uint64_t a;
};
struct now {
	size_t struct_size;
	uint64_t a, b, c;
};

#define FIRST SIZE_UP_TO(struct old, a)

static void test_read(void **state)
{
	struct old old = { .struct_size = sizeof(old), .a = 7 };
	NEWER(struct now)
	newer = { .known = { .struct_size = sizeof(newer), .a = 1, .b = 2, .c = 3 } };
	struct now got;

	memset(&got, 0xaa, sizeof(got));
	assert_int_equal(sized_struct_read(&old, FIRST, &got, sizeof(got)), 0);
	assert_true(got.a == 7 && got.b == 0 && got.c == 0);
	assert_int_equal(sized_struct_read(&newer, FIRST, &got, sizeof(got)), 0);
	assert_true(got.a == 1 && got.b == 2 && got.c == 3);
	for (size_t i = 0; i < SPARE; i++) {
		newer.later[i] = 1;
		assert_int_equal(sized_struct_read(&newer, FIRST, &got, sizeof(got)), -E2BIG);
		newer.later[i] = 0;
	}
}

static void test_bad_sizes(void **state)
{
	struct now now = { 0 }, got;

	assert_int_equal(sized_struct_read(NULL, FIRST, &got, sizeof(got)), -EINVAL);
	assert_int_equal(sized_struct_read(&now, FIRST, &got, sizeof(got)), -EINVAL);
	now.struct_size = FIRST - 1;
	assert_int_equal(sized_struct_read(&now, FIRST, &got, sizeof(got)), -EINVAL);
	now.struct_size = SIZE_MAX;
	assert_int_equal(sized_struct_read(&now, FIRST, &got, sizeof(got)), -E2BIG);
	assert_int_equal(sized_struct_return(&now, FIRST, &got, sizeof(got)), -E2BIG);
}

static void test_return(void **state)
{
	const struct now from = { .struct_size = sizeof(from), .a = 1, .b = 2, .c = 3 };
	NEWER(struct old) old = { .known = { .struct_size = sizeof(struct old) } };
	NEWER(struct now) newer = { .known = { .struct_size = sizeof(newer) } };

	memset(old.later, 0xaa, SPARE);
	assert_int_equal(sized_struct_return(&old, FIRST, &from, sizeof(from)), 0);
	assert_int_equal(old.known.a, 1);
	assert_int_equal(old.known.struct_size, sizeof(struct old));
	for (size_t i = 0; i < SPARE; i++)
		assert_int_equal(old.later[i], 0xaa);

	memset(newer.later, 0xaa, SPARE);
	assert_int_equal(sized_struct_return(&newer, FIRST, &from, sizeof(from)), 0);
	assert_true(newer.known.a == 1 && newer.known.b == 2 && newer.known.c == 3);
	for (size_t i = 0; i < SPARE; i++)
		assert_int_equal(newer.later[i], 0);
}

/* ---- the structs of the library, through its functions ----------------------------------------
 */

static int call_create(const void *options)
{
	int fd = -EBADF, r = luo_memfd_create(options, &fd);

	safe_close(fd);
	return r;
}

static int call_heap(const void *options)
{
	struct luo_heap *heap = NULL;
	int r = luo_heap_open_memory(options, &heap);

	if (r == 0)
		luo_heap_close(heap);
	return r;
}

static int call_inspect(void *info)
{
	int fd = memfd_create("x", MFD_CLOEXEC), r = luo_fd_inspect(fd, info);

	close(fd);
	return r;
}

static int call_room(void *room)
{
	return luo_memory_room(room);
}

static const struct options_case {
	const char *name;
	size_t size;
	int (*call)(const void *options);
} options_cases[] = {
	{ "luo_memfd_options", sizeof(struct luo_memfd_options), call_create },
	{ "luo_heap_options", sizeof(struct luo_heap_options), call_heap },
};

static const struct result_case {
	const char *name;
	size_t size;
	int (*call)(void *result);
} result_cases[] = {
	{ "luo_fd_info", sizeof(struct luo_fd_info), call_inspect },
	{ "luo_memory_room", sizeof(struct luo_memory_room), call_room },
};

static void set_size(void *o, size_t size)
{
	memcpy(o, &size, sizeof(size));
}

static void test_library_options(void **state)
{
	for (size_t i = 0; i < ELEMENTSOF(options_cases); i++) {
		const struct options_case *c = &options_cases[i];
		unsigned char o[1024] __attribute__((__aligned__(16))) = { 0 };

		set_size(o, c->size);
		assert_int_equal(c->call(o), 0);
		set_size(o, c->size + SPARE);
		assert_int_equal(c->call(o), 0);
		o[c->size + SPARE - 1] = 1;
		assert_int_equal(c->call(o), -E2BIG);
		o[c->size + SPARE - 1] = 0;
		set_size(o, 0);
		assert_int_equal(c->call(o), -EINVAL);
		set_size(o, sizeof(size_t));
		assert_int_equal(c->call(o), -EINVAL);
	}
}

static void test_library_results(void **state)
{
	for (size_t i = 0; i < ELEMENTSOF(result_cases); i++) {
		const struct result_case *c = &result_cases[i];
		unsigned char o[2048] __attribute__((__aligned__(16)));

		assert_true(c->size + SPARE < sizeof(o));
		memset(o, 0xaa, sizeof(o));
		set_size(o, c->size);
		assert_int_equal(c->call(o), 0);
		assert_int_equal(o[c->size], 0xaa);
		memset(o, 0xaa, sizeof(o));
		set_size(o, c->size + SPARE);
		assert_int_equal(c->call(o), 0);
		for (size_t k = 0; k < SPARE; k++)
			assert_int_equal(o[c->size + k], 0);
		assert_int_equal(o[c->size + SPARE], 0xaa);
		set_size(o, 0);
		assert_int_equal(c->call(o), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_bad_sizes),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_library_options),
		cmocka_unit_test(test_library_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
