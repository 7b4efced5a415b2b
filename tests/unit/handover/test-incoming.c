/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* What came in, over the fake device: all that was committed comes back, and nothing is lost. */

#include "tests/unit/handover/fixture.h"
#include "libluo/handover/incoming.h"

/* ---- what comes back ------------------------------------------------------------------------- */

static void test_simple(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	int fd;

	add(store, "a.service", "one", make_memfd("my-memory", "hello"));
	incoming = live_update(store, NULL);

	assert_null(luo_incoming_problem(incoming));
	assert_string_equal(luo_incoming_name(incoming), LUO_DEFAULT_SESSION);
	fd = restored(incoming, "a.service", "one");
	assert_content(fd, "hello");
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
	assert_string_equal(find(incoming, "a.service", "one", 0)->meta.file_name, "my-memory");
	assert_int_equal(luo_incoming_finish(incoming), 0);
	luo_incoming_free(incoming);
}

static void test_name_survives_two_kexecs(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;

	add(store, "a.service", "one", make_memfd("my-memory", "hello"));
	incoming = live_update(store, NULL);
	restored(incoming, "a.service", "one");
	assert_int_equal(luo_incoming_finish(incoming), 0);

	commit = commit_store(luo_incoming_mapping(incoming)->store, NULL);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_incoming_free(incoming);

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_content(restored(incoming, "a.service", "one"), "hello");
	assert_string_equal(find(incoming, "a.service", "one", 0)->meta.file_name, "my-memory");
	luo_incoming_free(incoming);
}

static void test_aliases(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	int fd = make_memfd("shared", "x"), other;
	struct luo_commit *commit;

	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &other), 0);
	assert_int_equal(lseek(other, 1, SEEK_SET), 1);
	add(store, "a.service", "one", fd);
	add(store, "b.service", "same-description", fcntl(fd, F_DUPFD_CLOEXEC, 3));
	add(store, "c.service", "read-only", other);

	commit = commit_store(store, NULL);
	assert_int_equal(result_of(commit, 0)->result, LUO_RESULT_PRESERVED);
	assert_int_equal(result_of(commit, 1)->result, LUO_RESULT_ALIAS);
	assert_ptr_equal(result_of(commit, 1)->alias_of, result_of(commit, 0)->entry);
	assert_int_equal(result_of(commit, 2)->result, LUO_RESULT_ALIAS);
	luo_commit_free(commit);

	incoming = live_update(store, NULL);
	/* The alias first: it must not matter who asks first. */
	other = restored(incoming, "c.service", "read-only");
	fd = restored(incoming, "a.service", "one");
	assert_int_equal(pwrite(fd, "written", 7, 0), 7);
	assert_content(other, "written");
	assert_int_equal(fcntl(other, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(lseek(other, 0, SEEK_CUR), 1);
	assert_int_equal(pwrite(other, "x", 1, 0), -1);
	assert_int_equal(
		luo_fd_same_description(fd, restored(incoming, "b.service", "same-description")),
		1);
	luo_incoming_free(incoming);
}

static void test_attributes(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	int fd = make_memfd("attributes", "abc"), ro;
	struct stat st;
	unsigned seals;

	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	assert_int_equal(luo_memfd_add_seals(fd, F_SEAL_SHRINK), 0);
	add(store, "a.service", "append", fd);
	fd = make_memfd("ro", "read me");
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, &ro), 0);
	assert_int_equal(lseek(ro, 3, SEEK_SET), 3);
	safe_close(fd);
	add(store, "a.service", "ro", ro);

	incoming = live_update(store, NULL);
	fd = restored(incoming, "a.service", "append");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(fcntl(fd, F_GETFL) & O_APPEND);
	assert_int_equal(luo_memfd_get_seals(fd, &seals), 0);
	assert_int_equal(seals, F_SEAL_SHRINK);

	ro = restored(incoming, "a.service", "ro");
	assert_int_equal(fcntl(ro, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(pwrite(ro, "x", 1, 0), -1);
	assert_int_equal(lseek(ro, 0, SEEK_CUR), 3);
	assert_content(ro, "read me");
	luo_incoming_free(incoming);
}

static void test_exec_sealed_stays_writable(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;
	unsigned seals;
	int fd;

	fd = memfd_create("noexec", MFD_CLOEXEC | 0x0008U /* MFD_NOEXEC_SEAL */);
	if (fd < 0)
		skip();
	assert_int_equal(write(fd, "payload", 7), 7);
	add(store, "a.service", "noexec", fd);

	commit = commit_store(store, NULL);
	assert_int_equal(result_of(commit, 0)->result, LUO_RESULT_COPIED);
	luo_commit_free(commit);

	incoming = live_update(store, NULL);
	fd = restored(incoming, "a.service", "noexec");
	assert_content(fd, "payload");
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
	assert_int_equal(luo_memfd_get_seals(fd, &seals), 0);
	assert_int_equal(seals & (F_SEAL_EXEC | F_SEAL_WRITE), F_SEAL_EXEC);
	assert_int_equal(pwrite(fd, "P", 1, 0), 1);
	luo_incoming_free(incoming);
}

static void test_sparse_travels_packed(void **state)
{
	const off_t size = (off_t)1 << 30, at = (off_t)512 << 20;
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;
	int fd = make_memfd("sparse", "begin"), alias;
	char buffer[5] = {};
	struct stat st;

	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fchmod(fd, 0777), 0);
	assert_int_equal(pwrite(fd, "middle", 6, at), 6);
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
	add(store, "a.service", "sparse", fd);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR, &alias), 0);
	add(store, "b.service", "sparse", alias);

	commit = commit_store(store, NULL);
	assert_int_equal(result_of(commit, 0)->result, LUO_RESULT_COPIED);
	luo_commit_free(commit);

	incoming = live_update(store, NULL);
	fd = restored(incoming, "a.service", "sparse");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(pread(fd, buffer, 5, 0), 5);
	assert_memory_equal(buffer, "begin", 5);
	assert_int_equal(pread(fd, buffer, 5, at), 5);
	assert_memory_equal(buffer, "middl", 5);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);

	/* Still one file for both units, although it was made anew. */
	alias = restored(incoming, "b.service", "sparse");
	assert_int_equal(pwrite(alias, "BEGIN", 5, 0), 5);
	assert_int_equal(pread(fd, buffer, 5, 0), 5);
	assert_memory_equal(buffer, "BEGIN", 5);
	luo_incoming_free(incoming);
}

