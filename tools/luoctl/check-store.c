/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The fds: which of them will be lost, how much memory the commit needs, and what they cost: while
 * they are preserved and restored, and in the early boot of the next kernel.
 */

#include <stdio.h>

#include <luo/inspect.h>
#include <luo/memfd.h>

#include "tools/luoctl/check.h"
#include "common/format.h"
#include "common/json.h"
#include "common/util.h"

/* What the kernel needs for each preserved file, however small. */
#define BYTES_PER_FILE 13312

/* Seconds of early boot for each pair of runs; measured on the bare machine. */
#define SECONDS_PER_RUN_SQUARED 0.7e-9

#define DETAILS_MAX 20

static bool is_lost_already(struct json_object *e)
{
	const char *state = json_string(e, "state");

	return state && streq(state, "lost");
}

static void check_kinds(struct check *check, struct json_object *entries)
{
	size_t n = 0, all = 0;
	struct json_object *item;

	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);

		if (is_lost_already(e))
			continue;
		all++;
		n += !json_true(e, "preservable");
	}
	if (n == 0) {
		check_add(check, CHECK_OK, "fds", NULL, "%zu, all of them of kinds that are kept",
			  all);
		return;
	}
	item = check_add(check, CHECK_WARNING, "fds", NULL, "%zu of %zu will be lost", n, all);
	for (size_t i = 0, shown = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);

		if (is_lost_already(e) || json_true(e, "preservable"))
			continue;
		if (shown++ == DETAILS_MAX) {
			check_detail(item, "and %zu more", n - DETAILS_MAX);
			break;
		}
		check_detail(item, "%s \"%s\": %s", json_string(e, "unit") ?: "?",
			     json_string(e, "name") ?: "?",
			     json_string(e, "reason") ?: "cannot be preserved");
	}
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool has_seal(struct json_object *e, const char *seal)
{
	struct json_object *seals = json_child(e, "seals");

	for (size_t i = 0; i < json_length(seals); i++)
		if (streq(json_object_get_string(json_at(seals, i)) ?: "", seal))
			return true;
	return false;
}

/* The kernel would fill the holes of a sparse file, and damages one with F_SEAL_EXEC. */
static bool travels_as_copy(struct json_object *e)
{
	return has_seal(e, "exec") || json_int(e, "allocated") < json_int(e, "size");
}

static uint64_t memory_needed(struct json_object *entries)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);

		if (!json_true(e, "preservable") || json_true(e, "alias"))
			continue;
		bytes += BYTES_PER_FILE;
		if (travels_as_copy(e) && json_int(e, "allocated") > 0)
			bytes += (uint64_t)json_int(e, "allocated");
	}
	return bytes;
}

static void check_memory(struct check *check, struct json_object *entries)
{
	char needed_text[FORMAT_MAX], available_text[FORMAT_MAX];
	uint64_t needed = memory_needed(entries), available;
	struct json_object *item;
	enum level level;

	if (luo_memory_available(&available) < 0) {
		check_add(check, CHECK_UNKNOWN, "memory", NULL, "cannot read /proc/meminfo");
		return;
	}
	level = needed > available       ? CHECK_FAILED
		: needed > available / 2 ? CHECK_WARNING
					 : CHECK_OK;
	item = check_add(
		check, level, "memory",
		level == CHECK_OK
			? NULL
			: "Free some; sparse files and files that are sealed against exec travel as copies.",
		"the commit needs about %s, %s are available", format_size(needed_text, needed),
		format_size(available_text, available));
	json_add(item, "neededBytes", json_object_new_uint64(needed));
	json_add(item, "availableBytes", json_object_new_uint64(available));
}

/* ---- what they cost -------------------------------------------------------------------------- */

/* In small pages: about a tenth of a second. */
#define SLOW_BYTES (UINT64_C(1) << 30)

struct costs {
	uint64_t pages, runs;
	uint64_t huge, small, holes;        /* bytes */
	size_t looked_at, counted, skipped; /* files; counted: runs are known */
	int error;                          /* the first */
	struct json_object *slow;           /* what was said about them */
};

/* Which of several of that name in its unit. */
static size_t nth_of(struct json_object *entries, size_t i)
{
	struct json_object *e = json_at(entries, i);
	const char *unit = json_string(e, "unit") ?: "", *name = json_string(e, "name") ?: "";
	size_t n = 0;

	while (i-- > 0) {
		struct json_object *before = json_at(entries, i);

		if (!streq(json_string(before, "unit") ?: "", unit))
			break;
		n += streq(json_string(before, "name") ?: "", name);
	}
	return n;
}

