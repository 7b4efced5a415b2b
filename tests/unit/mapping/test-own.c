/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The short way to read a mapping gives the same as the long one, or says that it cannot: for what
 * we write, and for everything that is one byte away from it.
 */

#include "tests/mapping-compare.h"
#include "tests/unit/helpers.h"
#include "libluo/mapping/own.h"

static void add(struct luo_unit *unit, const char *name, unsigned session, uint64_t token,
		struct luo_entry **ret)
{
	assert_int_equal(luo_unit_add_lazy(unit, name, LUO_ENTRY_FD, session, token, ret), 0);
}

static void add_everything(struct luo_unit *unit)
{
	struct luo_entry *e;

	add(unit, "all", 0, 1, &e);
	e->poll = false;
	e->meta = (struct luo_entry_meta){
		.known = 0xff & ~LUO_META_SEALS,
		.file_name = strdup("guest-ram"),
		.mode = 0600,
		.uid = 1000,
		.gid = 100,
		.open_flags = O_WRONLY | O_APPEND,
		.size = 4096,
		.offset = 17,
		.stored_at = UINT64_C(1795000000000000),
	};
	add(unit, "sealed", 0, 2, &e);
	e->meta = (struct luo_entry_meta){ .known = LUO_META_SEALS, .seals = 0x20 };
	add(unit, "read only", 0, 2, &e);
	e->alias = true;
	e->meta = (struct luo_entry_meta){ .known = LUO_META_OPEN_FLAGS, .open_flags = O_RDONLY };
}

static struct luo_mapping *whole(void)
{
	struct luo_unit *a, *b, *empty;
	struct luo_mapping *m;
	struct luo_entry *e;

	assert_int_equal(luo_mapping_new(&m), 0);
	m->state = (struct luo_mapping_state){
		.struct_size = sizeof(struct luo_mapping_state),
		.kexec_count = 3,
		.have_kexec_count = true,
		.shutdown_finish = { 1795000000000000, 42 },
		.shutdown_late_start = { 1795000000000001, 0 },
	};
	m->spills = calloc(2, sizeof(char *));
	assert_non_null(m->spills);
	m->spills[m->n_spills++] = strdup("luod.1");
	m->spills[m->n_spills++] = strdup("luod.2");
	assert_int_equal(luo_store_add_unit(m->store, "a.service", "/system/a.service", &a), 0);
	assert_int_equal(luo_store_add_unit(m->store, "b.service", NULL, &b), 0);
	assert_int_equal(luo_store_add_unit(m->store, "empty.service", NULL, &empty), 0);
	a->fdstore_max = 512;
	add_everything(a);
	add(a, "first", 1, 1, &e);
	add(a, "ahead", 2, 1, &e); /* of a file that comes later */
	e->alias = true;
	add(b, "second", 1, 2, &e);
	add(b, "third", 2, 1, &e);
	return m;
}

/* What the short way accepts, the long one must read as the same and without an issue. */
static int agree(const char *text, size_t size)
{
	struct luo_mapping *own = NULL, *any = NULL;
	char *own_text = NULL, *any_text = NULL;
	int r;

	r = mapping_parse_own(text, size, &own);
	if (r == 0) {
		assert_null(own);
		return 0;
	}
	assert_int_equal(r, 1);
	if (mapping_parse_any(text, size, &any, NULL) < 0)
		fail_msg("only the short way takes %.*s", (int)size, text);
	assert_int_equal(any->n_all_issues, 0);
	assert_int_equal(any->generation, own->generation);
	assert_true(same_mapping(own, any));
	assert_int_equal(luo_mapping_format(own, 0, &own_text, NULL), 0);
	assert_int_equal(luo_mapping_format(any, 0, &any_text, NULL), 0);
	assert_string_equal(own_text, any_text);
	free(own_text);
	free(any_text);
	luo_mapping_free(own);
	luo_mapping_free(any);
	return 1;
}

static char *text_of(struct luo_mapping *m, size_t *ret_size)
{
	char *text;

	assert_int_equal(luo_mapping_format(m, 0, &text, ret_size), 0);
	luo_mapping_free(m);
	return text;
}