/* Several entries of one name are told apart by their order, however each of them travels. */
static void test_order_is_kept(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 4 };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	char name[16];
	int alias;

	for (unsigned i = 0; i < 9; i++) {
		int fd = make_memfd("m", "");

		snprintf(name, sizeof(name), "content-%u", i);
		assert_int_equal(write(fd, name, strlen(name)), (ssize_t)strlen(name));
		/* The first, one in the middle and the last are large and nearly empty. */
		if (i % 4 == 0)
			assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
		add(store, "a.service", "same", fd);
	}
	/* An alias of the first at the end. */
	assert_int_equal(
		luo_memfd_reopen(luo_store_unit_at(store, 0)->entries[0]->fd, O_RDWR, &alias), 0);
	add(store, "a.service", "same", alias);

	incoming = live_update(store, &options);
	assert_int_equal(luo_store_n_entries(luo_incoming_mapping(incoming)->store), 10);
	for (unsigned i = 0; i < 10; i++) {
		struct luo_entry *entry = find(incoming, "a.service", "same", i);
		char buffer[16] = {};

		assert_int_equal(luo_incoming_restore(incoming, entry), 0);
		snprintf(name, sizeof(name), "content-%u", i % 9);
		assert_int_equal(pread(entry->fd, buffer, strlen(name), 0), (ssize_t)strlen(name));
		assert_string_equal(buffer, name);
	}
	luo_incoming_free(incoming);
}

static void test_session_goes_along(void **state)
{
	_cleanup_close_ int device = -EBADF, memory = make_memfd("guest", "ram");
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;
	int session, fd;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "vm-1", &session), 0);
	device = safe_close(device);
	assert_int_equal(luo_session_preserve_fd(session, memory, 5), 0);
	add(store, "vmm.service", "guest", session);

	commit = commit_store(store, NULL);
	assert_int_equal(result_of(commit, 0)->result, LUO_RESULT_SESSION);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_int_equal(find(incoming, "vmm.service", "guest", 0)->type, LUO_ENTRY_SESSION);
	session = restored(incoming, "vmm.service", "guest");
	assert_int_equal(luo_session_retrieve_fd(session, 5, &fd), 0);
	assert_content(fd, "ram");
	safe_close(fd);
	luo_incoming_free(incoming);
}

