/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The mapping: what is refused, what is skipped and why, what is read, and that what is written is
 * read back the same. The documents are in tests/fixtures/mapping/: bad-* is refused, skip-* has
 * issues, the others have none.
 */

#include "tests/mapping-compare.h"
#include "tests/unit/helpers.h"
#include "common/json-writer.h"
#include <luo/mapping.h>

/* ---- helpers ---- */

static char *fixture_path(const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/tests/fixtures/mapping/%s", source_dir(), name) > 0);
	return path;
}

static int fixture_open(const char *name)
{
	_cleanup_free_ char *path = fixture_path(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		print_message("%s\n", path);
	assert_true(fd >= 0);
	return fd;
}

static int parse_fixture(const char *name, struct luo_mapping **ret, char **ret_reason)
{
	_cleanup_close_ int fd = fixture_open(name);

	return luo_mapping_read_fd(fd, ret, ret_reason);
}

static struct luo_mapping *must_parse(const char *text)
{
	struct luo_mapping *m = NULL;
	char *reason = NULL;

	if (luo_mapping_parse(text, strlen(text), &m, &reason) < 0)
		fail_msg("%s: %s", text, reason);
	return m;
}

static struct luo_mapping *must_parse_fixture(const char *name)
{
	struct luo_mapping *m = NULL;
	char *reason = NULL;

	if (parse_fixture(name, &m, &reason) < 0)
		fail_msg("%s: %s", name, reason);
	return m;
}

static struct luo_unit *unit(struct luo_mapping *m, const char *name)
{
	struct luo_unit *u = luo_store_find_unit(m->store, name);

	assert_non_null(u);
	return u;
}

static struct luo_entry *entry(struct luo_mapping *m, const char *unit_name, const char *name)
{
	struct luo_entry *e = luo_unit_find_entry(unit(m, unit_name), name, 0);

	assert_non_null(e);
	return e;
}

static void expect_text(const struct luo_mapping *m, unsigned flags, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	assert_int_equal(luo_mapping_format(m, flags, &text, &size), 0);
	assert_string_equal(text, expected);
	assert_int_equal(size, strlen(expected));
}

static void expect_issue(const struct luo_mapping *m, size_t i, const char *where, const char *what)
{
	assert_true(i < m->n_issues);
	assert_string_equal(m->issues[i].where, where);
	assert_string_equal(m->issues[i].what, what);
}

/* ---- refused as a whole ---- */

static void test_refused(void **state)
{
	static const struct {
		const char *name;
		int error;
		const char *reason;
	} bad[] = {
		{ "bad-10000-units.json", -E2BIG, "10000 units, more than 4096" },
		{ "bad-1025-spills.json", -E2BIG, "1025 further sessions, more than 1024" },
		{ "bad-array.json", -EBADMSG, "not a JSON object" },
		{ "bad-comment.json", -EBADMSG, "a character that JSON does not have, at byte 13" },
		{ "bad-control-character.json", -EBADMSG,
		  "a control character in a string, at byte 29" },
		{ "bad-cut-off.json", -EBADMSG, "a string without an end, at byte 62" },
		{ "bad-deep-nesting.json", -E2BIG, "nested too deep, at byte 60" },
		{ "bad-empty.json", -EBADMSG, "it ends too early, at byte 0" },
		{ "bad-flat-object.json", -EBADMSG, "neither a version nor only arrays by unit" },
		{ "bad-key-with-nul.json", -EBADMSG, "a key with a NUL in it, at byte 40" },
		{ "bad-mixed.json", -EBADMSG, "cgroup paths and unit names mixed" },
		{ "bad-nan.json", -EBADMSG, "a character that JSON does not have, at byte 28" },
		{ "bad-no-units.json", -EBADMSG, "\"units\" is not an object" },
		{ "bad-null.json", -EBADMSG, NULL },
		{ "bad-number-cut-off.json", -EBADMSG, "a number that is cut off, at byte 29" },
		{ "bad-single-quotes.json", -EBADMSG,
		  "a character that JSON does not have, at byte 1" },
		{ "bad-string.json", -EBADMSG, "not a JSON object" },
		{ "bad-trailing-comma.json", -EBADMSG,
		  "a comma with nothing after it, at byte 24" },
		{ "bad-trailing-garbage.json", -EBADMSG,
		  "a character that JSON does not have, at byte 25" },
		{ "bad-trailing-nul.json", -EBADMSG,
		  "a character that JSON does not have, at byte 25" },
		{ "bad-two-documents.json", -EBADMSG, NULL },
		{ "bad-units-array.json", -EBADMSG, "\"units\" is not an object" },
		{ "bad-utf8-overlong.json", -EBADMSG, "not UTF-8, at byte 29" },
		{ "bad-utf8-surrogate.json", -EBADMSG, "not UTF-8, at byte 29" },
		{ "bad-utf8.json", -EBADMSG, "not UTF-8, at byte 29" },
		{ "bad-version-0.json", -EBADMSG, "the version is not a number from 1 on" },
		{ "bad-version-99.json", -EPROTONOSUPPORT,
		  "version 99 is not supported; the newest supported version is 1" },
		{ "bad-version-float.json", -EBADMSG, "the version is not a number from 1 on" },
		{ "bad-version-huge.json", -EPROTONOSUPPORT, NULL },
		{ "bad-version-negative.json", -EBADMSG, "the version is not a number from 1 on" },
		{ "bad-version-null.json", -EBADMSG, "the version is not a number from 1 on" },
		{ "bad-version-string.json", -EBADMSG, "the version is not a number from 1 on" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		struct luo_mapping *m = (void *)1;
		_cleanup_free_ char *reason = NULL;
		int r = parse_fixture(bad[i].name, &m, &reason);

		if (r != bad[i].error)
			fail_msg("%s: %d, expected %d", bad[i].name, r, bad[i].error);
		assert_ptr_equal(m, (void *)1);
		assert_non_null(reason);
		if (bad[i].reason)
			assert_string_equal(reason, bad[i].reason);
		assert_int_equal(parse_fixture(bad[i].name, &m, NULL), bad[i].error);
	}
}

static void test_arguments(void **state)
{
	struct luo_mapping *m;
	char *text;

	assert_int_equal(luo_mapping_new(NULL), -EINVAL);
	assert_null(luo_mapping_free(NULL));
	assert_int_equal(luo_mapping_parse(NULL, 1, &m, NULL), -EINVAL);
	assert_int_equal(luo_mapping_parse("{}", 2, NULL, NULL), -EINVAL);
	assert_int_equal(luo_mapping_parse(NULL, 0, &m, NULL), -EBADMSG);
	assert_int_equal(luo_mapping_format(NULL, 0, &text, NULL), -EINVAL);
	assert_int_equal(luo_mapping_read_fd(-1, &m, NULL), -EBADF);
	assert_int_equal(luo_mapping_read_fd(0, NULL, NULL), -EINVAL);
	m = must_parse("{}");
	assert_int_equal(luo_mapping_format(m, 1u << 7, &text, NULL), -EINVAL);
	assert_int_equal(luo_mapping_format(m, 0, NULL, NULL), -EINVAL);
	luo_mapping_free(m);
	assert_string_equal(luo_mapping_generation_to_string(LUO_MAPPING_DRAFT), "draft");
	assert_string_equal(luo_mapping_generation_to_string(LUO_MAPPING_V261), "v261");
	assert_string_equal(luo_mapping_generation_to_string(LUO_MAPPING_V262), "v262");
	assert_string_equal(luo_mapping_generation_to_string(-1), "unknown");
}

/* Something @n times over. */
static char *repeated(const char *before, const char *each, size_t n, const char *after)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs(before, f);
	for (size_t i = 0; i < n; i++)
		fputs(each, f);
	fputs(after, f);
	fclose(f);
	return text;
}

static int parse_repeated(const char *before, const char *each, size_t n, const char *after)
{
	_cleanup_free_ char *text = repeated(before, each, n, after);
	_cleanup_free_ char *reason = NULL;
	struct luo_mapping *m = NULL;
	int r;

	r = luo_mapping_parse(text, strlen(text), &m, &reason);
	luo_mapping_free(m);
	return r;
}

static void test_limits(void **state)
{
	/* entries, also those that are no good */
	assert_int_equal(parse_repeated("{\"a\":[", "0,", LUO_MAPPING_ENTRIES_MAX - 1, "0]}"), 0);
	assert_int_equal(parse_repeated("{\"a\":[", "0,", LUO_MAPPING_ENTRIES_MAX, "0]}"), -E2BIG);
	/* depth: the object, and 31 arrays in it */
	assert_int_equal(parse_repeated("{\"version\":1,\"units\":{},\"x\":", "[", 32, ""), -E2BIG);
	assert_int_equal(parse_repeated("{\"version\":1,\"units\":{},\"x\":", "[", 31, ""),
			 -EBADMSG);
	/* a tree that would take gigabytes */
	assert_int_equal(parse_repeated("{\"a\":[", "{},", 1000000, "{}]}"), -E2BIG);
	assert_int_equal(parse_repeated("{\"a\":[", "[],", 1000000, "[]]}"), -E2BIG);
	assert_int_equal(parse_repeated("{\"a\":[", "0,", 4000000, "0]}"), -E2BIG);
}

static void test_deepest(void **state)
{
	_cleanup_free_ char *open = repeated("{\"version\":1,\"units\":{},\"x\":", "[", 31, "");
	_cleanup_free_ char *text = repeated(open, "]", 31, "}");
	_cleanup_free_ char *pretty = NULL;
	struct luo_mapping *m = must_parse(text);

	assert_int_equal(luo_mapping_format(m, LUO_MAPPING_FORMAT_PRETTY, &pretty, NULL), 0);
	luo_mapping_free(m);
	luo_mapping_free(must_parse(pretty));
}

static void test_read_fd(void **state)
{
	_cleanup_close_ int fd = memfd_create("mapping", MFD_CLOEXEC);
	_cleanup_free_ char *reason = NULL;
	struct luo_mapping *m = NULL;
	int pipe_fds[2];

	assert_int_equal(write(fd, "{ }", 3), 3);
	assert_int_equal(luo_mapping_read_fd(fd, &m, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
	luo_mapping_free(m);

	/* too large is seen before it is read: a sparse file costs nothing to make */
	assert_int_equal(ftruncate(fd, (off_t)LUO_MAPPING_SIZE_MAX + 1), 0);
	assert_int_equal(luo_mapping_read_fd(fd, &m, &reason), -E2BIG);
	assert_string_equal(reason, "larger than 64 MiB");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(luo_mapping_read_fd(fd, &m, NULL), -EBADMSG);

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(luo_mapping_read_fd(pipe_fds[0], &m, NULL), -ESPIPE);
	close_many(pipe_fds, 2);
}

/* ---- skipped ---- */

static void test_skipped(void **state)
{
	static const struct {
		const char *name;
		size_t units, entries, issues;
	} skipped[] = {
		{ "skip-alias-of-nothing.json", 3, 3, 3 },
		{ "skip-alias-of-skipped.json", 1, 0, 2 },
		{ "skip-draft.json", 1, 1, 5 },
		{ "skip-meta.json", 1, 1, 32 },
		{ "skip-names.json", 1, 1, 12 },
		{ "skip-packed.json", 1, 1, 15 },
		{ "skip-sessions.json", 1, 1, 6 },
		{ "skip-spills-type.json", 1, 0, 2 },
		{ "skip-spills.json", 1, 2, 10 },
		{ "skip-state-type.json", 0, 0, 1 },
		{ "skip-state.json", 0, 0, 5 },
		{ "skip-token-0.json", 1, 1, 1 },
		{ "skip-token-reused-elsewhere.json", 2, 1, 1 },
		{ "skip-token-reused.json", 1, 2, 1 },
		{ "skip-tokens.json", 1, 1, 12 },
		{ "skip-types.json", 1, 1, 12 },
		{ "skip-units.json", 3, 1, 16 },
		{ "skip-v261.json", 1, 1, 4 },
		{ "many-issues.json", 1, 0, 150 },
	};

	for (size_t i = 0; i < ELEMENTSOF(skipped); i++) {
		struct luo_mapping *m = must_parse_fixture(skipped[i].name);

		if (luo_store_n_units(m->store) != skipped[i].units ||
		    luo_store_n_entries(m->store) != skipped[i].entries ||
		    m->n_all_issues != skipped[i].issues)
			fail_msg("%s: %zu units, %zu entries, %zu issues", skipped[i].name,
				 luo_store_n_units(m->store), luo_store_n_entries(m->store),
				 m->n_all_issues);
		assert_int_equal(m->n_issues, MIN2(m->n_all_issues, (size_t)100));
		luo_mapping_free(m);
	}
}

static void test_skipped_reasons(void **state)
{
	static const char alias_of_nothing[] = "an alias of a token that no entry has";
	struct luo_mapping *m;

	m = must_parse_fixture("skip-token-0.json");
	expect_issue(m, 0, "units.a.service.fdstore[0]", "token 0 is the mapping itself");
	luo_mapping_free(m);

	m = must_parse_fixture("skip-token-reused-elsewhere.json");
	expect_issue(m, 0, "units.b.service.fdstore[0]", "the token belongs to an earlier entry");
	luo_mapping_free(m);

	m = must_parse_fixture("skip-alias-of-nothing.json");
	expect_issue(m, 0, "units.a.service.fdstore[0]", alias_of_nothing);
	expect_issue(m, 1, "units.a.service.fdstoreSpill[1]", alias_of_nothing);
	expect_issue(m, 2, "units.b.service.fdstore[1]", alias_of_nothing);
	assert_int_equal(entry(m, "a.service", "y")->index, 0);
	assert_int_equal(entry(m, "a.service", "far")->index, 1);
	luo_mapping_free(m);

	m = must_parse_fixture("skip-draft.json");
	expect_issue(m, 3, "/x/c.service[0]", "the token is missing or out of range");
	expect_issue(m, 4, "/y/c.service", "the same unit twice");
	luo_mapping_free(m);

	m = must_parse_fixture("skip-spills.json");
	expect_issue(m, 0, "spillSessions[1]", "named twice");
	expect_issue(m, 6, "units.a.service.fdstoreSpill[1]",
		     "\"session\" is not in spillSessions");
	luo_mapping_free(m);
}

/* What is shown to a person has no escape sequences in it, and fits on a screen. */
static void test_issues_are_printable(void **state)
{
	struct luo_mapping *m = must_parse_fixture("skip-units.json");

	for (size_t i = 0; i < m->n_issues; i++) {
		assert_true(strlen(m->issues[i].where) < 400);
		for (const char *c = m->issues[i].where; *c; c++)
			assert_true(*c >= ' ' && *c < 127);
	}
	luo_mapping_free(m);
}

/* ---- read ---- */

static void test_draft(void **state)
{
	struct luo_mapping *m = must_parse_fixture("draft.json");
	struct luo_entry *e;

	assert_int_equal(m->generation, LUO_MAPPING_DRAFT);
	assert_int_equal(m->n_all_issues, 0);
	e = entry(m, "a.service", "memory");
	assert_string_equal(e->unit->cgroup, "/system.slice/a.service");
	assert_int_equal(e->type, LUO_ENTRY_FD);
	assert_int_equal(e->token, 1);
	assert_int_equal(e->session, 0);
	assert_true(e->fd < 0 && e->poll && !e->alias);
	e = entry(m, "a.service", "guest");
	assert_int_equal(e->type, LUO_ENTRY_SESSION);
	assert_string_equal(e->session_name, "vmm-7");
	assert_int_equal(entry(m, "b.service", "cache")->token, 2);
	assert_int_equal(entry(m, "c.service", "x")->token, 3);
	assert_int_equal(entry(m, "openrc.cupsd", "y")->token, 4);
	luo_mapping_free(m);
}

static void test_v261(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v261.json");

	assert_int_equal(m->generation, LUO_MAPPING_V261);
	assert_int_equal(m->n_all_issues, 0);
	assert_null(unit(m, "a.service")->cgroup);
	assert_int_equal(entry(m, "a.service", "memory")->token, 1);
	assert_string_equal(entry(m, "a.service", "guest")->session_name, "vmm-7");
	assert_int_equal(luo_unit_find_entry(unit(m, "b.service"), "cache", 1)->token, 3);
	luo_mapping_free(m);

	m = must_parse_fixture("empty-object.json");
	assert_int_equal(m->generation, LUO_MAPPING_V261);
	assert_int_equal(luo_store_n_units(m->store), 0);
	luo_mapping_free(m);

	m = must_parse_fixture("unit-called-version.json");
	assert_int_equal(m->generation, LUO_MAPPING_V261);
	assert_int_equal(entry(m, "version", "x")->token, 1);
	luo_mapping_free(m);
}

static void test_v262(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v262.json");

	assert_int_equal(m->generation, LUO_MAPPING_V262);
	assert_int_equal(m->version, 1);
	assert_int_equal(m->n_all_issues, 0);
	assert_true(m->state.have_kexec_count);
	assert_int_equal(m->state.kexec_count, 1);
	assert_int_equal(m->state.shutdown_start.realtime, 1795000000000001);
	assert_int_equal(m->state.shutdown_start.monotonic, 120000001);
	assert_int_equal(m->state.shutdown_finish.monotonic, 120900002);
	assert_int_equal(m->state.shutdown_late_start.monotonic, 121000003);
	assert_int_equal(m->state.shutdown_late_finish.realtime, 1795000001100004);
	assert_int_equal(entry(m, "a.service", "memory")->token, 1);
	luo_mapping_free(m);

	m = must_parse_fixture("v262-kexecs-count.json");
	assert_int_equal(m->state.kexec_count, 41);
	assert_null(m->state_extra);
	luo_mapping_free(m);
}

static void check_every_key(struct luo_mapping *m)
{
	const struct luo_entry *e = entry(m, "a.service", "memory");

	assert_string_equal(e->unit->cgroup, "/system.slice/a.service");
	assert_int_equal(e->unit->fdstore_max, 1024);
	assert_int_equal(e->meta.known, LUO_META_FILE_NAME | LUO_META_MODE | LUO_META_OWNER |
						LUO_META_OPEN_FLAGS | LUO_META_SIZE |
						LUO_META_OFFSET | LUO_META_STORED_AT);
	assert_string_equal(e->meta.file_name, "guest-ram");
	assert_int_equal(e->meta.mode, 0600);
	assert_int_equal(e->meta.uid, 1000);
	assert_int_equal(e->meta.gid, 100);
	assert_int_equal(e->meta.open_flags, O_RDONLY | O_APPEND);
	assert_int_equal(e->meta.size, 4096);
	assert_int_equal(e->meta.offset, 17);
	assert_int_equal(e->meta.stored_at, 1795000000000000);
	assert_false(e->poll);
	assert_null(e->extra);
}

static void check_places(struct luo_mapping *m)
{
	const struct luo_entry *e = entry(m, "a.service", "sparse");

	assert_true(e->meta.packed);
	assert_int_equal(e->meta.n_extents, 3);
	assert_int_equal(e->meta.extents[2].offset, 1099511627775);
	assert_int_equal(e->session, 0);
	assert_true(entry(m, "a.service", "hole")->meta.packed);
	assert_null(entry(m, "a.service", "hole")->meta.extents);
	assert_int_equal(entry(m, "a.service", "copy")->meta.seals, 0x20);
	assert_int_equal(entry(m, "a.service", "again")->meta.open_flags, O_WRONLY);
	assert_true(entry(m, "a.service", "again")->alias);
	assert_true(entry(m, "b.service", "shared")->alias);
	assert_int_equal(entry(m, "a.service", "far")->session, 1);
	assert_int_equal(entry(m, "a.service", "farther")->session, 2);
	assert_int_equal(entry(m, "a.service", "farther")->token, INT64_MAX);
	assert_int_equal(entry(m, "b.service", "far")->session, 1);
	assert_int_equal(unit(m, "c")->n_entries, 0);
}

static void test_every_key(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v262-every-key.json");

	assert_int_equal(m->n_all_issues, 0);
	check_every_key(m);
	check_places(m);
	assert_int_equal(m->n_spills, 2);
	assert_string_equal(m->spills[1], "luod.2");
	luo_mapping_free(m);
}

static void test_duplicate_keys(void **state)
{
	struct luo_mapping *m = must_parse_fixture("duplicate-keys.json");

	assert_int_equal(luo_store_n_entries(m->store), 1);
	assert_int_equal(entry(m, "a.service", "y")->token, 1);
	luo_mapping_free(m);
}

static void test_alias_before(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v262-alias-before.json");

	assert_int_equal(m->n_all_issues, 0);
	assert_true(entry(m, "a.service", "x")->alias);
	assert_false(entry(m, "b.service", "x")->alias);
	luo_mapping_free(m);
}

/* ---- written ---- */

static void round_trip(const char *name, const struct luo_mapping *m, unsigned flags)
{
	_cleanup_free_ char *text = NULL, *again = NULL;
	struct luo_mapping *back;

	assert_int_equal(luo_mapping_format(m, flags, &text, NULL), 0);
	back = must_parse(text);
	if (back->n_all_issues || back->generation != LUO_MAPPING_V262 || !same_mapping(m, back))
		fail_msg("%s is not the same after a round trip: %s", name, text);
	assert_int_equal(luo_mapping_format(back, flags, &again, NULL), 0);
	assert_string_equal(text, again);
	luo_mapping_free(back);
}

static void test_round_trip(void **state)
{
	_cleanup_free_ char *path = fixture_path("");
	DIR *dir = opendir(path);
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir))) {
		struct luo_mapping *m;

		if (d->d_name[0] == '.' || startswith(d->d_name, "bad-"))
			continue;
		m = must_parse_fixture(d->d_name);
		round_trip(d->d_name, m, 0);
		round_trip(d->d_name, m, LUO_MAPPING_FORMAT_PRETTY);
		round_trip(d->d_name, m, LUO_MAPPING_FORMAT_V261);
		round_trip(d->d_name, m, LUO_MAPPING_FORMAT_V261 | LUO_MAPPING_FORMAT_PRETTY);
		luo_mapping_free(m);
		n++;
	}
	closedir(dir);
	assert_true(n >= 25);
}

