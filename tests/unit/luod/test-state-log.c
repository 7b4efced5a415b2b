/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The state log: cut, damaged and hostile logs first; then a log gives the state back. */

#include <json-c/json.h>

#include "tests/unit/helpers.h"
#include "tools/luod/state-apply.h"
#include "tools/luod/state-record.h"

static int count(struct json_object *record, void *userdata)
{
	(*(unsigned *)userdata)++;
	return 0;
}

static void put(struct state_log *log, const char *json)
{
	assert_int_equal(state_log_append(log, json, strlen(json)), 0);
}

static struct state_log new_log(void)
{
	struct state_log log;

	assert_int_equal(state_log_create(&log), 0);
	return log;
}

static struct state_log_report read_log(struct state_log *log, unsigned *n)
{
	struct state_log_report report;
	struct state_log again;

	*n = 0;
	assert_int_equal(state_log_open(log->fd, count, n, &again, &report), 0);
	assert_int_equal(again.end, report.end);
	return report;
}

/* Any part may be missing at the end: the records before it are read, and writing continues there.
 */
static void test_cut(void **state)
{
	struct state_log log = new_log(), again;
	struct state_log_report report;
	uint64_t two, three;
	unsigned n;

	put(&log, "{\"a\":1}");
	put(&log, "{\"a\":2}");
	two = log.end;
	put(&log, "{\"a\":3}");
	three = log.end;
	for (uint64_t size = three - 1; size > two; size--) {
		assert_int_equal(ftruncate(log.fd, (off_t)size), 0);
		report = read_log(&log, &n);
		assert_int_equal(n, 2);
		assert_int_equal(report.end, two);
		assert_int_equal(report.cut, size - two);
		assert_int_equal(report.damaged, 0);
		/* It was cut off, so write it again for the next round. */
		log.end = two;
		put(&log, "{\"a\":3}");
	}
	assert_int_equal(ftruncate(log.fd, (off_t)two + 3), 0);
	n = 0;
	assert_int_equal(state_log_open(log.fd, count, &n, &again, &report), 0);
	put(&again, "{\"a\":4}");
	report = read_log(&again, &n);
	assert_int_equal(n, 3);
	assert_int_equal(report.cut, 0);
	state_log_close(&log);
}

/* Any single wrong byte: its line is skipped, the others are read. */
static void test_damaged(void **state)
{
	struct state_log log = new_log();
	struct state_log_report report;
	uint64_t one, two;
	unsigned n;

	put(&log, "{\"a\":1}");
	one = log.end;
	put(&log, "{\"a\":2}");
	two = log.end;
	put(&log, "{\"a\":3}");
	for (uint64_t at = one; at < two; at++) {
		char byte, wrong;

		assert_int_equal(pread(log.fd, &byte, 1, (off_t)at), 1);
		wrong = byte ^ 1;
		assert_int_equal(pwrite(log.fd, &wrong, 1, (off_t)at), 1);
		report = read_log(&log, &n);
		/* A broken line end damages the next line too. */
		assert_int_equal(n, at == two - 1 ? 1 : 2);
		assert_int_equal(report.damaged, 1);
		assert_int_equal(report.cut, 0);
		assert_int_equal(pwrite(log.fd, &byte, 1, (off_t)at), 1);
	}
	state_log_close(&log);
}

/* The last line has its line break, so a wrong byte in it is damage. The line stays, and is
 * still found when the log was written on and is read again. */