static void test_state_travels(void **state)
{
	const struct luo_mapping_state sent = { .struct_size = sizeof(sent),
						.kexec_count = 3,
						.have_kexec_count = true,
						.shutdown_start = { 1000, 2000 } };
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .state = &sent };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;

	fill(store, 1);
	incoming = live_update(store, &options);
	assert_int_equal(luo_incoming_mapping(incoming)->state.kexec_count, 3);
	assert_int_equal(luo_incoming_mapping(incoming)->state.shutdown_start.realtime, 1000);
	luo_incoming_free(incoming);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_failed_retrieve_is_final(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_entry *entry;

	fill(store, 2);
	incoming = live_update(store, NULL);
	entry = find(incoming, "many.service", "content-0", 0);
	fake_luo_fail(FAKE_LUO_RETRIEVE_FD, 1, ENOMEM);
	assert_int_equal(luo_incoming_restore(incoming, entry), -ENOMEM);
	assert_int_equal(entry->failed, -ENOMEM);
	assert_int_equal(luo_incoming_restore(incoming, entry), -ENOMEM);
	/* Its neighbor is not harmed. */
	assert_content(restored(incoming, "many.service", "content-1"), "content-1");
	luo_incoming_free(incoming);
}

static void test_emfile_is_not_final(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_entry *entry;

	fill(store, 1);
	incoming = live_update(store, NULL);
	entry = find(incoming, "many.service", "content-0", 0);
	fake_luo_fail(FAKE_LUO_RETRIEVE_FD, 1, EMFILE);
	assert_int_equal(luo_incoming_restore(incoming, entry), -EMFILE);
	assert_int_equal(entry->failed, 0);
	assert_int_equal(luo_incoming_restore(incoming, entry), 0);
	luo_incoming_free(incoming);
}

/* ---- what is not understood is held ---------------------------------------------------------- */

static struct luo_incoming *incoming_with_mapping(const char *text)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, memory = make_memfd("m", "payload");
	_cleanup_close_ int mapping = -EBADF;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, LUO_DEFAULT_SESSION, &session), 0);
	device = safe_close(device);
	assert_int_equal(luo_session_preserve_fd(session, memory, 1), 0);
	if (text) {
		mapping = make_memfd("mapping", text);
		assert_int_equal(luo_session_preserve_fd(session, mapping, LUO_TOKEN_MAPPING), 0);
	}
	fake_luo_kexec();
	return retrieve(LUO_DEFAULT_SESSION);
}

static void test_held(void **state)
{
	static const char *const texts[] = { NULL, "", "not json", "[]",
					     "{\"version\":99,\"units\":{}}" };

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		struct luo_incoming *incoming = incoming_with_mapping(texts[i]);
		struct fake_luo_stats stats;

		assert_null(luo_incoming_mapping(incoming));
		assert_non_null(luo_incoming_problem(incoming));
		assert_int_equal(luo_incoming_finish(incoming), -EBUSY);
		fake_luo_stats(&stats);
		assert_true(stats.bytes >= strlen("payload"));
		assert_int_equal(stats.incoming, 1);
		luo_incoming_free(incoming);
		fake_luo_reset();
	}
}

