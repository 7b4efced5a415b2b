/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Mapped where it was mapped first: plain pointers stay right, or the heap does not open. */

#include "tests/unit/heap/helpers.h"

struct plain {
	struct plain *next;
	int value;
};

static const struct luo_heap_root_type plain_type = { .struct_size = sizeof(plain_type),
						      .name = "plain",
						      .type_id = 1,
						      .version = 1,
						      .size = sizeof(struct plain) };

static const struct luo_heap_options fixed = { .struct_size = sizeof(fixed),
					       .max_size = 64 * MIB,
					       .flags = LUO_HEAP_FIXED_ADDRESS };

static void test_plain_pointers(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_with(fd, fixed), *blocker;
	struct plain *root, *found;
	uint64_t address = stat_of(heap).address;

	assert_true(address != 0);
	assert_int_equal(address % (2 * MIB), 0);
	assert_int_equal(luo_heap_root(heap, &plain_type, (void **)&root), 1);
	root->next = luo_heap_calloc(heap, 1, sizeof(*root));
	root->next->value = 42;
	luo_heap_close(heap);
	blocker = memory_heap(64 * MIB);
	/* The heap records its address, so callers need not give it again. */
	for (int i = 0; i < 2; i++) {
		heap = i ? open_with(fd, fixed) : open_heap(fd);
		assert_int_equal(stat_of(heap).address, address);
		assert_int_equal(luo_heap_root(heap, &plain_type, (void **)&found), 0);
		assert_ptr_equal(found, root);
		assert_int_equal(found->next->value, 42);
		luo_heap_close(heap);
	}
	luo_heap_close(blocker);
	close(fd);
}

static void test_chosen_address(void **state)
{
	void *address = (void *)(uintptr_t)0x3f0000000000;
	struct luo_heap_options options = fixed;
	int fd = empty_memfd();
	struct luo_heap *heap;
	void *block;

	options.address = address;
	heap = open_with(fd, options);
	assert_int_equal(stat_of(heap).address, (uintptr_t)address);
	block = luo_heap_alloc(heap, 100);
	assert_in_range((uintptr_t)block, (uintptr_t)address, (uintptr_t)address + 64 * MIB);
	luo_heap_close(heap);
	close(fd);
}

/* Something else is there: nothing of it is unmapped, and the heap is as it was. */
static void assert_taken(int fd, uint64_t address, uint64_t taken, uint64_t size)
{
	uint8_t *there = mmap((void *)(uintptr_t)(address + taken), size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char text[32];

	assert_ptr_equal(there, (void *)(uintptr_t)(address + taken));
	memset(there, 7, size);
	assert_refused_with(fd, fixed, -EEXIST);
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	assert_non_null(strstr(luo_heap_problem(), text));
	assert_refused_with(
		fd, (struct luo_heap_options){ .max_size = 64 * MIB, .flags = LUO_HEAP_READ_ONLY },
		-EEXIST);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(there[i], 7);
	munmap(there, size);
}

static void test_taken(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_with(fd, fixed);
	uint64_t address = stat_of(heap).address;

	luo_heap_close(heap);
	assert_taken(fd, address, 0, 4096);
	assert_taken(fd, address, 64 * KIB, 64 * KIB);
	assert_taken(fd, address, 64 * MIB - 4096, 4096);
	luo_heap_close(open_with(fd, fixed));
	close(fd);
}

static void test_new_one_taken(void **state)
{
	struct luo_heap_options options = fixed;
	int fd = empty_memfd();
	void *there = mmap((void *)(uintptr_t)0x3e0000000000, 4096, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_not_equal(there, MAP_FAILED);
	options.address = there;
	assert_refused_with(fd, options, -EEXIST);
	munmap(there, 4096);
	luo_heap_close(open_with(fd, options));
	close(fd);
}

/* Two of them in one program do not get the same one. */
static void test_two(void **state)
{
	int fds[3];
	struct luo_heap *heaps[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = empty_memfd();
		heaps[i] = open_with(fds[i], fixed);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(stat_of(heaps[i]).address, stat_of(heaps[j]).address);
	}
	for (int i = 0; i < 3; i++)
		luo_heap_close(heaps[i]);
	for (int i = 2; i >= 0; i--)
		heaps[i] = open_with(fds[i], fixed);
	for (int i = 0; i < 3; i++)
		luo_heap_close(heaps[i]);
	close_many(fds, 3);
}

/* A heap that was made without stays without: its references do not need it. */
static void test_not_fixed_before(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap;

	luo_heap_close(open_heap(fd));
	assert_refused_with(fd, fixed, -EINVAL);
	heap = open_heap(fd);
	assert_int_equal(stat_of(heap).address, 0);
	luo_heap_close(heap);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_plain_pointers),
		HEAP_TEST(test_chosen_address),
		HEAP_TEST(test_taken),
		HEAP_TEST(test_new_one_taken),
		HEAP_TEST(test_two),
		HEAP_TEST(test_not_fixed_before),
	};

	return cmocka_run_group_tests_name("heap-address", tests, NULL, NULL);
}
