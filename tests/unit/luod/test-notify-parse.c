/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The text of notifications. */

#include "tests/unit/helpers.h"
#include "tools/luod/notify-parse.h"

/* Exactly as much memory as the parser may touch. */
static int parse_bytes(const char *text, size_t size, struct notify_message *m, char **ret_buffer)
{
	char *buffer = malloc(size + 1);

	assert_non_null(buffer);
	memcpy(buffer, text, size);
	*ret_buffer = buffer;
	return notify_parse(buffer, size, m);
}

static void test_refused(void **state)
{
	char *big = malloc(NOTIFY_SIZE_MAX + 2), *buffer;
	struct notify_message m;

	assert_non_null(big);
	assert_int_equal(parse_bytes("READY=1\0FDSTORE=1", 17, &m, &buffer), -EBADMSG);
	free(buffer);
	memset(big, 'x', NOTIFY_SIZE_MAX + 1);
	assert_int_equal(notify_parse(big, NOTIFY_SIZE_MAX + 1, &m), -EMSGSIZE);
	assert_int_equal(notify_parse(big, NOTIFY_SIZE_MAX, &m), 0);
	assert_int_equal(m.bad, 1);
	free(big);
}

static void test_bad(void **state)
{
	static const char *const texts[] = {
		"FDSTORE=0",    "FDSTORE=",    "FDSTORE=yes",   "READY=2",
		"BARRIER=0",    "FDPOLL=",     "FDPOLL=2",      "MAINPID=",
		"MAINPID=0",    "MAINPID=-1",  "MAINPID=1x",    "MAINPID=99999999999999999999",
		"STATUS=a\x01", "STATUS=\xff", "no assignment", "FDSTOREREMOVE=x",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		struct notify_message m;
		char *buffer;

		assert_int_equal(parse_bytes(texts[i], strlen(texts[i]), &m, &buffer), 0);
		if (m.bad != 1)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_false(m.fdstore || m.fdstore_remove || m.ready || m.barrier || m.no_poll ||
			     m.mainpid || m.status);
		free(buffer);
	}
}

static void test_good(void **state)
{
	static const char text[] =
		"FDSTORE=1\nFDNAME=a b=c\nFDPOLL=0\nREADY=1\nSTATUS=gr\xc3\xbc\xc3\x9f\n"
		"MAINPID=123\n\nX_OTHER=1\nWATCHDOG=1\n";
	struct notify_message m;
	char *buffer;

	assert_int_equal(parse_bytes(text, sizeof(text) - 1, &m, &buffer), 0);
	assert_true(m.fdstore && m.no_poll && m.ready);
	assert_false(m.fdstore_remove || m.barrier || m.stopping);
	assert_string_equal(m.fdname, "a b=c");
	assert_string_equal(m.status, "gr\xc3\xbc\xc3\x9f");
	assert_int_equal(m.mainpid, 123);
	assert_int_equal(m.unknown, 2);
	assert_int_equal(m.bad, 0);
	free(buffer);
}

static void test_small(void **state)
{
	struct notify_message m;
	char *buffer;

	assert_int_equal(parse_bytes("", 0, &m, &buffer), 0);
	free(buffer);
	/* The NUL at the end is not an error. */
	assert_int_equal(parse_bytes("READY=1", 8, &m, &buffer), 0);
	assert_true(m.ready);
	free(buffer);
	assert_int_equal(parse_bytes("STATUS=", 7, &m, &buffer), 0);
	assert_string_equal(m.status, "");
	free(buffer);
	/* One bad assignment does not spoil the others. */
	assert_int_equal(parse_bytes("FDPOLL=9\nFDSTOREREMOVE=1\nFDNAME=x", 34, &m, &buffer), 0);
	assert_true(m.fdstore_remove);
	assert_int_equal(m.bad, 1);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