/* Through one more kexec, untouched, tokens beyond the guess included. */
static void test_carry(void **state)
{
	static const char text[] = "{\"version\":99,\"thing\":[{\"number\":123456}]}";
	_cleanup_close_ int device = -EBADF, session = -EBADF, far = make_memfd("m", "far");
	_cleanup_close_ int spilled = make_memfd("s", "spilled"), spill = -EBADF;
	_cleanup_close_ int near = make_memfd("n", "near"), mapping = make_memfd("map", text);
	struct luo_incoming *incoming;
	struct fake_luo_stats stats;
	int *carried = NULL, fd;
	size_t n, files;

	assert_int_equal(luo_memfd_add_seals(near, F_SEAL_GROW), 0);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, LUO_DEFAULT_SESSION, &session), 0);
	assert_int_equal(luo_session_create(device, LUO_DEFAULT_SESSION ".1", &spill), 0);
	device = safe_close(device);
	assert_int_equal(luo_session_preserve_fd(session, mapping, LUO_TOKEN_MAPPING), 0);
	assert_int_equal(luo_session_preserve_fd(session, far, 123456), 0);
	assert_int_equal(luo_session_preserve_fd(session, near, 17), 0);
	assert_int_equal(luo_session_preserve_fd(spill, spilled, 1), 0);
	fake_luo_kexec();

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_int_equal(luo_incoming_carry(incoming, 0, &carried, &n, &files), 0);
	assert_int_equal(n, 2);
	assert_int_equal(files, 4);
	fake_luo_stats(&stats);
	assert_int_equal(stats.incoming, 2);
	fake_luo_kexec();
	close_many(carried, n);
	free(carried);
	luo_incoming_free(incoming);

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_non_null(luo_incoming_problem(incoming));
	session = safe_close(session);
	session = fcntl(luo_incoming_sessions(incoming, &n)[0], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(luo_session_retrieve_fd(session, 123456, &fd), 0);
	assert_content(fd, "far");
	safe_close(fd);
	assert_int_equal(luo_session_retrieve_fd(session, 17, &fd), 0);
	assert_content(fd, "near");
	safe_close(fd);
	luo_incoming_free(incoming);
}

/* A mapping must not name sessions of another program. */
static void test_foreign_spill(void **state)
{
	_cleanup_close_ int device = -EBADF, foreign = -EBADF;
	struct luo_incoming *incoming;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "foreign", &foreign), 0);
	device = safe_close(device);
	incoming = incoming_with_mapping(
		"{\"version\":1,\"state\":{},\"spillSessions\":[\"foreign\"],\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"ok\",\"token\":1}],\"fdstoreSpill\":[{\"type\":\"fd\",\"name\":\"theirs\",\"token\":1,\"session\":\"foreign\"}]}}}");
	assert_non_null(luo_incoming_mapping(incoming));
	assert_content(restored(incoming, "a.service", "ok"), "payload");
	foreign = safe_close(foreign);
	/* The session was not touched: its owner can still retrieve it. */
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_retrieve(device, "foreign", &foreign), 0);
	device = safe_close(device);
	luo_incoming_free(incoming);
}

static void test_further_names(void **state)
{
	static const char *const further[] = { "luo.1", "luo.9", "luo.10", "luo.123456789" };
	static const char *const others[] = {
		"",       "luo",     "lu",     "luo.",    "luo.0",   "luo.01", "luo.x",   "luo.1x",
		"luo.x1", "luo.1.2", "luo.-1", "luo.+1",  "luo. 1",  "luo.1 ", "luo1",    "luo-1",
		"luox.1", "lu.1",    "LUO.1",  "luo.1/2", "luo.1\n", "luo..1", "a.luo.1",
	};
	char longest[LUO_SESSION_NAME_MAX + 2] = "luo.";

	for (size_t i = 0; i < ELEMENTSOF(further); i++)
		if (!luo_session_is_further(further[i], "luo"))
			fail_msg("\"%s\" is refused", further[i]);
	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		if (luo_session_is_further(others[i], "luo"))
			fail_msg("\"%s\" is taken", others[i]);
	memset(longest + strlen(longest), '1', LUO_SESSION_NAME_MAX - strlen(longest));
	assert_true(luo_session_is_further(longest, "luo"));
	strcat(longest, "1");
	assert_false(luo_session_is_further(longest, "luo"));
}

/* "NAME.x" looks like ours, and may be the session of another program. */
static void test_foreign_suffix(void **state)
{
	_cleanup_close_ int device = -EBADF, foreign = -EBADF;
	struct luo_incoming *incoming;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, LUO_DEFAULT_SESSION ".x", &foreign), 0);
	device = safe_close(device);
	incoming = incoming_with_mapping(
		"{\"version\":1,\"state\":{},\"spillSessions\":[\"" LUO_DEFAULT_SESSION
		".x\"],\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"ok\",\"token\":1}]}}}");
	assert_non_null(luo_incoming_mapping(incoming));
	foreign = safe_close(foreign);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_retrieve(device, LUO_DEFAULT_SESSION ".x", &foreign), 0);
	device = safe_close(device);
	luo_incoming_free(incoming);
}