static void test_ours(void **state)
{
	size_t size;
	char *text = text_of(whole(), &size);
	struct luo_mapping *m;

	assert_int_equal(agree(text, size), 1);
	free(text);
	assert_int_equal(luo_mapping_new(&m), 0);
	text = text_of(m, &size);
	assert_int_equal(agree(text, size), 1);
	free(text);
}

static void test_cut_off(void **state)
{
	size_t size;
	char *text = text_of(whole(), &size);

	for (size_t n = 0; n < size; n++) {
		char *copy = malloc(n ? n : 1); /* its end is where valgrind and ASan look */

		assert_non_null(copy);
		memcpy(copy, text, n);
		assert_int_equal(agree(copy, n), 0);
		free(copy);
	}
	free(text);
}

static void test_one_byte_away(void **state)
{
	static const char bytes[] = "019\"\\,:{}[] .-xe\x01\x7f\xff";
	size_t size, taken = 0;
	char *text = text_of(whole(), &size);
	char *copy = malloc(size + 1);

	assert_non_null(copy);
	for (size_t at = 0; at < size; at++) {
		for (size_t i = 0; i < sizeof(bytes); i++) { /* the NUL as well */
			memcpy(copy, text, size);
			copy[at] = bytes[i];
			taken += agree(copy, size);
			memcpy(copy + at + 1, text + at, size - at);
			taken += agree(copy, size + 1);
		}
		memcpy(copy, text, at);
		memcpy(copy + at, text + at + 1, size - at - 1);
		taken += agree(copy, size - 1);
	}
	/* Names and numbers that are as good as the first ones: the test must not be an empty one.
	 */
	assert_true(taken > 500);
	free(copy);
	free(text);
}

#define HEAD          "{\"version\":1,\"state\":{},"
#define UNIT(entries) HEAD "\"units\":{\"a\":{\"fdstore\":[" entries "]}}}"
#define FILE_1        "{\"type\":\"fd\",\"name\":\"x\",\"token\":1}"
#define SPILLED(name) "{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"session\":\"" name "\"}"
#define SPILLS(list)  HEAD "\"spillSessions\":[" list "],\"units\":{}}"

static void test_left_to_the_other(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		" " UNIT(FILE_1),
		UNIT(FILE_1) "\n",
		UNIT(FILE_1 "," FILE_1), /* the token twice */
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":2}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":0}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":0,\"alias\":true}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"alias\":true}"), /* of nothing
										      */
		UNIT("{\"type\":\"fd\",\"name\":\"a:b\",\"token\":1}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":9999999999999999999}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"mode\":4096}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"uid\":4294967295,\"gid\":0}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"seals\":64}"),
		UNIT("{\"type\":\"fd\",\"name\":\"x\",\"token\":1,\"later\":1}"),
		UNIT("{\"type\":\"luo_session\",\"name\":\"x\",\"sessionName\":\"y\"}"),
		UNIT(SPILLED("a.1")),
		SPILLS(""),
		SPILLS("\"a.2\""),
		SPILLS("\"a.1\",\"a.1\""),
		HEAD
		"\"spillSessions\":[\"a.1\"],\"units\":{\"a\":{\"fdstore\":[],\"fdstoreSpill\":[" SPILLED(
			"b.1") "]}}}",
		HEAD "\"units\":{\"a\":{\"fdstore\":[]},\"a\":{\"fdstore\":[]}}}",
		HEAD "\"units\":{\"/\":{\"fdstore\":[]}}}",
		HEAD "\"units\":{\"a\":{\"fdstore\":[],\"cgroup\":\"a\"}}}",
		HEAD "\"units\":{\"a\":{\"fdstore\":[],\"fdstoreMax\":4294967296}}}",
		HEAD "\"units\":{},\"later\":1}",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		if (agree(texts[i], strlen(texts[i])) != 0)
			fail_msg("taken: %s", texts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_one_byte_away),
		cmocka_unit_test(test_left_to_the_other),
	};

	return cmocka_run_group_tests_name("mapping-own", tests, NULL, NULL);
}
