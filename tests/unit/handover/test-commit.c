/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The commit over the fake device: what is refused, what fails, what is left, what fits. */

#include "tests/unit/handover/fixture.h"

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_bad_session_name(void **state)
{
	struct luo_store *store = new_store();
	struct luo_commit_options options = { .struct_size = sizeof(options), .session_name = "" };
	struct luo_commit *commit = NULL;

	assert_int_equal(luo_commit_new(&store, 1, &options, &commit), -EINVAL);
	options.session_name =
		"name-longer-than-sixty-three-bytes-is-refused-by-the-kernel-itself-";
	assert_int_equal(luo_commit_new(&store, 1, &options, &commit), -EINVAL);
	assert_null(commit);
	luo_store_free(store);
}

static void test_name_taken(void **state)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF;
	struct luo_store *store = new_store();
	struct luo_commit *commit = NULL;

	add(store, "a.service", "one", make_memfd("m", "content"));
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, LUO_DEFAULT_SESSION, &session), 0);
	device = safe_close(device);

	assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -EEXIST);
	assert_null(commit);
	/* Nothing was preserved: the file can go into another session. */
	assert_int_equal(
		luo_session_preserve_fd(session, luo_store_unit_at(store, 0)->entries[0]->fd, 7),
		0);
	luo_store_free(store);
}

static void test_device_busy_and_missing(void **state)
{
	_cleanup_close_ int device = -EBADF;
	struct luo_store *store = new_store();
	struct luo_commit *commit = NULL;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -EBUSY);
	device = safe_close(device);

	fake_luo_set_support(LUO_SUPPORT_OFF);
	assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -EOPNOTSUPP);
	fake_luo_set_support(LUO_SUPPORT_NONE);
	assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -ENODEV);
	luo_store_free(store);
}

static void test_lazy_entry_refused(void **state)
{
	struct luo_store *store = new_store();
	struct luo_commit *commit = NULL;
	struct luo_entry *entry;
	struct luo_unit *unit;

	assert_int_equal(luo_store_add_unit(store, "a.service", NULL, &unit), 0);
	assert_int_equal(luo_unit_add_lazy(unit, "one", LUO_ENTRY_FD, 0, 1, &entry), 0);
	assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -EINVAL);
	luo_store_free(store);
}

static void test_not_preservable(void **state)
{
	struct luo_store *store = new_store();
	struct luo_commit_summary summary = { .struct_size = sizeof(summary) };
	struct luo_incoming *incoming;
	struct luo_commit *commit;
	int sockets[2], pipes[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	add(store, "a.service", "socket", sockets[0]);
	add(store, "a.service", "pipe", pipes[0]);
	add(store, "a.service", "file", open("/dev/null", O_RDONLY | O_CLOEXEC));
	add(store, "a.service", "memory", make_memfd("m", "kept"));

	commit = commit_store(store, NULL);
	assert_int_equal(luo_commit_get_summary(commit, &summary), 0);
	assert_int_equal(summary.entries, 4);
	assert_int_equal(summary.preserved, 1);
	assert_int_equal(summary.lost, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(result_of(commit, i)->result, LUO_RESULT_NOT_PRESERVABLE);
		assert_non_null(result_of(commit, i)->reason);
	}
	assert_int_equal(result_of(commit, 3)->result, LUO_RESULT_PRESERVED);
	luo_commit_free(commit);

	incoming = live_update(store, NULL);
	assert_int_equal(luo_store_n_entries(luo_incoming_mapping(incoming)->store), 1);
	assert_content(restored(incoming, "a.service", "memory"), "kept");
	luo_incoming_free(incoming);
	safe_close(sockets[1]);
	safe_close(pipes[1]);
}

/* ---- many files ------------------------------------------------------------------------------ */

static void test_limit_asked_for(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 128 };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;

	fill(store, 300);
	incoming = live_update(store, &options);
	assert_int_equal(luo_incoming_mapping(incoming)->n_spills, 2);
	check_filled(incoming, 300);
	assert_int_equal(luo_incoming_finish(incoming), 0);
	luo_incoming_free(incoming);
}

/* As before kernel 7.2, with an option that hopes for more: found out by ENOSPC. */
static void test_limit_of_the_kernel(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 1000 };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct fake_luo_stats stats;

	fake_luo_set_file_limit(128);
	fill(store, 300);
	incoming = live_update(store, &options);
	check_filled(incoming, 300);
	assert_int_equal(luo_incoming_finish(incoming), 0);
	luo_incoming_free(incoming);
	fake_luo_stats(&stats);
	assert_int_equal(stats.incoming, 0);
}