/* An entry of an unknown type: its memory is not freed, and is carried over. */
static void test_rescue(void **state)
{
	struct luo_incoming *incoming = incoming_with_mapping(
		"{\"version\":1,\"future\":7,\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"teapot\",\"name\":\"t\",\"token\":1}]}}}");
	struct luo_store *store = new_store();
	struct luo_commit_options options = { .struct_size = sizeof(options) };
	struct luo_commit *commit;
	struct luo_unit *unit;
	size_t n;

	assert_int_equal(luo_incoming_mapping(incoming)->n_issues, 1);
	assert_int_equal(luo_incoming_finish(incoming), -EBUSY);
	assert_int_equal(luo_store_add_unit(store, "rescued", NULL, &unit), 0);
	assert_int_equal(luo_incoming_rescue(incoming, unit, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(unit->entries[0]->name, LUO_DEFAULT_SESSION ".1");
	assert_content(unit->entries[0]->fd, "payload");
	assert_int_equal(luo_incoming_finish(incoming), 0);

	options.previous = luo_incoming_mapping(incoming);
	commit = commit_store(store, &options);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);
	luo_incoming_free(incoming);

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_content(restored(incoming, "rescued", LUO_DEFAULT_SESSION ".1"), "payload");
	assert_non_null(strstr(luo_incoming_mapping(incoming)->extra, "future"));
	luo_incoming_free(incoming);
}

/* A mapping must not name sessions of another program. */
static void test_alias_keeps_its_access(void **state)
{
	struct luo_incoming *incoming = incoming_with_mapping(
		"{\"version\":1,\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"rw\",\"token\":1},{\"type\":\"fd\",\"name\":\"ro\",\"token\":1,\"alias\":true,\"access\":\"ro\"}]}}}");

	restored(incoming, "a.service", "rw");
	assert_int_equal(fcntl(restored(incoming, "a.service", "ro"), F_GETFL) & O_ACCMODE,
			 O_RDONLY);
	luo_incoming_free(incoming);
}

static void test_token_that_is_not_there(void **state)
{
	struct luo_incoming *incoming = incoming_with_mapping(
		"{\"version\":1,\"units\":{\"a.service\":{\"fdstore\":[{\"type\":\"fd\",\"name\":\"gone\",\"token\":9},{\"type\":\"fd\",\"name\":\"ok\",\"token\":1}]}}}");

	assert_int_equal(luo_incoming_restore(incoming, find(incoming, "a.service", "gone", 0)),
			 -ENOENT);
	assert_content(restored(incoming, "a.service", "ok"), "payload");
	luo_incoming_free(incoming);
}

/* ---- over a restart of the holder ------------------------------------------------------------ */

static void test_adopt(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 4 };
	struct luo_store *store = new_store();
	struct luo_incoming *incoming, *again;
	_cleanup_free_ int *kept = NULL;
	const int *sessions;
	size_t n;

	fill(store, 10);
	incoming = live_update(store, &options);
	restored(incoming, "many.service", "content-3");
	sessions = luo_incoming_sessions(incoming, &n);
	assert_int_equal(n, 3);
	kept = calloc(n, sizeof(int));
	assert_non_null(kept);
	/* The keeper returns them in any order, except for the main one. */
	kept[0] = fcntl(sessions[0], F_DUPFD_CLOEXEC, 3);
	kept[1] = fcntl(sessions[2], F_DUPFD_CLOEXEC, 3);
	kept[2] = fcntl(sessions[1], F_DUPFD_CLOEXEC, 3);
	luo_incoming_free(incoming);

	assert_int_equal(luo_incoming_adopt(kept, 3, &again), 0);
	check_filled(again, 10);
	luo_incoming_free(again);
}