static void test_unknown_keys(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v262-future-keys.json");
	static const char expected[] =
		"{\"version\":1,\"state\":{\"KExecCount\":2,\"SoftReboots\":7},\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"memory\",\"token\":1,\"colour\":\"blue\",\"nested\":{\"deep\":[1,2.5,null,{\"er\":true}]}}],\"sockets\":[{\"unit\":\"x\"}],\"a/b\":\"c/d\"}},\"futureTop\":{\"k\":[1,\"\u00e4\\u0000b\"]}}";

	assert_string_equal(m->state_extra, "{\"SoftReboots\":7}");
	expect_text(m, 0, expected);
	luo_mapping_free(m);
}

static void test_both_versions(void **state)
{
	struct luo_mapping *m = must_parse_fixture("v261-and-v262.json");
	static const char both[] =
		"{\"version\":1,\"state\":{},\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"memory\",\"token\":1}]},\"b.service\":{\"fdstore\":[]}},\"other.service\":[{\"type\":\"fd\",\"name\":\"x\",\"token\":9}],\"a.service\":[{\"type\":\"fd\",\"name\":\"memory\",\"token\":1}],\"b.service\":[]}";

	assert_string_equal(m->extra,
			    "{\"other.service\":[{\"type\":\"fd\",\"name\":\"x\",\"token\":9}]}");
	expect_text(m, LUO_MAPPING_FORMAT_V261, both);

	/* an unknown key that now is a unit stands there once, as the unit */
	assert_int_equal(luo_store_add_unit(m->store, "other.service", NULL, NULL), 0);
	luo_unit_remove(unit(m, "a.service"));
	luo_unit_remove(unit(m, "b.service"));
	expect_text(
		m, LUO_MAPPING_FORMAT_V261,
		"{\"version\":1,\"state\":{},\"units\":{\"other.service\":{\"fdstore\":[]}},\"other.service\":[]}");
	luo_mapping_free(m);
}