static void test_damaged_at_the_end(void **state)
{
	struct state_log log = new_log();
	struct state_log_report report;
	uint64_t one, two;
	unsigned n;

	put(&log, "{\"a\":1}");
	one = log.end;
	put(&log, "{\"a\":2}");
	two = log.end;
	for (uint64_t at = one; at < two - 1; at++) {
		char byte, wrong;

		assert_int_equal(pread(log.fd, &byte, 1, (off_t)at), 1);
		wrong = byte ^ 1;
		assert_int_equal(pwrite(log.fd, &wrong, 1, (off_t)at), 1);
		for (int again = 0; again < 2; again++) {
			report = read_log(&log, &n);
			assert_int_equal(n, 1);
			assert_int_equal(report.damaged, 1);
			assert_int_equal(report.cut, 0);
			assert_int_equal(report.end, two);
		}
		assert_int_equal(pwrite(log.fd, &byte, 1, (off_t)at), 1);
	}
	assert_int_equal(pwrite(log.fd, "!", 1, (off_t)one), 1);
	put(&log, "{\"a\":3}");
	assert_int_equal(ftruncate(log.fd, (off_t)log.end - 1), 0);
	report = read_log(&log, &n);
	assert_int_equal(n, 1);
	assert_int_equal(report.damaged, 1);
	assert_int_equal(report.end, two);
	assert_int_equal(report.cut, log.end - 1 - two);
	state_log_close(&log);
}

static size_t n_lines(const char *text)
{
	size_t n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

static void test_hostile_text(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"\n\n\n",
		"00000000 \n",
		"00000000 {}\n",
		"zzzzzzzz {}\n",
		"00000000",
		"{}\n",
		"00000000 {}\n00000000 {}\n",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		struct state_log_report report;
		unsigned n = 0;

		assert_int_equal(state_log_parse(texts[i], strlen(texts[i]), count, &n, &report),
				 0);
		assert_int_equal(n, 0);
		assert_int_equal(report.damaged, n_lines(texts[i]));
		assert_int_equal(report.end + report.cut, strlen(texts[i]));
		assert_int_equal(report.cut, strcspn(texts[i] + report.end, "\n"));
	}
}

static void test_too_long(void **state)
{
	struct state_log log = new_log();
	char *big = calloc(1, STATE_LOG_RECORD_MAX + 2);

	assert_non_null(big);
	memset(big, ' ', STATE_LOG_RECORD_MAX + 1);
	assert_int_equal(state_log_append(&log, big, STATE_LOG_RECORD_MAX + 1), -EMSGSIZE);
	assert_int_equal(log.end, 0);
	free(big);
	state_log_close(&log);
}

/* A write that fails leaves a log that can be read and written. */
static void test_failed_write(void **state)
{
	struct state_log log = new_log(), readonly;
	char path[64];
	unsigned n;

	put(&log, "{\"a\":1}");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", log.fd);
	readonly = log;
	readonly.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(readonly.fd >= 0);
	assert_int_equal(state_log_append(&readonly, "{}", 2), -EBADF);
	assert_int_equal(readonly.end, log.end);
	close(readonly.fd);
	put(&log, "{\"a\":2}");
	(void)read_log(&log, &n);
	assert_int_equal(n, 2);
	state_log_close(&log);
}

static void test_crc(void **state)
{
	assert_int_equal(state_log_crc("123456789", 9), 0xcbf43926);
	assert_int_equal(state_log_crc("", 0), 0);
}

/* ---- records --------------------------------------------------------------------------------- */

static void apply(struct state *s, const char *json)
{
	struct json_object *o = json_tokener_parse(json);

	assert_non_null(o);
	assert_int_equal(state_apply(s, o), 0);
	json_object_put(o);
}

#define E(name) "\"e\":{\"type\":\"fd\",\"name\":\"" name "\",\"token\":1}"