/* The copy that a packed file became is remembered over a restart, so an alias joins it. */
static void test_adopt_remembers_packed(void **state)
{
	struct luo_store *store = new_store(), *claimed = new_store();
	struct luo_incoming *incoming, *again;
	int fd = make_memfd("sparse", "x"), alias, kept;
	struct luo_entry *entry;
	const int *sessions;
	struct luo_unit *to;
	char byte = 0;
	size_t n;

	assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
	add(store, "a.service", "one", fd);
	add(store, "b.service", "two", fcntl(fd, F_DUPFD_CLOEXEC, 3));
	incoming = live_update(store, NULL);
	restored(incoming, "a.service", "one");
	assert_int_equal(luo_store_add_unit(claimed, "a.service", NULL, &to), 0);
	entry = find(incoming, "a.service", "one", 0);
	assert_int_equal(luo_entry_move(entry, to), 0);
	sessions = luo_incoming_sessions(incoming, &n);
	kept = fcntl(sessions[0], F_DUPFD_CLOEXEC, 3);
	luo_incoming_free(incoming);

	assert_int_equal(luo_incoming_adopt(&kept, 1, &again), 0);
	assert_int_equal(luo_incoming_remember_fd(again, entry, entry->fd), 0);
	alias = restored(again, "b.service", "two");
	assert_int_equal(pwrite(alias, "Y", 1, 0), 1);
	assert_int_equal(pread(entry->fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'Y');
	luo_incoming_free(again);
	luo_store_free(claimed);
}

/*
 * Another process has retrieved it, perhaps the service itself: it is lost for us, and nothing
 * waits for it.
 */
static void test_session_of_somebody_else(void **state)
{
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_entry *entry;
	int device, session;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "vm-1", &session), 0);
	add(store, "vmm.service", "guest", session);
	safe_close(device);
	incoming = live_update(store, NULL);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_retrieve(device, "vm-1", &session), 0);
	safe_close(device);
	entry = find(incoming, "vmm.service", "guest", 0);
	assert_int_equal(luo_incoming_restore(incoming, entry), -EINVAL);
	assert_int_equal(entry->failed, -EINVAL);
	safe_close(session);
	luo_incoming_free(incoming);
}

/* One session under two names: the kernel gives it out once, both entries get it. */
static void test_session_under_two_names(void **state)
{
	_cleanup_close_ int device = -EBADF;
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;
	int session;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "vm-1", &session), 0);
	device = safe_close(device);
	add(store, "vmm.service", "one", session);
	add(store, "vmm.service", "two", fcntl(session, F_DUPFD_CLOEXEC, 3));
	commit = commit_store(store, NULL);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);

	incoming = retrieve(LUO_DEFAULT_SESSION);
	assert_int_equal(luo_fd_same_description(restored(incoming, "vmm.service", "one"),
						 restored(incoming, "vmm.service", "two")),
			 1);
	luo_incoming_free(incoming);
}

/*
 * A further session that cannot be retrieved right now is not lost, and nothing is finished
 * meanwhile.
 */
static void test_further_session_later(void **state)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 4 };
	_cleanup_close_ int device = -EBADF;
	struct luo_store *store = new_store();
	struct luo_incoming *incoming;
	struct luo_commit *commit;

	fill(store, 7);
	commit = commit_store(store, &options);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);

	assert_int_equal(luo_device_open(0, &device), 0);
	fake_luo_fail(FAKE_LUO_RETRIEVE_SESSION, 2, EMFILE);
	assert_int_equal(luo_incoming_retrieve(device, LUO_DEFAULT_SESSION, NULL, NULL, &incoming),
			 0);
	/* The device is ours: it cannot be asked for again. */
	assert_int_equal(
		luo_incoming_restore(incoming, find(incoming, "many.service", "content-6", 0)),
		-EBUSY);
	assert_int_equal(luo_incoming_finish(incoming), -EBUSY);
	device = safe_close(device);
	check_filled(incoming, 7);
	assert_int_equal(luo_incoming_finish(incoming), 0);
	luo_incoming_free(incoming);
}

struct announced {
	char names[8][LUO_SESSION_NAME_MAX + 1];
	int fds[8];
	size_t n;
	bool broken;
};

static void on_session(int fd, void *userdata)
{
	struct announced *a = userdata;
	_cleanup_free_ char *name = NULL;

	assert_true(a->n < ELEMENTSOF(a->fds));
	assert_int_equal(luo_session_get_name(fd, &name), 0);
	snprintf(a->names[a->n], sizeof(a->names[0]), "%s", name);
	a->fds[a->n++] = fd;
	/* The mapping is read after this. */
	if (a->broken && a->n == 1)
		fake_luo_fail(FAKE_LUO_RETRIEVE_FD, 1, ENOMEM);
}

static void retrieve_announced(struct announced *a, struct luo_incoming **ret_incoming)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .max_files_per_session = 4 };
	_cleanup_close_ int device = -EBADF;
	struct luo_store *store = new_store();
	struct luo_commit *commit;

	fill(store, 10);
	commit = commit_store(store, &options);
	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(
		luo_incoming_retrieve(device, LUO_DEFAULT_SESSION, on_session, a, ret_incoming), 0);
}

