/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Numbers and texts for people, and the small parsers of luoctl. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tools/luoctl/abi.h"
#include "tools/luoctl/cmdline.h"
#include "common/escape.h"
#include "common/format.h"
#include "tools/luoctl/text.h"
#include "common/util.h"

static void test_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 10188, "9.9 KiB" },
		{ 10189, "10 KiB" },
		{ 1047552, "1023 KiB" },
		{ 1048063, "1023 KiB" },
		{ 1048064, "1.0 MiB" },
		{ UINT64_C(5) << 30, "5.0 GiB" },
		{ UINT64_MAX, "16 EiB" },
	};
	char buffer[FORMAT_MAX];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(format_size(buffer, cases[i].bytes), cases[i].text);
}

static void test_usec(void **state)
{
	static const struct {
		uint64_t usec;
		const char *text;
	} cases[] = {
		{ 0, "0 us" },
		{ 999, "999 us" },
		{ 1000, "1.0 ms" },
		{ 9949, "9.9 ms" },
		{ 9950, "10 ms" },
		{ 999499, "999 ms" },
		{ 999500, "1.0 s" },
		{ 59400000, "59.4 s" },
		{ 60000000, "1min" },
		{ 65000000, "1min 5s" },
		{ UINT64_C(3600000000), "1h" },
		{ UINT64_C(3720000000), "1h 2min" },
		{ UINT64_C(90000000000), "1d 1h" },
		{ UINT64_MAX, "213503982d 8h" },
	};
	char buffer[FORMAT_MAX];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(format_usec(buffer, cases[i].usec), cases[i].text);
}

static void test_age(void **state)
{
	uint64_t now = now_usec(CLOCK_REALTIME), s = USEC_PER_SEC;
	char buffer[FORMAT_MAX];

	assert_string_equal(format_age(buffer, now + 100 * s), "0s");
	assert_string_equal(format_age(buffer, now - 7 * s), "7s");
	assert_string_equal(format_age(buffer, now - 3599 * s), "59min");
	assert_string_equal(format_age(buffer, now - 86399 * s), "23h");
	assert_string_equal(format_age(buffer, now - 86400 * 400 * s), "400d");
}

static void test_escape(void **state)
{
	_cleanup_free_ char *a = escape("plain ~text\\"), *b = escape("\x1b[2J\n\t\r\x7f\xc3\xa4");

	assert_string_equal(a, "plain ~text\\");
	assert_string_equal(b, "\\x1b[2J\\n\\t\\r\\x7f\\xc3\\xa4");
}

static void test_text_is_safe(void **state)
{
	assert_true(text_is_safe("", 0));
	assert_true(text_is_safe("a\tb\n\xc3\xa4\xe2\x82\xac", 9));
	assert_false(text_is_safe("\0", 1));
	assert_false(text_is_safe("\x1b[m", 3));
	assert_false(text_is_safe("\x9b", 1));
	assert_false(text_is_safe("a\xc2\x9b", 3));
}

static void test_cmdline(void **state)
{
	static const struct {
		const char *cmdline;
		bool on, if_missing;
	} cases[] = {
		{ "", false, true },
		{ "a=on", true, true },
		{ "b a=1 c", true, true },
		{ "a=On\n", true, true },
		{ "a=y a=off", false, false },
		{ "a=off a=true", true, true },
		{ "ab=on", false, true },
		{ "a", false, true },
		{ "a=", false, false },
		{ "x=\"q a=on\"", false, true },
		{ "x=\"q\" a=on", true, true },
		{ "a=o", false, false },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		assert_int_equal(cmdline_is_on(cases[i].cmdline, "a", false), cases[i].on);
		assert_int_equal(cmdline_is_on(cases[i].cmdline, "a", true), cases[i].if_missing);
	}
}

static void test_cmdline_reuse(void **state)
{
	_cleanup_free_ char *a = cmdline_reuse(" BOOT_IMAGE=/v a  b=\"c  d\"\n", NULL);
	_cleanup_free_ char *b = cmdline_reuse("a", "b  c"), *c = cmdline_reuse("", "b");
	_cleanup_free_ char *d = cmdline_reuse("\n", "");

	assert_string_equal(a, "a b=\"c  d\"");
	assert_string_equal(b, "a b  c");
	assert_string_equal(c, "b");
	assert_string_equal(d, "");
}

static void test_abi(void **state)
{
	static const char text[] =
		"luo-v5\0kho-v4\0xluo-v7\0luo-v\0luo-v5\0luo-session-v12\0luov5\0luo-V5\0memfd-v2x\0luo-v1 \0not luo-v3";
	struct abi abi = { 0 };

	abi_scan(&abi, text, sizeof(text));
	assert_int_equal(abi.n, 3);
	assert_string_equal(abi.strings[0], "luo-v5");
	assert_string_equal(abi.strings[1], "kho-v4");
	assert_string_equal(abi.strings[2], "luo-session-v12");
	assert_string_equal(abi_find(&abi, "luo-v6"), "luo-v5");
	assert_string_equal(abi_find(&abi, "luo-session-v1"), "luo-session-v12");
	assert_null(abi_find(&abi, "memfd-v2"));

	/* in a struct, behind a pointer */
	abi_scan(&abi, "\x82\x81\xff\xff\xff\xffmemfd-v2", 15);
	assert_string_equal(abi_find(&abi, "memfd-v1"), "memfd-v2");

	/* at the very end, without the NUL */
	abi.n = 0;
	abi_scan(&abi, "\0luo-v5", 7);
	assert_int_equal(abi.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),          cmocka_unit_test(test_usec),
		cmocka_unit_test(test_age),           cmocka_unit_test(test_escape),
		cmocka_unit_test(test_text_is_safe),  cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_cmdline_reuse), cmocka_unit_test(test_abi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
