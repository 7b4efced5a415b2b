/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The fake does what the kernel does: the tests of tests/conformance, on the fake.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "conformance/conformance.h"
#include "fake-luo.h"

static void test_fake_is_like_the_kernel(void **state)
{
	struct fake_luo_stats stats;

	fake_luo_install();
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
	fake_luo_uninstall();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake_is_like_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
