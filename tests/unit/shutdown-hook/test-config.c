/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* luo.conf: valid lines are applied; each invalid one causes one warning and changes nothing. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "shutdown-hook/config.h"
#include "tests/unit/helpers.h"

static char warnings[4096];
static size_t n_warnings;

static void warn(const char *text, void *userdata)
{
	size_t n = strlen(warnings);

	assert_ptr_equal(userdata, warnings);
	snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
	n_warnings++;
}

static struct config parse_n(const char *text, size_t size)
{
	struct config c;

	warnings[0] = 0;
	n_warnings = 0;
	config_parse("luo.conf", text, size, warn, warnings, &c);
	return c;
}

static struct config parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void assert_defaults(struct config c)
{
	assert_int_equal(c.deadline_usec, 30000000);
	assert_int_equal(c.harvest_timeout_usec, 10000000);
	assert_int_equal(c.on_failure, ON_FAILURE_CONTINUE);
}

static void test_good(void **state)
{
	struct config c =
		parse("# x\n; y\n\n[Shutdown]\nDeadline=45\n  HarvestTimeout = 1500ms \r\n"
		      "OnFailure=reboot");

	assert_string_equal(warnings, "");
	assert_int_equal(c.deadline_usec, 45000000);
	assert_int_equal(c.harvest_timeout_usec, 1500000);
	assert_int_equal(c.on_failure, ON_FAILURE_REBOOT);
	/* The last line wins. */
	c = parse("[Shutdown]\nDeadline=45\nDeadline=1min 5s\n");
	assert_int_equal(c.deadline_usec, 65000000);
	assert_defaults(parse(""));
	assert_string_equal(warnings, "");
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t usec;
	} table[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1000000 },
		{ "7us", 0, 7 },
		{ "2 min 3 s", 0, 123000000 },
		{ "1h1m1sec1ms", 0, UINT64_C(3661001000) },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1.5s", -EINVAL, 0 },
		{ "1 parsec", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 },
		{ "18446744073709551615us", 0, UINT64_MAX },
		{ "18446744073709551616us", -ERANGE, 0 },
		{ "18446744073709551615s", -ERANGE, 0 },
		{ "18446744073709551615us 1us", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		uint64_t usec = 0;

		assert_int_equal(config_parse_time(table[i].text, &usec), table[i].r);
		assert_int_equal(usec, table[i].usec);
	}
}

static void test_bad(void **state)
{
	assert_defaults(parse("Deadline=1\n[Shutdown]\nDeadline=soon\nDeadline=0\nDeadline=81s\n"
			      "OnFailure=Reboot\nFrob=1\nnothing\n[Other]\nDeadline=1\njunk\n"));
	assert_string_equal(
		warnings,
		"luo.conf:1: Deadline= is not in a section, ignoring\n"
		"luo.conf:3: Deadline=soon is not a time span such as 30s, 500ms or 1min, ignoring\n"
		"luo.conf:4: Deadline=0 is shorter than the minimum of 100ms, ignoring\n"
		"luo.conf:5: Deadline=81s is longer than the maximum of 80s, ignoring\n"
		"luo.conf:6: OnFailure=Reboot is neither \"continue\" nor \"reboot\", ignoring\n"
		"luo.conf:7: unknown setting Frob=, ignoring\n"
		"luo.conf:8: expected [SECTION] or NAME=VALUE, ignoring\n"
		"luo.conf:9: unknown section [Other], ignoring its settings\n");
}

/* An invalid line does not affect the valid ones. */
static void test_half_good(void **state)
{
	struct config c = parse("[Shutdown]\nDeadline=x\nHarvestTimeout=3\n");

	assert_int_equal(n_warnings, 1);
	assert_int_equal(c.deadline_usec, 30000000);
	assert_int_equal(c.harvest_timeout_usec, 3000000);
}

static void test_hostile(void **state)
{
	static const char nul[] = "[Shutdown]\nDead\0line=1\nHarvestTimeout=4\n";
	char *large = malloc(LUO_CONFIG_SIZE_MAX + 1);
	struct config c;

	c = parse_n(nul, sizeof(nul) - 1);
	assert_string_equal(warnings, "luo.conf:2: contains a NUL byte, ignoring\n");
	assert_int_equal(c.harvest_timeout_usec, 4000000);

	assert_defaults(parse("[Shutdown]\nFrob\x1b[2J\xff=1\n"));
	assert_string_equal(warnings, "luo.conf:2: unknown setting Frob?[2J?=, ignoring\n");

	assert_non_null(large);
	memset(large, 'x', LUO_CONFIG_SIZE_MAX + 1);
	assert_defaults(parse_n(large, LUO_CONFIG_SIZE_MAX));
	assert_int_equal(n_warnings, 1);
	assert_defaults(parse_n(large, LUO_CONFIG_SIZE_MAX + 1));
	assert_string_equal(warnings, "luo.conf: larger than 64 KiB, ignoring the whole file\n");
	/* A file of invalid lines does not fill the console. */
	memset(large, '\n', LUO_CONFIG_SIZE_MAX);
	for (size_t i = 0; i + 1 < LUO_CONFIG_SIZE_MAX; i += 2)
		large[i] = 'x';
	assert_defaults(parse_n(large, LUO_CONFIG_SIZE_MAX));
	assert_int_equal(n_warnings, 8);
	free(large);
}

static void test_files(void **state)
{
	char path[] = "/tmp/luo-config-XXXXXX", other[sizeof(path) + 5];
	int fd = mkstemp(path);
	struct config c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "[Shutdown]\nDeadline=5\n", 22), 22);
	warnings[0] = 0;
	n_warnings = 0;
	config_load(path, warn, warnings, &c);
	assert_int_equal(c.deadline_usec, 5000000);
	config_load("/nowhere/luo.conf", warn, warnings, &c);
	assert_defaults(c);
	assert_int_equal(n_warnings, 0);
	/* A FIFO without a writer must not block. */
	snprintf(other, sizeof(other), "%s.fifo", path);
	assert_int_equal(mkfifo(other, 0600), 0);
	config_load(other, warn, warnings, &c);
	assert_defaults(c);
	config_load("/tmp", warn, warnings, &c);
	assert_defaults(c);
	assert_int_equal(n_warnings, 2);
	close(fd);
	unlink(path);
	unlink(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_times),
		cmocka_unit_test(test_bad),     cmocka_unit_test(test_half_good),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
