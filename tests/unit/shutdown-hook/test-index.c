/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The index of units: what is refused first, then what is read. */

#include "tests/unit/helpers.h"
#include "shutdown-hook/index.h"

static void refused(const char *text, int error, const char *expected_reason)
{
	struct index index = { .n = UNTOUCHED };
	const char *reason = NULL;

	assert_int_equal(index_parse(text, strlen(text), &index, &reason), error);
	assert_int_equal(index.n, UNTOUCHED);
	assert_string_equal(reason, expected_reason);
}

static void test_refused(void **state)
{
	static const char *const versions[] = { "0", "2", "-1", "4294967297",
						"9223372036854775808" };

	refused("", -EBADMSG, "it ends too early");
	refused("{\"version\":1,\"units\":[", -EBADMSG, "it ends too early");
	refused("{\"version\":1,\"units\":[]}x", -EBADMSG, "a character that JSON does not have");
	refused("{\"version\":1,\"units\":[]} {}", -EBADMSG, "not JSON");
	refused("[]", -EBADMSG, "not an object with a version");
	refused("null ", -EBADMSG, "not an object with a version");
	refused("{\"units\":[]}", -EBADMSG, "not an object with a version");
	refused("{\"version\":\"1\",\"units\":[]}", -EBADMSG, "not an object with a version");
	refused("{\"version\":1.0,\"units\":[]}", -EBADMSG, "not an object with a version");
	refused("{\"version\":1}", -EBADMSG, "without a list of units");
	refused("{\"version\":1,\"units\":{}}", -EBADMSG, "without a list of units");
	refused("{\"version\":1,\"units\":null}", -EBADMSG, "without a list of units");
	refused("{\"version\":1,\"units\":[\"\xff\"]}", -EBADMSG, "not UTF-8");
	refused("{\"version\":1,\"units\":[[[[[[[[[]]]]]]]]]}", -E2BIG, "nested too deep");
	for (size_t i = 0; i < ELEMENTSOF(versions); i++) {
		char text[64];

		snprintf(text, sizeof(text), "{\"version\":%s,\"units\":[]}", versions[i]);
		refused(text, -EPROTONOSUPPORT, "of a version that is not known here");
	}
}

static void test_too_large(void **state)
{
	_cleanup_free_ char *text = malloc(INDEX_SIZE_MAX + 2);

	assert_non_null(text);
	memset(text, ' ', INDEX_SIZE_MAX + 1);
	text[INDEX_SIZE_MAX + 1] = '\0';
	refused(text, -E2BIG, "larger than 1 MiB");
	/* Three bytes of text that json-c makes a kilobyte of. */
	for (size_t i = 0; i + 3 < INDEX_SIZE_MAX; i += 3)
		memcpy(text + i, i == 0 ? "[[]" : ",{}", 3);
	text[INDEX_SIZE_MAX - 1] = ']';
	text[INDEX_SIZE_MAX] = '\0';
	refused(text, -E2BIG, "it would take too much memory");
}

static void read_ok(const char *text, struct index *ret)
{
	const char *reason;

	assert_int_equal(index_parse(text, strlen(text), ret, &reason), 0);
}

static void test_read(void **state)
{
	struct index index;

	read_ok("{\"version\":1,\"units\":[]}", &index);
	assert_int_equal(index.n, 0);
	index_done(&index);

	read_ok("{\"later\":[1],\"units\":[{\"name\":\"b.service\",\"native\":true,\"x\":{}},{\"name\":\"a@x\\\\x2dy.service\"},{\"name\":\"c.service\",\"native\":1}],\"version\":1,\"report\":{\"problems\":[\"\\u0000\"]}}\n",
		&index);
	assert_int_equal(index.n, 3);
	assert_int_equal(index.skipped, 0);
	assert_string_equal(index.units[0].name, "a@x\\x2dy.service");
	assert_false(index.units[0].native);
	assert_string_equal(index.units[1].name, "b.service");
	assert_true(index.units[1].native);
	assert_string_equal(index.units[2].name, "c.service");
	assert_false(index.units[2].native);
	index_done(&index);
}

/* One that makes no sense does no harm to the others. */
static void test_skipped(void **state)
{
	struct index index;

	read_ok("{\"version\":1,\"units\":[7,null,{},{\"name\":7},{\"name\":\"\"},{\"name\":\"../../etc.service\"},{\"name\":\"a.socket\"},{\"name\":\"a.service\\u0000.service\"},{\"name\":\"a\\n.service\"},{\"name\":\"ok.service\"}]}",
		&index);
	assert_int_equal(index.n, 1);
	assert_int_equal(index.skipped, 9);
	assert_string_equal(index.units[0].name, "ok.service");
	index_done(&index);

	/* Said twice: PID 1 would have to be right both times. */
	read_ok("{\"version\":1,\"units\":[{\"name\":\"a.service\",\"native\":true},{\"name\":\"a.service\"}]}",
		&index);
	assert_int_equal(index.n, 1);
	assert_int_equal(index.skipped, 1);
	assert_false(index.units[0].native);
	index_done(&index);
}

static void test_many(void **state)
{
	size_t size = 64 * (INDEX_UNITS_MAX + 100), n = 0;
	_cleanup_free_ char *text = malloc(size);
	struct index index;

	assert_non_null(text);
	for (unsigned i = 0; i < INDEX_UNITS_MAX + 100; i++)
		n += (size_t)snprintf(text + n, size - n, "u%u.service\n", i);
	assert_int_equal(index_parse_list(text, n, &index), 0);
	assert_int_equal(index.n, INDEX_UNITS_MAX);
	assert_int_equal(index.skipped, 100);
	index_done(&index);
}

static void test_list(void **state)
{
	static const char text[] = "b.service\n\n/x.service\na.service\nb.service\n"
				   "c.service\0.service\nlast.service";
	struct index index;

	assert_int_equal(index_parse_list(text, sizeof(text) - 1, &index), 0);
	assert_int_equal(index.n, 3);
	assert_int_equal(index.skipped, 3);
	assert_string_equal(index.units[0].name, "a.service");
	assert_string_equal(index.units[1].name, "b.service");
	assert_string_equal(index.units[2].name, "last.service");
	index_done(&index);
	assert_int_equal(index_parse_list("", 0, &index), 0);
	assert_int_equal(index.n, 0);
}

static void test_names(void **state)
{
	static const char *const good[] = {
		"a.service",          "a-b.service",          "-a.service",
		"a@b.service",        "a@b-.service.service", "a:b_c\\x2d.service",
		"a@-.service.service"
	};
	static const char *const bad[] = { "",
					   ".service",
					   "service",
					   "a",
					   "a.servic",
					   "a.socket",
					   "a@.service",
					   "@a.service",
					   "a-.service",
					   "..service",
					   "a/b.service",
					   "a b.service",
					   "a\n.service",
					   "\xc3\xa4.service" };
	char name[300];

	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		if (!index_name_is_ok(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (index_name_is_ok(bad[i]))
			fail_msg("%s", bad[i]);
	memset(name, 'a', sizeof(name));
	strcpy(name + 245, ".service");
	assert_true(index_name_is_ok(name));
	memset(name, 'a', sizeof(name));
	strcpy(name + 246, ".service");
	assert_false(index_name_is_ok(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_read),    cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_many),    cmocka_unit_test(test_list),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