/* A name that the top level has already must not become a key there a second time. */
static void test_reserved_unit_names(void **state)
{
	struct luo_mapping *m = must_parse_fixture("unit-called-version.json");

	expect_text(
		m, LUO_MAPPING_FORMAT_V261,
		"{\"version\":1,\"state\":{},\"units\":{\"version\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"x\",\"token\":1}]},\"units\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"y\",\"token\":2}]}}}");
	luo_mapping_free(m);
}

/* systemd hands out what it finds in "fdstore": a packed copy, or an alias of one, is not there. */
static void test_packed_is_hidden(void **state)
{
	struct luo_mapping *m = must_parse(
		"{\"version\":1,\"units\":{\"a\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"p\",\"token\":1,\"size\":9,\"packed\":[[1,1]]},{\"type\":\"fd\",\"name\":\"whole\",\"token\":2,\"size\":9,\"packed\":[[0,9]]}]},\"b\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"p\",\"token\":1,\"alias\":true}]}}}");

	assert_int_equal(m->n_all_issues, 0);
	expect_text(
		m, LUO_MAPPING_FORMAT_V261,
		"{\"version\":1,\"state\":{},\"units\":{\"a\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"whole\",\"token\":2,\"size\":9,\"packed\":[[0,9]]}],\"fdstoreSpill\":[{\"type\":\"fd\",\"name\":\"p\",\"token\":1,\"position\":0,\"size\":9,\"packed\":[[1,1]]}]},\"b\":{\"fdstore\":[],\"fdstoreSpill\":[{\"type\":\"fd\",\"name\":\"p\",\"token\":1,\"alias\":true}]}},\"a\":[{\"type\":\"fd\",\"name\":\"whole\",\"token\":2}],\"b\":[]}");
	round_trip("packed", m, LUO_MAPPING_FORMAT_V261);
	luo_mapping_free(m);
}