static void check_announced(const struct announced *a)
{
	assert_int_equal(a->n, 3);
	assert_string_equal(a->names[0], LUO_DEFAULT_SESSION);
	assert_string_equal(a->names[1], LUO_DEFAULT_SESSION ".1");
	assert_string_equal(a->names[2], LUO_DEFAULT_SESSION ".2");
}

/* Each session is announced once, and what was announced can be kept beyond the object. */
static void test_announced(void **state)
{
	struct luo_incoming *incoming, *again;
	struct announced a = { 0 };

	retrieve_announced(&a, &incoming);
	check_announced(&a);
	assert_non_null(luo_incoming_mapping(incoming));
	luo_incoming_free_keep_sessions(incoming);
	assert_int_equal(luo_incoming_adopt(a.fds, a.n, &again), 0);
	check_filled(again, 10);
	luo_incoming_free(again);
}

/* Before the mapping is read, and also if that fails. */
static void test_announced_first(void **state)
{
	struct announced a = { .broken = true };
	struct luo_incoming *incoming;

	retrieve_announced(&a, &incoming);
	check_announced(&a);
	assert_null(luo_incoming_mapping(incoming));
	luo_incoming_free(incoming);
}

/*
 * The mapping is unreadable, and one session cannot be retrieved: those behind it are held all the
 * same.
 */
static void test_announced_with_gap(void **state)
{
	struct announced a = { .broken = true };
	struct luo_incoming *incoming;

	fake_luo_fail(FAKE_LUO_RETRIEVE_SESSION, 2, EMFILE);
	retrieve_announced(&a, &incoming);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.names[1], LUO_DEFAULT_SESSION ".2");
	luo_incoming_free(incoming);
}

/* The kernel charges whole pages, and these are not everywhere as small as on x86-64. */
static void test_charge(void **state)
{
	const uint64_t kib = 1024;
	struct luo_extent extents[] = { { .length = 64 * kib },
					{ .offset = 1024 * kib, .length = 1 } };
	struct luo_entry_meta meta = { .size = 64 * kib - 1 };
	struct luo_entry_meta packed = { .packed = true, .extents = extents, .n_extents = 2 };

	assert_int_equal(luo_restore_charge(&meta, 4 * kib), (15 + 3) * 4 * kib);
	assert_int_equal(luo_restore_charge(&meta, 64 * kib), 3 * 64 * kib);
	meta.size = 1;
	assert_int_equal(luo_restore_charge(&meta, 64 * kib), 3 * 64 * kib);
	assert_int_equal(luo_restore_charge(&packed, 4 * kib), 2 * (16 + 3 + 3) * 4 * kib);
	assert_int_equal(luo_restore_charge(&packed, 64 * kib), 2 * (1 + 3 + 3) * 64 * kib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HANDOVER_TEST(test_simple),
		HANDOVER_TEST(test_name_survives_two_kexecs),
		HANDOVER_TEST(test_aliases),
		HANDOVER_TEST(test_attributes),
		HANDOVER_TEST(test_exec_sealed_stays_writable),
		HANDOVER_TEST(test_sparse_travels_packed),
		HANDOVER_TEST(test_order_is_kept),
		HANDOVER_TEST(test_session_goes_along),
		HANDOVER_TEST(test_state_travels),
		HANDOVER_TEST(test_failed_retrieve_is_final),
		HANDOVER_TEST(test_emfile_is_not_final),
		HANDOVER_TEST(test_session_of_somebody_else),
		HANDOVER_TEST(test_session_under_two_names),
		HANDOVER_TEST(test_further_session_later),
		HANDOVER_TEST(test_held),
		HANDOVER_TEST(test_carry),
		HANDOVER_TEST(test_foreign_spill),
		cmocka_unit_test(test_further_names),
		HANDOVER_TEST(test_foreign_suffix),
		HANDOVER_TEST(test_announced),
		HANDOVER_TEST(test_announced_first),
		HANDOVER_TEST(test_announced_with_gap),
		HANDOVER_TEST(test_rescue),
		HANDOVER_TEST(test_alias_keeps_its_access),
		HANDOVER_TEST(test_token_that_is_not_there),
		HANDOVER_TEST(test_adopt),
		HANDOVER_TEST(test_adopt_remembers_packed),
		cmocka_unit_test(test_charge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