static void test_nonsense(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"r\":1}",
		"{\"r\":\"later\"}",
		"{\"r\":\"luod\",\"version\":2}",
		"{\"r\":\"add\"}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a\"}",
		"{\"r\":\"add\",\"id\":0,\"f\":1,\"u\":\"a\"," E("x") "}",
		"{\"r\":\"add\",\"id\":-1,\"f\":1,\"u\":\"a\"," E("x") "}",
		"{\"r\":\"add\",\"id\":1,\"f\":0,\"u\":\"a\"," E("x") "}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a/b\"," E("x") "}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a\"," E("x:y") "}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a\",\"in\":\"nowhere\"," E("x") "}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a\",\"e\":null}",
		"{\"r\":\"add\",\"id\":1,\"f\":1,\"u\":\"a\",\"e\":[]}",
		"{\"r\":\"del\",\"id\":7}",
		"{\"r\":\"move\",\"id\":7,\"u\":\"a\"}",
		"{\"r\":\"unit\",\"u\":\"\"}",
		"{\"r\":\"unit\",\"u\":\"a\",\"cgroup\":\"x\"}",
		"{\"r\":\"unit-\",\"u\":\"a\"}",
		"{\"r\":\"reg\",\"u\":\"a\",\"pid\":0}",
		"{\"r\":\"reg\",\"u\":\"a\",\"pid\":99999999999}",
		"{\"r\":\"reg-\"}",
		"{\"r\":\"gone\",\"h\":0}",
		"{\"r\":\"give\",\"h\":0,\"u\":\"a\"}",
		"{\"r\":\"give\",\"h\":1}",
		"{\"r\":\"in\"}",
		"{\"r\":\"commit\"}",
	};
	struct state s;

	assert_int_equal(state_init(&s), 0);
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		apply(&s, texts[i]);
		if (s.ignored != i + 1)
			fail_msg("%s was taken", texts[i]);
	}
	assert_int_equal(luo_store_n_units(s.stored), 0);
	assert_null(s.commit_name);
	state_clear(&s);
}

static void test_same_id(void **state)
{
	struct state s;

	assert_int_equal(state_init(&s), 0);
	apply(&s, "{\"r\":\"add\",\"id\":3,\"f\":2,\"u\":\"a\"," E("x") "}");
	apply(&s, "{\"r\":\"add\",\"id\":3,\"f\":2,\"u\":\"a\"," E("y") "}");
	assert_int_equal(s.ignored, 1);
	assert_int_equal(luo_store_n_entries(s.stored), 1);
	assert_int_equal(s.next_id, 4);
	apply(&s, "{\"r\":\"del\",\"id\":3}");
	assert_int_equal(luo_store_n_entries(s.stored), 0);
	state_clear(&s);
}

