/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The version of the header, of the library and of the build are the same; luo.h has every header.
 */

#include <dirent.h>
#include <luo/luo.h>

#include "tests/unit/helpers.h"

static void test_version(void **state)
{
	char text[32];

	snprintf(text, sizeof(text), "%d.%d.%d", LUO_VERSION_MAJOR, LUO_VERSION_MINOR,
		 LUO_VERSION_PATCH);
	assert_string_equal(luo_version(), text);
	assert_string_equal(luo_version(), LUO_VERSION);
}

/* Something of each header: this compiles only if luo.h includes it. */
static void test_everything(void **state)
{
	assert_non_null(luo_client_connect);
	assert_non_null(luo_fdstore_push);
	assert_non_null(luo_commit_new);
	assert_non_null(luo_heap_problem);
	assert_non_null(luo_fd_inspect);
	assert_non_null(luo_mapping_new);
	assert_non_null(luo_memfd_create);
	assert_non_null(luo_session_create);
	assert_non_null(luo_store_new);
}

static void test_no_header_is_missing(void **state)
{
	char path[4096], line[256], text[4096];
	struct dirent *entry;
	size_t n;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "%s/libluo/luo/luo.h", source_dir());
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	snprintf(path, sizeof(path), "%s/libluo/luo", source_dir());
	d = opendir(path);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t length = strlen(entry->d_name);

		if (length < 3 || !streq(entry->d_name + length - 2, ".h") ||
		    streq(entry->d_name, "luo.h"))
			continue;
		snprintf(line, sizeof(line), "#include <luo/%.200s>\n", entry->d_name);
		if (!strstr(text, line))
			fail_msg("luo/luo.h does not include %s", entry->d_name);
	}
	closedir(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_no_header_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
