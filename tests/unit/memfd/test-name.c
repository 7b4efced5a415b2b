/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <luo/session.h>

#include "tests/fake/fake-luo.h"
#include "tests/unit/memfd/fixture.h"

/* An unlinked file on tmpfs whose name looks like that of a memfd. */
static int decoy(void)
{
	int fd = open("/dev/shm/memfd:decoy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink("/dev/shm/memfd:decoy");
	return fd;
}

static void test_name_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), file = decoy();
	char *name = NULL;

	assert_int_equal(luo_memfd_get_name(-1, &name), -EBADF);
	assert_int_equal(luo_memfd_get_name(null, &name), -ENOTTY);
	assert_int_equal(luo_memfd_get_name(null, NULL), -EINVAL);
	assert_int_equal(luo_fd_is_memfd(-1), -EBADF);
	assert_int_equal(luo_fd_is_memfd(null), 0);
	if (file >= 0) {
		assert_int_equal(luo_memfd_get_name(file, &name), -ENOTTY);
		assert_int_equal(luo_fd_is_memfd(file), 0);
	}
	assert_null(name);
}

static void assert_name(const char *expected)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = expected });
	_cleanup_free_ char *name = NULL;

	assert_int_equal(luo_fd_is_memfd(fd), 1);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, expected);
}

static void test_names(void **state)
{
	assert_name("a");
	assert_name("");
	assert_name("with space / slash");
	assert_name("x (deleted)");
	assert_name("/memfd:x");
}

static void test_restored_memfd_has_no_name(void **state)
{
	_cleanup_close_ int device = -EBADF, old = -EBADF, session = -EBADF, fd = -EBADF,
			    back = -EBADF;
	_cleanup_free_ char *name = NULL;

	fake_luo_install();
	fd = create((struct luo_memfd_options){ .name = "x" });
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "s", &old), 0);
	assert_int_equal(luo_session_preserve_fd(old, fd, 1), 0);
	fake_luo_kexec();
	device = safe_close(device);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_retrieve(device, "s", &session), 0);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &back), 0);
	assert_int_equal(luo_fd_is_memfd(back), 1);
	assert_int_equal(luo_memfd_get_name(back, &name), 0);
	assert_string_equal(name, "");
	fake_luo_uninstall();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_name_refused),
		TEST(test_names),
		TEST(test_restored_memfd_has_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