static char *text_of(const struct state *s)
{
	struct state_log log = new_log();
	struct stat st;
	char *text;

	assert_int_equal(state_snapshot(s, "luod", &log), 0);
	assert_int_equal(fstat(log.fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(pread(log.fd, text, (size_t)st.st_size, 0), st.st_size);
	state_log_close(&log);
	return text;
}

/* A state, its log, the state of that, its log: the logs are the same. */
static void test_round_trip(void **state)
{
	struct state_log_report report;
	struct state s, again;
	char *text, *text_again;
	struct luo_entry *e;

	assert_int_equal(state_init(&s), 0);
	apply(&s,
	      "{\"r\":\"luod\",\"version\":1,\"generation\":5,\"next\":90,\"restarts\":2,\"startedAt\":77}");
	apply(&s,
	      "{\"r\":\"in\",\"name\":\"luod/systemd\",\"kexecCount\":3,\"start\":{\"realtime\":1,\"monotonic\":2}}");
	apply(&s,
	      "{\"r\":\"unit\",\"u\":\"a\",\"cgroup\":\"/x/a\",\"max\":9,\"ready\":true,\"status\":\"ok\",\"extra\":{\"k\":[1]}}");
	apply(&s, "{\"r\":\"add\",\"id\":10,\"f\":8,\"u\":\"a\"," E("one") "}");
	apply(&s,
	      "{\"r\":\"add\",\"id\":11,\"f\":8,\"u\":\"b\",\"h\":4,\"e\":{\"type\":\"fd\",\"name\":\"two\",\"token\":8,\"fileName\":\"mem\",\"storedAt\":5,\"poll\":false,\"odd\":{}}}");
	apply(&s, "{\"r\":\"add\",\"id\":12,\"f\":9,\"u\":\"c\",\"in\":\"held\",\"h\":5," E(
			  "three") "}");
	apply(&s,
	      "{\"r\":\"add\",\"id\":13,\"f\":13,\"u\":\"c\",\"in\":\"lost\",\"errno\":12,\"h\":6," E(
		      "four") "}");
	apply(&s, "{\"r\":\"add\",\"id\":14,\"f\":14,\"u\":\"c\",\"in\":\"held\"," E("five") "}");
	apply(&s, "{\"r\":\"move\",\"id\":14,\"u\":\"d\"}");
	apply(&s, "{\"r\":\"gone\",\"h\":7}");
	apply(&s, "{\"r\":\"give\",\"h\":8,\"u\":\"e\"}");
	apply(&s, "{\"r\":\"give\",\"h\":9,\"u\":\"e\"}");
	apply(&s, "{\"r\":\"give\",\"h\":8,\"u\":\"f\"}");
	apply(&s, "{\"r\":\"reg\",\"u\":\"a\",\"pid\":100,\"start\":200}");
	apply(&s, "{\"r\":\"reg\",\"u\":\"a\",\"pid\":101,\"start\":201}");
	apply(&s, "{\"r\":\"reg-\",\"pid\":100,\"start\":200}");
	apply(&s, "{\"r\":\"commit\",\"name\":\"luod\",\"o\":88,\"n\":2}");
	assert_int_equal(s.ignored, 0);
	assert_false(s.stale);
	state_end_reading(&s);
	text = text_of(&s);

	assert_int_equal(state_init(&again), 0);
	assert_int_equal(state_log_parse(text, strlen(text), state_apply_record, &again, &report),
			 0);
	state_end_reading(&again);
	assert_int_equal(again.ignored, 0);
	assert_int_equal(report.damaged, 0);
	text_again = text_of(&again);
	assert_string_equal(text, text_again);

	assert_int_equal(again.next_id, 90);
	assert_int_equal(again.restarts, 2);
	assert_int_equal(again.n_gone, 4);
	assert_int_equal(again.n_moved, 2);
	assert_int_equal(again.moved[0].holding, 8);
	assert_string_equal(again.moved[0].unit, "f");
	assert_string_equal(again.incoming_name, "luod/systemd");
	assert_int_equal(again.n_registrations, 1);
	assert_int_equal(again.registrations[0].pid, 101);
	assert_string_equal(again.commit_name, "luod");
	assert_false(again.stale);
	e = luo_unit_find_entry(luo_store_find_unit(again.stored, "b"), "two", 0);
	assert_non_null(e);
	assert_int_equal(e->id, 11);
	assert_int_equal(e->token, 8);
	assert_false(e->poll);
	assert_string_equal(e->meta.file_name, "mem");
	assert_string_equal(e->extra, "{\"odd\":{}}");
	assert_non_null(luo_store_find_unit(again.stored, "d"));
	assert_int_equal(luo_store_find_unit(again.lost, "c")->entries[0]->failed, -12);
	free(text);
	free(text_again);
	state_clear(&s);
	state_clear(&again);
}

static void test_stale(void **state)
{
	struct state s;

	assert_int_equal(state_init(&s), 0);
	apply(&s, "{\"r\":\"commit\",\"name\":\"luod\",\"o\":1,\"n\":1}");
	assert_false(s.stale);
	apply(&s, "{\"r\":\"add\",\"id\":3,\"f\":2,\"u\":\"a\"," E("x") "}");
	assert_true(s.stale);
	apply(&s, "{\"r\":\"abort\"}");
	assert_null(s.commit_name);
	state_clear(&s);
}

static void test_session_names(void **state)
{
	assert_true(session_is_one_of("luod", "luod"));
	assert_true(session_is_one_of("luod", "luod.1"));
	assert_true(session_is_one_of("luod/systemd", "systemd"));
	assert_true(session_is_one_of("luod/systemd", "systemd.12"));
	assert_true(session_is_one_of("luod-live/luod", "luod.2"));
	assert_false(session_is_one_of("luod", "luod-live"));
	assert_false(session_is_one_of("luod-live", "luod"));
	assert_false(session_is_one_of("luod/systemd", "luod/systemd"));
	assert_false(session_is_one_of("luod/systemd", "system"));
	assert_false(session_is_one_of("luod", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_at_the_end),
		cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_failed_write),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_same_id),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_session_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
