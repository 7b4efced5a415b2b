/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* One store committed into two sessions, and what came in from both taken for one. */

#include "libluo/handover/commit-plan.h"
#include "tests/unit/handover/fixture.h"
#include "libluo/handover/incoming.h"

#define OTHER "systemd"

static bool is_of_a(const struct luo_entry *entry, void *userdata)
{
	return streq(entry->unit->name, "a.service") && !streq(entry->name, "second");
}

static bool is_not_of_a(const struct luo_entry *entry, void *userdata)
{
	return !is_of_a(entry, userdata);
}

/* a.service has entries in both. */
static void live_update_of_two(struct luo_incoming **ret_first, struct luo_incoming **ret_second)
{
	struct luo_store *store = new_store();
	struct luo_commit *own, *other;
	int fd = make_memfd("s", "shared"), shared;

	add(store, "a.service", "first", make_memfd("1", "one"));
	add(store, "a.service", "second", make_memfd("2", "two"));
	add(store, "b.service", "third", make_memfd("3", "three"));
	shared = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	add(store, "b.service", "shared", fd);
	add(store, "c.service", "shared", shared);

	own = commit_store(store, &(struct luo_commit_options){
					  .struct_size = sizeof(struct luo_commit_options),
					  .wants = is_not_of_a });
	other = commit_store(store, &(struct luo_commit_options){
					    .struct_size = sizeof(struct luo_commit_options),
					    .session_name = OTHER,
					    .wants = is_of_a });
	assert_int_equal(luo_commit_n_results(own), 4);
	assert_int_equal(luo_commit_n_results(other), 1);
	fake_luo_kexec();
	luo_commit_free(own);
	luo_commit_free(other);
	luo_store_free(store);
	*ret_first = retrieve(LUO_DEFAULT_SESSION);
	*ret_second = retrieve(OTHER);
}

static void test_merge(void **state)
{
	struct luo_incoming *incoming, *second;
	struct stat a, b;

	live_update_of_two(&incoming, &second);
	assert_int_equal(luo_incoming_merge(incoming, second), 0);
	assert_int_equal(luo_store_n_entries(luo_incoming_mapping(incoming)->store), 5);
	assert_int_equal(luo_store_n_units(luo_incoming_mapping(incoming)->store), 3);
	assert_content(restored(incoming, "a.service", "first"), "one");
	assert_content(restored(incoming, "a.service", "second"), "two");
	assert_content(restored(incoming, "b.service", "third"), "three");
	assert_int_equal(fstat(restored(incoming, "b.service", "shared"), &a), 0);
	assert_int_equal(fstat(restored(incoming, "c.service", "shared"), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_string_equal(
		luo_incoming_group_of(incoming, find(incoming, "a.service", "first", 0))->name,
		OTHER);
	assert_string_equal(
		luo_incoming_group_of(incoming, find(incoming, "a.service", "second", 0))->name,
		LUO_DEFAULT_SESSION);
	assert_int_equal(luo_incoming_finish(incoming), 0);
	luo_incoming_free(incoming);
}

/* The other way round, and an alias that is in the second of the two. */
static void test_merge_reversed(void **state)
{
	struct luo_incoming *first, *incoming;
	struct stat a, b;

	live_update_of_two(&first, &incoming);
	assert_int_equal(luo_incoming_merge(incoming, first), 0);
	assert_int_equal(fstat(restored(incoming, "c.service", "shared"), &b), 0);
	assert_int_equal(fstat(restored(incoming, "b.service", "shared"), &a), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_content(restored(incoming, "a.service", "first"), "one");
	luo_incoming_free(incoming);
}

/* Finishing takes both along, and closing what was merged frees nothing that was taken out. */
static void test_finish_is_of_both(void **state)
{
	struct luo_incoming *incoming, *second;
	const int *fds;
	size_t n;
	int fd;

	live_update_of_two(&incoming, &second);
	assert_int_equal(luo_incoming_merge(incoming, second), 0);
	assert_int_equal(luo_incoming_finish(incoming), 0);
	fds = luo_incoming_sessions(incoming, &n);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(luo_session_retrieve_fd(fds[i], 1, &fd), -ENOENT);
	luo_incoming_free(incoming);
}

static bool is_even(const struct luo_entry *entry, void *userdata)
{
	return entry->meta.stored_at % 2 == 0;
}

static bool is_odd(const struct luo_entry *entry, void *userdata)
{
	return !is_even(entry, userdata);
}

/* Of one name, in turn in the one session and in the other. */
static void test_order(void **state)
{
	static const char *const contents[] = { "0", "1", "2", "3", "4", "5" };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming, *second;
	struct luo_commit *own, *other;
	struct luo_entry *entry;
	uint64_t at = 0;

	for (size_t i = 0; i < ELEMENTSOF(contents); i++)
		add(store, "a.service", "ram", make_memfd("m", contents[i]));
	LUO_FOREACH_ENTRY (entry, luo_store_find_unit(store, "a.service")) {
		entry->meta.stored_at = ++at;
		entry->meta.known |= LUO_META_STORED_AT;
	}
	own = commit_store(store, &(struct luo_commit_options){
					  .struct_size = sizeof(struct luo_commit_options),
					  .wants = is_even });
	other = commit_store(store, &(struct luo_commit_options){
					    .struct_size = sizeof(struct luo_commit_options),
					    .session_name = OTHER,
					    .wants = is_odd });
	fake_luo_kexec();
	luo_commit_free(own);
	luo_commit_free(other);
	luo_store_free(store);
	incoming = retrieve(LUO_DEFAULT_SESSION);
	second = retrieve(OTHER);
	assert_int_equal(luo_incoming_merge(incoming, second), 0);
	for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
		entry = find(incoming, "a.service", "ram", i);
		assert_int_equal(luo_incoming_restore(incoming, entry), 0);
		assert_content(entry->fd, contents[i]);
	}
	luo_incoming_free(incoming);
}

/* What is not understood stays by itself, and both are as they were. */
static void test_unreadable_is_not_merged(void **state)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF;
	struct luo_incoming *incoming, *second;
	struct luo_store *store = new_store();

	add(store, "a.service", "x", make_memfd("x", "x"));
	incoming = live_update(store, NULL);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "empty", &session), 0);
	assert_int_equal(luo_incoming_adopt(&session, 1, &second), 0);
	session = -EBADF;
	assert_non_null(luo_incoming_problem(second));
	assert_int_equal(luo_incoming_merge(incoming, second), -EBUSY);
	assert_int_equal(luo_incoming_merge(second, incoming), -EBUSY);
	assert_content(restored(incoming, "a.service", "x"), "x");
	luo_incoming_free(incoming);
	luo_incoming_free(second);
}

static void test_travels_plain(void **state)
{
	int plain = make_memfd("plain", "x"), sparse = make_memfd("sparse", "x"), fds[2];

	assert_true(luo_commit_travels_plain(plain));
	assert_int_equal(ftruncate(sparse, 1 << 30), 0);
	assert_false(luo_commit_travels_plain(sparse));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(luo_commit_travels_plain(fds[0]));
	close(plain);
	close(sparse);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HANDOVER_TEST(test_merge),
		HANDOVER_TEST(test_merge_reversed),
		HANDOVER_TEST(test_order),
		HANDOVER_TEST(test_finish_is_of_both),
		HANDOVER_TEST(test_unreadable_is_not_merged),
		HANDOVER_TEST(test_travels_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
