/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tests/unit/memfd/fixture.h"

static void test_create_refused(void **state)
{
	char name[251];

	assert_int_equal(luo_memfd_create(NULL, NULL), -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = 1 << 20 }, -EINVAL);
	assert_create((struct luo_memfd_options){ .seals = 1 << 20 }, -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = LUO_MEMFD_EXEC | LUO_MEMFD_NOEXEC_SEAL },
		      -EINVAL);
	assert_create((struct luo_memfd_options){ .size = UINT64_MAX }, -EFBIG);
	memset(name, 'x', sizeof(name));
	name[250] = '\0';
	assert_create((struct luo_memfd_options){ .name = name }, -EINVAL);
	name[249] = '\0';
	close(create((struct luo_memfd_options){ .name = name }));
}

static void test_create_default(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *name = NULL;

	assert_int_equal(luo_memfd_create(NULL, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(status(fd).st_mode, S_IFREG | 0666);
	assert_int_equal(status(fd).st_size, 0);
	assert_int_equal(seals_of(fd), 0);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, "luo");
}

static void test_create_size_and_seals(void **state)
{
	_cleanup_close_ int fd =
		create((struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
						   .name = "sized",
						   .size = 5000,
						   .seals = F_SEAL_GROW | F_SEAL_SHRINK });
	uint64_t size;

	assert_int_equal(luo_memfd_get_size(fd, &size), 0);
	assert_int_equal(size, 5000);
	assert_int_equal(status(fd).st_blocks, 0);
	assert_int_equal(seals_of(fd), F_SEAL_GROW | F_SEAL_SHRINK);
	assert_int_equal(ftruncate(fd, 1), -1);
}

static void test_create_without_sealing(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = "x" });

	assert_int_equal(seals_of(fd), F_SEAL_SEAL);
	assert_int_equal(luo_memfd_add_seals(fd, F_SEAL_GROW), -EPERM);
}

static void test_create_exec(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .flags = LUO_MEMFD_EXEC });

	assert_int_equal(status(fd).st_mode, S_IFREG | 0777);
}

static void test_create_noexec(void **state)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options),
					     .flags = LUO_MEMFD_NOEXEC_SEAL };
	_cleanup_close_ int fd = -EBADF;
	int r = luo_memfd_create(&options, &fd);

	if (r == -EINVAL) /* before 6.3 */
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(status(fd).st_mode, S_IFREG | 0666);
	assert_int_equal(seals_of(fd), F_SEAL_EXEC);
}

static void test_create_without_cloexec(void **state)
{
	_cleanup_close_ int fd =
		create((struct luo_memfd_options){ .flags = LUO_MEMFD_NO_CLOEXEC });

	assert_int_equal(fcntl(fd, F_GETFD), 0);
}

static void test_create_with_every_seal(void **state)
{
	for (unsigned seal = LUO_SEAL_SEAL; seal <= LUO_SEAL_EXEC; seal <<= 1) {
		struct luo_memfd_options o = { .struct_size = sizeof(o),
					       .size = 10,
					       .seals = seal };
		int fd = UNTOUCHED, r = luo_memfd_create(&o, &fd);

		if (r == -EINVAL && seal == LUO_SEAL_EXEC) /* before 6.3 */
			continue;
		assert_int_equal(r, 0);
		assert_int_equal(seals_of(fd), seal);
		close(fd);
	}
	assert_create((struct luo_memfd_options){ .seals = LUO_SEAL_GROW | 1U << 31 }, -EINVAL);
}

static void test_create_allocated(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){
		.struct_size = sizeof(struct luo_memfd_options),
		.size = MIB,
		.flags = LUO_MEMFD_PREALLOCATE | LUO_MEMFD_ALLOW_SEALING });
	_cleanup_close_ int huge =
		create((struct luo_memfd_options){ .size = 4 * MIB, .flags = LUO_MEMFD_HUGEPAGE });

	assert_int_equal(status(fd).st_blocks * 512, MIB);
	assert_int_equal(status(huge).st_blocks * 512, 4 * MIB);
	close(create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGEPAGE })); /* empty */
	/* More than there is: an error, not a killed process. */
	assert_create((struct luo_memfd_options){ .size = INT64_MAX - 4095,
						  .flags = LUO_MEMFD_PREALLOCATE },
		      -ENOMEM);
	assert_create(
		(struct luo_memfd_options){ .size = INT64_MAX - 4095, .flags = LUO_MEMFD_HUGEPAGE },
		-ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_refused),
		TEST(test_create_default),
		TEST(test_create_size_and_seals),
		TEST(test_create_without_sealing),
		TEST(test_create_exec),
		TEST(test_create_noexec),
		TEST(test_create_allocated),
		TEST(test_create_without_cloexec),
		TEST(test_create_with_every_seal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
