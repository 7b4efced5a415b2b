/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* common/json.c: documents are complete, or known not to be. */

#include "common/json.h"

#include "tests/fake/json-memory.h"
#include "tests/unit/helpers.h"

static struct json_object *build(void)
{
	struct json_object *o =
		json_strings("unit", "a.service", "absent", NULL, "name", "ram", NULL);
	struct json_object *list = json_object_new_array(), *inner = json_object_new_object();

	json_add_number(o, "n", 7);
	json_add_number(o, "large", UINT64_MAX);
	json_add_bool(o, "dryRun", true);
	json_add_null(o, "null");
	json_add_utf8(o, "odd", "\xff");
	json_append_string(list, "x");
	json_add_string(inner, "key", "value");
	json_append(list, inner);
	json_add(o, "list", list);
	return o;
}

static const char whole[] =
	"{\"unit\":\"a.service\",\"name\":\"ram\",\"n\":7,\"large\":9223372036854775807,\"dryRun\":true,\"null\":null,\"odd\":\"?\",\"list\":[\"x\",{\"key\":\"value\"}]}";

static void test_build(void **state)
{
	struct json_object *o;

	json_memory_fail_at(0);
	o = build();
	assert_true(json_is_complete(o));
	assert_string_equal(json_to_text(o), whole);
	json_object_put(o);
	assert_false(json_is_complete(NULL));
	assert_null(json_to_text(NULL));
}

/* Whichever allocation fails, nothing that lacks a member is taken for a whole document. */
static void test_no_memory(void **state)
{
	unsigned n;

	for (n = 1;; n++) {
		struct json_object *o;

		json_memory_fail_at(n);
		o = build();
		if (!json_memory_failed()) {
			json_object_put(o);
			break;
		}
		assert_false(json_is_complete(o));
		assert_null(json_to_text(o));
		json_object_put(o);
	}
	json_memory_fail_at(0);
	/* Two objects, an array, seven values, eleven members. */
	assert_in_range(n, 20, 40);
}

static void test_read(void **state)
{
	struct json_object *o =
		json_parse("{\"s\":\"text\",\"i\":-3,\"b\":true,\"a\":[\"x\",1,\"y\"],\"n\":null}");
	_cleanup_free_ char *joined = NULL;
	int64_t i = 5;

	assert_string_equal(json_string(o, "s"), "text");
	assert_null(json_string(o, "i"));
	assert_null(json_string(o, "n"));
	assert_int_equal(json_int(o, "i"), -3);
	assert_int_equal(json_number(o, "i"), 0);
	assert_int_equal(json_int(o, "s"), 0);
	assert_true(json_get_int(o, "i", &i));
	assert_int_equal(i, -3);
	assert_false(json_get_int(o, "none", &i));
	assert_int_equal(i, -3);
	assert_true(json_true(o, "b"));
	assert_false(json_true(o, "s"));
	assert_int_equal(json_length(json_child(o, "a")), 3);
	assert_int_equal(json_length(json_child(o, "s")), 0);
	assert_null(json_at(json_child(o, "a"), 3));
	joined = json_join(json_child(o, "a"));
	assert_string_equal(joined, "x, 1, y");
	assert_null(json_child(NULL, "a"));
	assert_null(json_string(json_child(o, "a"), "s"));
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
