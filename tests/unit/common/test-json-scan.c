/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * JSON is what RFC 8259 says, whichever json-c is installed: its versions differ in what they take,
 * with and without JSON_TOKENER_STRICT.
 */

#include <json-c/json.h>

#include "common/json-scan.h"
#include "common/json.h"
#include "tests/unit/helpers.h"

static const struct json_limits limits = { .depth = 8, .memory = 1 << 20 };

static int parse(const char *text, struct json_object **ret, const char **ret_reason)
{
	size_t position;

	return json_parse_limited(text, strlen(text), &limits, ret, ret_reason, &position);
}

static void test_taken(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		" \t\r\n{ } \n",
		"[true,false,null]",
		"[true , false , null ]",
		"[0,-0,1,-1,10,0.5,-0.25,1e3,1E+3,1e-3,1.5e10]",
		"[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u0000\"]",
		/* in any place of a string */
		"[\"\xc3\xa4\",\"x\xc3\xa4x\",\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\",\"\x7f\"]",
		"{\"\xc3\xa4\":{\"\xe2\x82\xac\":\"\xc3\xa4\"}}",
		/* beyond 64 bits: what the value is about is skipped, not the document */
		"[18446744073709551615,18446744073709551616,-9223372036854775809]",
		"[99999999999999999999999,-99999999999999999999999,1e999]",
		"[[[[[[[[]]]]]]]]",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		_cleanup_json_ struct json_object *o = NULL;
		const char *reason = "";

		if (parse(texts[i], &o, &reason) < 0)
			fail_msg("%s: %s", texts[i], reason);
		assert_non_null(o);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} bad[] = {
		{ "", "it ends too early" },
		{ "{", "it ends too early" },
		{ "[1", "it ends too early" },
		{ "[1,", "it ends too early" },
		{ "{\"a\":1,", "it ends too early" },
		{ "[\"a", "a string without an end" },
		{ "[tru", "a word that JSON does not have" },
		{ "[truE]", "a word that JSON does not have" },
		{ "[nulll]", "a word that JSON does not have" },
		{ "[nan]", "a word that JSON does not have" },
		{ "[TRUE]", "a character that JSON does not have" },
		{ "[NaN]", "a character that JSON does not have" },
		{ "[Infinity]", "a character that JSON does not have" },
		{ "[-Infinity]", "a number that is cut off" },
		{ "[+1]", "a character that JSON does not have" },
		{ "[.5]", "a character that JSON does not have" },
		{ "['a']", "a character that JSON does not have" },
		{ "/**/{}", "a character that JSON does not have" },
		{ "[-]", "a number that is cut off" },
		{ "[1.]", "a number that is cut off" },
		{ "[1.e3]", "a number that is cut off" },
		{ "[1e]", "a number that is cut off" },
		{ "[1e+]", "a number that is cut off" },
		{ "[01]", "a number that begins with 0" },
		{ "[-00]", "a number that begins with 0" },
		{ "[1.2.3]", "not a number" },
		{ "[1-2]", "not a number" },
		{ "[1true]", "not a number" },
		{ "{1:2}", "not a number" },
		{ "[1,]", "a comma with nothing after it" },
		{ "[1, ]", "a comma with nothing after it" },
		{ "{\"a\":1,\n}", "a comma with nothing after it" },
		{ "[1,,2]", "not JSON" },
		{ "[,1]", "not JSON" },
		{ "[,]", "a comma with nothing after it" },
		{ "[1 2]", "not JSON" },
		{ "{\"a\" 1}", "not JSON" },
		{ "{\"a\":}", "not JSON" },
		{ "[1}", "not JSON" },
		{ "{}]", "a bracket too many" },
		{ "{}{}", "not JSON" },
		{ "{} 1", "not JSON" },
		{ "[\"a\x01\"]", "a control character in a string" },
		{ "[\"\xc3\"]", "not UTF-8" },
		{ "[\"\\x\"]", "not JSON" },
		{ "[\xc3\xa4]", "a character that JSON does not have" },
		{ "{\"a\\u0000\":1}", "a key with a NUL in it" },
		{ "[[[[[[[[[]]]]]]]]]", "nested too deep" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		struct json_object *o = (void *)1;
		const char *reason = "";
		int r = parse(bad[i].text, &o, &reason);

		if (r != -EBADMSG && r != -E2BIG)
			fail_msg("%s: %d", bad[i].text, r);
		if (strcmp(reason, bad[i].reason) != 0)
			fail_msg("%s: %s, expected %s", bad[i].text, reason, bad[i].reason);
		assert_ptr_equal(o, (void *)1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("json-scan", tests, NULL, NULL);
}