static struct luo_mapping *new_with_entry(struct luo_entry **ret_entry)
{
	struct luo_mapping *m;
	struct luo_unit *u;

	assert_int_equal(luo_mapping_new(&m), 0);
	assert_int_equal(luo_store_add_unit(m->store, "a", NULL, &u), 0);
	assert_int_equal(luo_unit_add_lazy(u, "x", LUO_ENTRY_FD, 0, 1, ret_entry), 0);
	return m;
}

/* The name of a memfd is any bytes, a cgroup too: none of them may break the document. */
static void test_not_utf8(void **state)
{
	struct luo_entry *e;
	struct luo_mapping *m = new_with_entry(&e);

	e->meta.known = LUO_META_FILE_NAME;
	e->meta.file_name = strdup("\xff\"\\\n\x7f\xc3\xa4\xed\xa0\x80");
	assert_int_equal(luo_store_add_unit(m->store, "a", "/\xff", NULL), 0);
	expect_text(
		m, 0,
		"{\"version\":1,\"state\":{},\"units\":{\"a\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"fileName\":\"?\\\"\\\\\\u000a\x7f\xc3\xa4???\"}]}}}");
	luo_mapping_free(m);
}

static void test_left_out(void **state)
{
	struct luo_entry *e, *s;
	struct luo_mapping *m = new_with_entry(&e);
	static const char nothing[] =
		"{\"version\":1,\"state\":{},\"units\":{\"a\":{\"fdstore\":[]}}}";
	char *text;

	assert_int_equal(luo_unit_add_lazy(e->unit, "s", LUO_ENTRY_SESSION, 0, 0, &s), 0);
	e->token = 0;
	expect_text(m, 0, nothing);
	e->token = UINT64_MAX;
	expect_text(m, 0, nothing);
	s->session_name = strdup("");
	expect_text(m, 0, nothing);

	/* but a session that is not there is the caller's mistake */
	e->token = 1;
	e->session = 1;
	assert_int_equal(luo_mapping_format(m, 0, &text, NULL), -EINVAL);

	/* as is a packed copy that would look like the file */
	e->session = 0;
	e->meta.packed = true;
	assert_int_equal(luo_mapping_format(m, 0, &text, NULL), -EINVAL);
	luo_mapping_free(m);
}

