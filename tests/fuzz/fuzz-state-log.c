/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The state log. Once as it comes; and once with the right sum in front of each line, because no
 * fuzzer guesses a CRC. What is accepted gives, written and read again, the same.
 */

#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tools/luod/state-apply.h"
#include "tools/luod/state-record.h"
#include "common/util.h"

static char *read_all(int fd, size_t *ret_size)
{
	struct stat st;
	char *text;

	MUST(fstat(fd, &st) == 0);
	text = malloc((size_t)st.st_size + 1);
	MUST(text != NULL);
	MUST(pread(fd, text, (size_t)st.st_size, 0) == st.st_size);
	*ret_size = (size_t)st.st_size;
	return text;
}

static char *snapshot(const struct state *s, size_t *ret_size)
{
	struct state_log log;
	char *text;

	MUST(state_log_create(&log) == 0);
	MUST(state_snapshot(s, "luod", &log) == 0);
	text = read_all(log.fd, ret_size);
	state_log_close(&log);
	return text;
}

static void read_into(struct state *s, const char *text, size_t size,
		      struct state_log_report *report)
{
	MUST(state_init(s) == 0);
	MUST(state_log_parse(text, size, state_apply_record, s, report) == 0);
	MUST(report->end <= size && report->end + report->cut == size);
	state_end_reading(s);
}

static void check(const char *text, size_t size)
{
	struct state_log_report report;
	struct state s, again;
	char *first, *second;
	size_t n_first, n_second;

	read_into(&s, text, size, &report);
	first = snapshot(&s, &n_first);
	read_into(&again, first, n_first, &report);
	MUST(report.damaged == 0 && report.cut == 0);
	MUST(again.ignored == 0);
	MUST(luo_store_n_entries(again.stored) == luo_store_n_entries(s.stored));
	MUST(luo_store_n_entries(again.held) == luo_store_n_entries(s.held));
	MUST(again.next_id == s.next_id);
	second = snapshot(&again, &n_second);
	MUST(n_first == n_second && memcmp(first, second, n_first) == 0);
	free(first);
	free(second);
	state_clear(&s);
	state_clear(&again);
}

/* Each line as a record of its own. */
static void check_with_sums(const char *data, size_t size)
{
	struct state_log log;
	size_t n_text;
	char *text;

	MUST(state_log_create(&log) == 0);
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size;

		(void)state_log_append(&log, data, n);
		data += MIN2(n + 1, size);
		size -= MIN2(n + 1, size);
	}
	text = read_all(log.fd, &n_text);
	check(text, n_text);
	free(text);
	state_log_close(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check((const char *)data, size);
	check_with_sums((const char *)data, size);
	return 0;
}
