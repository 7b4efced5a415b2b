/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* common/runtime-dir.c: the one place that reads $LUO_RUNTIME_DIR. */

#include "common/runtime-dir.h"

#include <luo/client.h>

#include "tests/unit/helpers.h"

static void test_default(void **state)
{
	unsetenv("LUO_RUNTIME_DIR");
	assert_string_equal(runtime_dir(), LUO_RUNTIME_DIR);
	setenv("LUO_RUNTIME_DIR", "", 1);
	assert_string_equal(runtime_dir(), LUO_RUNTIME_DIR);
}

static void test_environment(void **state)
{
	_cleanup_free_ char *path = NULL;

	setenv("LUO_RUNTIME_DIR", "/tmp/x", 1);
	assert_string_equal(runtime_dir(), "/tmp/x");
	assert_int_equal(runtime_path("io.luo", &path), 0);
	assert_string_equal(path, "/tmp/x/io.luo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
