/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/unit/memfd/fixture.h"

static size_t pools(struct luo_hugetlb_pool list[LUO_HUGETLB_POOLS_MAX])
{
	size_t n = UNTOUCHED;

	assert_int_equal(luo_hugetlb_pools(list, &n), 0);
	assert_in_range(n, 0, LUO_HUGETLB_POOLS_MAX);
	return n;
}

static void test_pools(void **state)
{
	struct luo_hugetlb_pool list[LUO_HUGETLB_POOLS_MAX];
	size_t n, defaults = 0;

	assert_int_equal(luo_hugetlb_pools(NULL, &n), -EINVAL);
	assert_int_equal(luo_hugetlb_pools(list, NULL), -EINVAL);
	n = pools(list);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || list[i - 1].size < list[i].size);
		assert_int_equal(list[i].size & (list[i].size - 1), 0);
		assert_true(list[i].free <= list[i].pages);
		defaults += list[i].is_default;
	}
	assert_int_equal(defaults, n > 0);
}

static void assert_size(const char *text, uint64_t size)
{
	uint64_t parsed = UNTOUCHED;
	char buffer[24];

	assert_string_equal(luo_hugetlb_size_to_string(size, buffer), text);
	assert_int_equal(luo_hugetlb_size_from_string(text, &parsed), 0);
	assert_int_equal(parsed, size);
}

static void test_sizes_as_text(void **state)
{
	char buffer[24];

	assert_size("512", 512);
	assert_size("64K", 65536);
	assert_size("2M", 2 * MIB);
	assert_size("512M", 512 * MIB);
	assert_size("1G", 1024 * MIB);
	assert_size("16G", 16384 * MIB);
	assert_size("8E", UINT64_C(1) << 63);
	assert_string_equal(luo_hugetlb_size_to_string(0, buffer), "0");
	assert_string_equal(luo_hugetlb_size_to_string(UINT64_MAX, buffer), "18446744073709551615");
	assert_string_equal(luo_hugetlb_size_to_string(3 * MIB, buffer), "3M");
}

static void test_sizes_from_text(void **state)
{
	static const char *const wrong[] = { "",
					     "M",
					     "3M",
					     "0",
					     "-2M",
					     " 2M",
					     "2M ",
					     "2Mi",
					     "2X",
					     "2MM",
					     "16E",
					     "2 M",
					     "18446744073709551616" };
	uint64_t size = UNTOUCHED;

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
		assert_int_equal(luo_hugetlb_size_from_string(wrong[i], &size), -EINVAL);
	assert_int_equal(luo_hugetlb_size_from_string(NULL, &size), -EINVAL);
	assert_int_equal(luo_hugetlb_size_from_string("2M", NULL), -EINVAL);
	assert_int_equal(size, UNTOUCHED);
	assert_int_equal(luo_hugetlb_size_from_string("2048kB", &size), 0);
	assert_int_equal(size, 2 * MIB);
	assert_int_equal(luo_hugetlb_size_from_string("1GiB", &size), 0);
	assert_int_equal(size, 1024 * MIB);
	assert_int_equal(luo_hugetlb_size_from_string("2097152", &size), 0);
	assert_int_equal(size, 2 * MIB);
}

static void test_size_that_there_is_not(void **state)
{
	struct luo_hugetlb_pool list[LUO_HUGETLB_POOLS_MAX];

	if (pools(list) == 0)
		skip();
	assert_create(
		(struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB, .hugetlb_size = 4096 },
		-ENODEV);
	assert_create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB,
						  .hugetlb_size = UINT64_C(1) << 63 },
		      -ENODEV);
}

/* More pages than the pool has may be made when they are wanted. */
static bool overcommits(uint64_t size)
{
	char path[128], c = '0';
	int fd;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_overcommit_hugepages",
		 (unsigned long long)size / 1024);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		assert_int_equal(read(fd, &c, 1), 1);
		close(fd);
	}
	return c != '0';
}

/* Of each size: what is there, one page more than there is, and what is no multiple. */
static void test_every_size(void **state)
{
	struct luo_hugetlb_pool list[LUO_HUGETLB_POOLS_MAX];
	size_t n = pools(list);

	for (size_t i = 0; i < n; i++) {
		struct luo_memfd_options o = { .flags = LUO_MEMFD_HUGETLB,
					       .hugetlb_size = list[i].size };
		_cleanup_close_ int fd = create(o);

		assert_int_equal(luo_fd_is_memfd(fd), 1);
		assert_int_equal(status(fd).st_blksize, list[i].size);
		o.size = list[i].size / 2;
		assert_create(o, -EINVAL);
		if (overcommits(list[i].size))
			continue;
		o.size = list[i].size * (list[i].free + 2);
		assert_create(o, -ENOMEM);
	}
}

static void test_memory_is_reserved(void **state)
{
	struct luo_hugetlb_pool list[LUO_HUGETLB_POOLS_MAX], after[LUO_HUGETLB_POOLS_MAX];
	size_t n = pools(list), i = 0, size;
	_cleanup_close_ int fd = -EBADF;
	void *p;

	while (i < n && (list[i].free == 0 || list[i].size > 64 * MIB))
		i++;
	if (i == n)
		skip();
	fd = create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB,
						.hugetlb_size = list[i].size,
						.size = list[i].size,
						.seals = LUO_SEAL_SHRINK });
	assert_int_equal(pools(after), n);
	assert_int_equal(after[i].free, list[i].free - 1);
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, &p, &size), 0);
	memset(p, 'x', size);
	munmap(p, size);
	assert_text_at(fd, "xxxx", (off_t)list[i].size - 4);
	close(fd);
	fd = create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB | LUO_MEMFD_PREALLOCATE,
						.hugetlb_size = list[i].size,
						.size = list[i].size });
	assert_int_equal(allocated(fd), list[i].size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pools),           TEST(test_sizes_as_text),
		TEST(test_sizes_from_text), TEST(test_size_that_there_is_not),
		TEST(test_every_size),      TEST(test_memory_is_reserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
