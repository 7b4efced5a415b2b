/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The fds: which of them will be lost, how much memory the commit needs, and what they cost the
 * early boot of the next kernel.
 */

#include <stdio.h>

#include <luo/inspect.h>

#include "check.h"
#include "format.h"
#include "json.h"
#include "util.h"

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
	item = check_add(check, level, "memory",
			 level == CHECK_OK ? NULL
					   : "Free some; sparse files and files that are sealed "
					     "against exec travel as copies.",
			 "the commit needs about %s, %s are available",
			 format_size(needed_text, needed), format_size(available_text, available));
	json_add(item, "neededBytes", json_object_new_uint64(needed));
	json_add(item, "availableBytes", json_object_new_uint64(available));
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct runs {
	uint64_t pages, runs;
	size_t counted, skipped; /* files */
	int error;               /* the first */
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

static int count_one(struct check *check, struct json_object *entries, size_t i, struct runs *total)
{
	struct json_object *e = json_at(entries, i);
	_cleanup_close_ int fd = -EBADF;
	uint64_t pages, runs;
	int r;

	r = luo_client_open_entry(check->context->client, json_string(e, "unit"),
				  json_string(e, "name"), nth_of(entries, i), &fd);
	if (r == 0)
		r = luo_fd_count_runs(fd, &pages, &runs);
	if (r < 0)
		return r;
	total->pages += pages;
	total->runs += runs;
	total->counted++;
	return 0;
}

static void count_all(struct check *check, struct json_object *entries, struct runs *total)
{
	for (size_t i = 0; i < json_length(entries); i++) {
		struct json_object *e = json_at(entries, i);
		const char *where = json_string(e, "where") ?: "";
		int r;

		if (!json_true(e, "preservable") || json_true(e, "alias"))
			continue;
		/* To look at one that lies in the kernel would be to take it out. */
		r = streq(where, "luod") ? count_one(check, entries, i, total) : -ENODATA;
		if (r == 0)
			continue;
		total->skipped++;
		if (total->error == 0 && r != -ENODATA)
			total->error = r;
		if (r == -EPERM || r == -EACCES)
			return;
	}
}

static void check_runs(struct check *check, struct json_object *entries)
{
	struct runs t = { 0 };
	struct json_object *item;
	char cost[FORMAT_MAX];
	double seconds;
	bool slow;

	count_all(check, entries, &t);
	if (t.error < 0 && t.counted == 0) {
		check_add(check, CHECK_UNKNOWN, "early boot",
			  t.error == -EPERM || t.error == -EACCES ? "Try it as root." : NULL,
			  "cannot count where the pages lie: %s", strerror(-t.error));
		return;
	}
	seconds = SECONDS_PER_RUN_SQUARED * (double)t.runs * (double)t.runs;
	slow = seconds > 1;
	item = check_add(check, slow ? CHECK_WARNING : CHECK_OK, "early boot",
			 slow ? "Services should use huge pages, MADV_COLLAPSE or fewer and larger "
				"memfds; it is the number of runs that counts, not of bytes."
			      : NULL,
			 "%llu pages in %llu runs cost the next kernel about %s",
			 (unsigned long long)t.pages, (unsigned long long)t.runs,
			 format_usec(cost, (uint64_t)(seconds * 1e6)));
	json_add(item, "pages", json_object_new_uint64(t.pages));
	json_add(item, "runs", json_object_new_uint64(t.runs));
	json_add(item, "seconds", json_object_new_double(seconds));
	if (t.skipped > 0)
		check_detail(item,
			     "%zu fds were not counted: they still lie in the kernel, or "
			     "cannot be looked at",
			     t.skipped);
}

void check_store(struct check *check, struct json_object *entries)
{
	check_kinds(check, entries);
	if (json_length(entries) == 0)
		return;
	check_memory(check, entries);
	check_runs(check, entries);
}