static void test_out_of_range_is_not_written(void **state)
{
	struct luo_entry *e;
	struct luo_mapping *m = new_with_entry(&e);

	e->meta = (struct luo_entry_meta){
		.known = ~0u,
		.mode = 0100777,
		.uid = (uid_t)-1,
		.seals = 0x40,
		.size = UINT64_MAX,
		.offset = UINT64_MAX,
		.stored_at = UINT64_MAX,
		.open_flags = O_RDWR | O_NONBLOCK,
	};
	expect_text(
		m, 0,
		"{\"version\":1,\"state\":{},\"units\":{\"a\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"x\",\"token\":1}]}}}");
	luo_mapping_free(m);
}

/* Out of memory once, with room again for what comes after: the text has a hole in it. */
static void test_writer_stays_failed(void **state)
{
	struct json_writer w = { 0 };
	char *text;

	jw_string(&w, "before");
	w.failed = true;
	jw_string(&w, "after");
	assert_int_equal(jw_take(&w, &text, NULL), -ENOMEM);
	assert_null(w.text);
}

static struct luo_mapping *ten_thousand(void)
{
	struct luo_mapping *m;
	struct luo_unit *u;
	struct luo_entry *e;
	char name[32];

	assert_int_equal(luo_mapping_new(&m), 0);
	assert_int_equal(luo_store_add_unit(m->store, "a.service", "/a.service", &u), 0);
	for (unsigned i = 1; i <= 10000; i++) {
		snprintf(name, sizeof(name), "memory-%u", i);
		assert_int_equal(luo_unit_add_lazy(u, name, LUO_ENTRY_FD, 0, i, &e), 0);
		e->meta.file_name = strdup(name);
		e->meta.size = 4096;
		e->meta.stored_at = UINT64_C(1795000000000000) + i;
		e->meta.known = LUO_META_FILE_NAME | LUO_META_SIZE | LUO_META_STORED_AT;
	}
	return m;
}