static void say_what_is_slow(struct json_object *e, unsigned advice, struct costs *total)
{
	char line[1024];

	for (; advice; advice &= advice - 1) {
		snprintf(line, sizeof(line), "%s \"%s\": %s", json_string(e, "unit") ?: "?",
			 json_string(e, "name") ?: "?", luo_memfd_advice_to_string(advice));
		json_append_string(total->slow, line);
	}
}

static int look_at_one(struct check *check, struct json_object *entries, size_t i,
		       struct costs *total)
{
	struct json_object *e = json_at(entries, i);
	_cleanup_close_ int fd = -EBADF;
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost) };
	int r;

	r = luo_client_open_entry(check->context->client, json_string(e, "unit"),
				  json_string(e, "name"), nth_of(entries, i), &fd);
	if (r == 0)
		r = luo_memfd_cost(fd, &cost);
	if (r < 0)
		return r;
	total->looked_at++;
	total->huge += cost.huge;
	total->small += cost.small;
	total->holes += cost.holes;
	say_what_is_slow(e, cost.advice, total);
	if (!cost.runs_known)
		return -EPERM;
	total->pages += cost.data / page_size();
	total->runs += cost.runs;
	total->counted++;
	return 0;
}

static void look_at_all(struct check *check, struct json_object *entries, struct costs *total)
{
	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);
		const char *where = json_string(e, "where") ?: "";
		int r;

		if (!json_true(e, "preservable") || json_true(e, "alias"))
			continue;
		/* To look at one that lies in the kernel would be to take it out. */
		r = streq(where, "luod") ? look_at_one(check, entries, i, total) : -ENODATA;
		if (r == 0)
			continue;
		total->skipped++;
		if (total->error == 0 && r != -ENODATA)
			total->error = r;
		if (r == -EACCES)
			return;
	}
}

static void check_speed(struct check *check, const struct costs *t)
{
	char huge[FORMAT_MAX], small[FORMAT_MAX], holes[FORMAT_MAX];
	bool slow = t->small + t->holes > SLOW_BYTES;
	size_t n = json_length(t->slow);
	struct json_object *item;

	if (t->looked_at == 0)
		return;
	item = check_add(
		check, slow ? CHECK_WARNING : CHECK_OK, "speed",
		slow ? "Services should use huge pages or luo_memfd_prepare(); see luo-memfd(3)."
		     : NULL,
		"%s in huge pages, %s in small ones; %s of holes", format_size(huge, t->huge),
		format_size(small, t->small), format_size(holes, t->holes));
	json_add(item, "hugeBytes", json_object_new_uint64(t->huge));
	json_add(item, "smallBytes", json_object_new_uint64(t->small));
	json_add(item, "holeBytes", json_object_new_uint64(t->holes));
	for (size_t i = 0; i < n && i < DETAILS_MAX; i++)
		check_detail(item, "%s", json_object_get_string(json_at(t->slow, i)));
	if (n > DETAILS_MAX)
		check_detail(item, "and %zu more", n - DETAILS_MAX);
}

static void check_runs(struct check *check, const struct costs *t)
{
	struct json_object *item;
	char cost[FORMAT_MAX];
	double seconds;
	bool slow;

	if (t->error < 0 && t->counted == 0) {
		check_add(check, CHECK_UNKNOWN, "early boot",
			  t->error == -EPERM || t->error == -EACCES ? "Try it as root." : NULL,
			  "cannot count where the pages lie: %s", strerror(-t->error));
		return;
	}
	seconds = SECONDS_PER_RUN_SQUARED * (double)t->runs * (double)t->runs;
	slow = seconds > 1;
	item = check_add(
		check, slow ? CHECK_WARNING : CHECK_OK, "early boot",
		slow ? "Services should use huge pages, luo_memfd_prepare() or fewer and larger memfds; it is the number of runs that counts, not of bytes."
		     : NULL,
		"%llu pages in %llu runs cost the next kernel about %s",
		(unsigned long long)t->pages, (unsigned long long)t->runs,
		format_usec(cost, (uint64_t)(seconds * 1e6)));
	json_add(item, "pages", json_object_new_uint64(t->pages));
	json_add(item, "runs", json_object_new_uint64(t->runs));
	json_add(item, "seconds", json_object_new_double(seconds));
	if (t->skipped > 0)
		check_detail(item,
			     "%zu %s not counted: still in the kernel, or cannot be inspected",
			     t->skipped, plural(t->skipped, "fd was", "fds were"));
}

void check_store(struct check *check, struct json_object *entries)
{
	_cleanup_json_ struct json_object *slow = json_object_new_array();
	struct costs costs = { .slow = slow };

	check_kinds(check, entries);
	if (json_length(entries) == 0)
		return;
	check_memory(check, entries);
	look_at_all(check, entries, &costs);
	check_speed(check, &costs);
	check_runs(check, &costs);
}
