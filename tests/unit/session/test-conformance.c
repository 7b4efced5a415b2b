/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The fake does what the kernel does: the tests of tests/conformance, on the fake.
 */

#include <errno.h>

#include "tests/conformance/conformance.h"
#include "tests/fake/fake-luo.h"
#include "tests/unit/helpers.h"

static void run_both_parts(void)
{
	struct fake_luo_stats stats;

	umask(0);
	assert_int_equal(conformance_before(true), 0);
	fake_luo_kexec();
	conformance_release();
	assert_int_equal(conformance_after(true), 0);
	fake_luo_stats(&stats);
	assert_int_equal(stats.outgoing, 0);
	assert_int_equal(stats.incoming, 0);
	assert_int_equal(stats.files, 0);
	assert_int_equal(stats.bytes, 0);
	assert_int_equal(stats.fds, 0);
}

static void test_fake_is_like_the_kernel(void **state)
{
	fake_luo_install();
	run_both_parts();
	fake_luo_uninstall();
}

static void test_fake_is_like_a_kernel_before_7_2(void **state)
{
	fake_luo_install();
	fake_luo_set_file_limit(128);
	fake_luo_set_get_name_error(EINVAL);
	run_both_parts();
	fake_luo_uninstall();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake_is_like_the_kernel),
		cmocka_unit_test(test_fake_is_like_a_kernel_before_7_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