static void test_limit_by_default(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;

	fake_luo_set_file_limit(128);
	fill(store, 600);
	incoming = live_update(store, NULL);
	check_filled(incoming, 600);
	luo_incoming_free(incoming);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_every_call_can_fail(void **state)
{
	static const enum fake_luo_op ops[] = { FAKE_LUO_OPEN, FAKE_LUO_CREATE };

	for (size_t i = 0; i < ELEMENTSOF(ops); i++) {
		struct luo_store *store = new_store();
		struct luo_commit *commit = NULL;
		struct fake_luo_stats stats;

		fill(store, 5);
		fake_luo_fail(ops[i], 1, ENOMEM);
		assert_int_equal(luo_commit_new(&store, 1, NULL, &commit), -ENOMEM);
		fake_luo_stats(&stats);
		assert_int_equal(stats.outgoing, 0);
		assert_int_equal(stats.files, 0);
		luo_store_free(store);
	}
}

/* A file that fails is in the report, the others travel; without its mapping nothing travels. */
static void test_preserve_fails_at_each_file(void **state)
{
	for (unsigned nth = 1; nth <= 6; nth++) {
		struct luo_store *store = new_store();
		struct luo_commit_summary summary = { .struct_size = sizeof(summary) };
		struct luo_commit *commit = NULL;
		struct fake_luo_stats stats;
		int r;

		fill(store, 5);
		fake_luo_fail(FAKE_LUO_PRESERVE_FD, nth, ENOMEM);
		r = luo_commit_new(&store, 1, NULL, &commit);
		fake_luo_stats(&stats);
		if (nth == 6) {
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(stats.files, 0);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(luo_commit_get_summary(commit, &summary), 0);
			assert_int_equal(summary.lost, 1);
			assert_int_equal(result_of(commit, nth - 1)->result, LUO_RESULT_FAILED);
			assert_int_equal(result_of(commit, nth - 1)->error, -ENOMEM);
			assert_int_equal(stats.files, 5); /* four and the mapping */
		}
		luo_commit_free(commit);
		luo_store_free(store);
	}
}

static void test_alias_of_failed(void **state)
{
	struct luo_store *store = new_store();
	struct luo_commit *commit;
	int fd = make_memfd("m", "x");

	add(store, "a.service", "one", fd);
	add(store, "b.service", "two", fcntl(fd, F_DUPFD_CLOEXEC, 3));
	fake_luo_fail(FAKE_LUO_PRESERVE_FD, 1, EFBIG);
	commit = commit_store(store, NULL);
	assert_int_equal(result_of(commit, 0)->result, LUO_RESULT_FAILED);
	assert_int_equal(result_of(commit, 1)->result, LUO_RESULT_FAILED);
	assert_int_equal(result_of(commit, 1)->error, -EFBIG);
	luo_commit_free(commit);
	luo_store_free(store);
}

static void test_undo(void **state)
{
	struct luo_store *store = new_store();
	struct fake_luo_stats stats;
	struct luo_commit *commit;

	fill(store, 3);
	commit = commit_store(store, NULL);
	fake_luo_stats(&stats);
	assert_int_equal(stats.files, 4);
	luo_commit_free(commit);
	fake_luo_stats(&stats);
	assert_int_equal(stats.files, 0);
	/* The dry run left everything as it was: it can be done again. */
	commit = commit_store(store, NULL);
	luo_commit_free(commit);
	luo_store_free(store);
}

/* A file whose file system is full cannot be preserved; that is its own affair. */
static void test_no_space_for_one(void **state)
{
	for (unsigned nth = 1; nth <= 5; nth++) {
		struct luo_store *store = new_store();
		struct luo_commit_summary summary = { .struct_size = sizeof(summary) };
		struct luo_commit *commit;

		fill(store, 5);
		fake_luo_fail(FAKE_LUO_PRESERVE_FD, nth, ENOSPC);
		commit = commit_store(store, NULL);
		assert_int_equal(luo_commit_get_summary(commit, &summary), 0);
		assert_int_equal(summary.preserved, 4);
		assert_int_equal(result_of(commit, nth - 1)->error, -ENOSPC);
		luo_commit_free(commit);
		luo_store_free(store);
	}
}

/* As many files as a session takes: there is no place left for the mapping. */
static void test_just_full(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 500 };

	for (unsigned n = 126; n <= 130; n++) {
		struct luo_store *store = new_store();
		struct luo_commit *commit;
		size_t sessions;

		fake_luo_set_file_limit(128);
		fill(store, n);
		commit = commit_store(store, &options);
		(void)luo_commit_sessions(commit, &sessions);
		assert_int_equal(sessions, n < 128 ? 1 : 2);
		luo_commit_free(commit);
		luo_store_free(store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HANDOVER_TEST(test_bad_session_name),
		HANDOVER_TEST(test_name_taken),
		HANDOVER_TEST(test_device_busy_and_missing),
		HANDOVER_TEST(test_lazy_entry_refused),
		HANDOVER_TEST(test_not_preservable),
		HANDOVER_TEST(test_limit_asked_for),
		HANDOVER_TEST(test_limit_of_the_kernel),
		HANDOVER_TEST(test_limit_by_default),
		HANDOVER_TEST(test_every_call_can_fail),
		HANDOVER_TEST(test_preserve_fails_at_each_file),
		HANDOVER_TEST(test_alias_of_failed),
		HANDOVER_TEST(test_undo),
		HANDOVER_TEST(test_no_space_for_one),
		HANDOVER_TEST(test_just_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