/* Only told, not judged: the machine may be busy. */
static void test_ten_thousand(void **state)
{
	struct luo_mapping *m = ten_thousand(), *back = NULL;
	_cleanup_free_ char *text = NULL;
	uint64_t start, formatted, parsed;
	size_t size;

	start = now_usec(CLOCK_MONOTONIC);
	assert_int_equal(luo_mapping_format(m, 0, &text, &size), 0);
	formatted = now_usec(CLOCK_MONOTONIC);
	assert_int_equal(luo_mapping_parse(text, size, &back, NULL), 0);
	parsed = now_usec(CLOCK_MONOTONIC);
	assert_true(same_mapping(m, back));
	print_message("10,000 entries, %zu bytes: formatted in %u us, parsed in %u us\n", size,
		      (unsigned)(formatted - start), (unsigned)(parsed - formatted));
	luo_mapping_free(m);
	luo_mapping_free(back);
}

#define T(f) cmocka_unit_test_setup_teardown(f, remember_fds, check_fds)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_refused),
		T(test_arguments),
		T(test_limits),
		T(test_deepest),
		T(test_read_fd),
		T(test_skipped),
		T(test_skipped_reasons),
		T(test_issues_are_printable),
		T(test_draft),
		T(test_v261),
		T(test_v262),
		T(test_every_key),
		T(test_duplicate_keys),
		T(test_alias_before),
		T(test_round_trip),
		T(test_unknown_keys),
		T(test_both_versions),
		T(test_reserved_unit_names),
		T(test_packed_is_hidden),
		T(test_not_utf8),
		T(test_left_out),
		T(test_out_of_range_is_not_written),
		T(test_writer_stays_failed),
		T(test_ten_thousand),
	};

	return cmocka_run_group_tests_name("mapping", tests, NULL, NULL);
}
