/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * After the kexec: what before.c left is there, with the damage that the kernel is known to do.
 * Where a kernel does less damage one day, these tests say so, and fixup.c can do less as well.
 */

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include "common/util.h"

#include "tests/conformance/conformance.h"

static int files = -EBADF; /* SESSION_FILES, retrieved once for several tests */

static int restored(int session, uint64_t token)
{
	int fd, r = luo_session_retrieve_fd(session, token, &fd);

	return r < 0 ? r : fd;
}

static enum tap_result what_was_dropped_is_gone(void)
{
	CHECK_IS(retrieve_session(SESSION_DROPPED), -ENOENT);
	CHECK_IS(retrieve_session("luo-conformance-nobody"), -ENOENT);
	return TAP_OK;
}

static enum tap_result a_session_is_retrieved_once(void)
{
	files = retrieve_session(SESSION_FILES);
	CHECK(files >= 0);
	CHECK(is_cloexec(files));
	CHECK_IS(retrieve_session(SESSION_FILES), -EINVAL);
	CHECK_IS(luo_fd_is_session(files), 1);
	return TAP_OK;
}

static enum tap_result the_longest_name_is_kept(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_LONGEST);
	_cleanup_free_ char *name = NULL;

	CHECK(session >= 0);
	CHECK_IS(luo_session_get_name(session, &name), 0);
	CHECK(streq(name, SESSION_LONGEST));
	return TAP_OK;
}

static enum tap_result nothing_goes_into_an_incoming_session(void)
{
	_cleanup_close_ int fd = make_memfd("x", 1, 10);

	CHECK(fd >= 0 && files >= 0);
	CHECK_IS(luo_session_preserve_fd(files, fd, 77), -EINVAL);
	CHECK_IS(restored(files, 77), -ENOENT);
	return TAP_OK;
}

static enum tap_result content_is_kept(void)
{
	static const uint64_t tokens[] = { FILE_ZERO,   FILE_PLAIN,         FILE_READ_ONLY,
					   FILE_APPEND, FILE_WRITTEN_LATER, FILE_OWNED,
					   UINT64_MAX };
	uint64_t size;

	for (size_t i = 0; i < ELEMENTSOF(tokens); i++) {
		unsigned seed = tokens[i] == UINT64_MAX ? 99 : (unsigned)tokens[i];
		_cleanup_close_ int fd = restored(files, tokens[i]);

		CHECK(fd >= 0);
		CHECK(is_cloexec(fd));
		CHECK_IS(luo_memfd_get_size(fd, &size), 0);
		CHECK_IS(size, PLAIN_SIZE);
		CHECK(has_pattern(fd, seed, 0, PLAIN_SIZE));
	}
	return TAP_OK;
}

static enum tap_result an_empty_file_is_kept(void)
{
	_cleanup_close_ int fd = restored(files, FILE_EMPTY);
	uint64_t size;

	CHECK(fd >= 0);
	CHECK_IS(luo_memfd_get_size(fd, &size), 0);
	CHECK_IS(size, 0);
	CHECK_IS(write_pattern(fd, 1, 0, 100), 0);
	return TAP_OK;
}

static enum tap_result holes_come_back_filled(void)
{
	_cleanup_close_ int fd = restored(files, FILE_SPARSE);
	struct stat st;

	CHECK(fd >= 0);
	CHECK_IS(fstat(fd, &st), 0);
	CHECK_IS(st.st_size, SPARSE_SIZE);
	CHECK_IS(st.st_blocks * 512, SPARSE_SIZE);
	CHECK(has_zeros(fd, 0, SPARSE_AT));
	CHECK(has_pattern(fd, FILE_SPARSE, SPARSE_AT, 4096));
	CHECK(has_zeros(fd, SPARSE_AT + 4096, SPARSE_SIZE - SPARSE_AT - 4096));
	return TAP_OK;
}

static enum tap_result the_offset_is_kept(void)
{
	_cleanup_close_ int plain = restored(files, FILE_PLAIN),
			    moved = restored(files, FILE_MOVED_LATER);

	CHECK(plain >= 0 && moved >= 0);
	CHECK_IS(lseek(plain, 0, SEEK_CUR), PLAIN_OFFSET);
	CHECK_IS(lseek(moved, 0, SEEK_CUR), PLAIN_OFFSET);
	return TAP_OK;
}

static enum tap_result access_and_append_are_lost(void)
{
	_cleanup_close_ int read_only = restored(files, FILE_READ_ONLY),
			    append = restored(files, FILE_APPEND);

	CHECK(read_only >= 0 && append >= 0);
	CHECK_IS(fcntl(read_only, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR);
	CHECK_IS(fcntl(append, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR);
	CHECK_IS(write_pattern(read_only, FILE_READ_ONLY, 0, 1), 0);
	return TAP_OK;
}

static enum tap_result mode_and_owner_are_lost(void)
{
	_cleanup_close_ int fd = restored(files, FILE_OWNED);
	struct stat st;

	CHECK(fd >= 0);
	CHECK_IS(fstat(fd, &st), 0);
	CHECK_IS(st.st_mode, S_IFREG | 0777);
	CHECK_IS(st.st_nlink, 0);
	if (conformance_on_fake && geteuid() != 0)
		SKIP("the fake cannot make files of root");
	CHECK_IS(st.st_uid, 0);
	CHECK_IS(st.st_gid, 0);
	return TAP_OK;
}

static enum tap_result the_name_is_lost(void)
{
	_cleanup_close_ int fd = restored(files, FILE_PLAIN);
	_cleanup_free_ char *name = NULL;

	CHECK(fd >= 0);
	CHECK_IS(luo_fd_is_memfd(fd), 1);
	CHECK_IS(luo_memfd_get_name(fd, &name), 0);
	CHECK(streq(name, ""));
	return TAP_OK;
}

static enum tap_result seals_are(int session, uint64_t token, unsigned expected)
{
	_cleanup_close_ int fd = restored(session, token);
	unsigned seals;

	CHECK(fd >= 0);
	CHECK_IS(luo_memfd_get_seals(fd, &seals), 0);
	CHECK_IS(seals, expected);
	return TAP_OK;
}

static enum tap_result seals_are_kept_if_they_were_early(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_SEALS);

	CHECK(session >= 0);
	CHECK_RESULT(seals_are(session, SEALS_NONE, 0));
	CHECK_RESULT(seals_are(session, SEALS_SEAL, F_SEAL_SEAL));
	CHECK_RESULT(seals_are(session, SEALS_ALL, 0x1f));
	return seals_are(session, SEALS_LATE, 0);
}

static enum tap_result an_exec_seal_brings_a_write_seal(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_NOEXEC), fd = -EBADF;

	if (session == -ENOENT)
		SKIP("none was left");
	CHECK(session >= 0);
	CHECK_RESULT(seals_are(session, 1, 0x3e));
	fd = restored(session, 1);
	CHECK(has_pattern(fd, 1, 0, 100));
	CHECK_IS(write_pattern(fd, 1, 0, 1), -EPERM);
	return TAP_OK;
}

static enum tap_result shared_anonymous_memory_is_kept(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_SHARED), fd = -EBADF;

	if (session == -ENOENT)
		SKIP("none was left");
	fd = restored(session, 1);
	CHECK(fd >= 0);
	CHECK(has_pattern(fd, 1, 0, 4096));
	return TAP_OK;
}

static enum tap_result tmpfs_files_come_back_as_memfds(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_TMPFS), fd = -EBADF;

	if (session == -ENOENT)
		SKIP("none was left");
	fd = restored(session, 1);
	CHECK(fd >= 0);
	CHECK(has_pattern(fd, 1, 0, 5000));
	CHECK_IS(luo_fd_is_memfd(fd), 1);
	return TAP_OK;
}

static enum tap_result a_token_gives_the_same_description_again(void)
{
	_cleanup_close_ int one = restored(files, FILE_PLAIN), two = restored(files, FILE_PLAIN);

	CHECK(one >= 0 && two >= 0 && one != two);
	CHECK(lseek(one, 17, SEEK_SET) == 17);
	CHECK_IS(lseek(two, 0, SEEK_CUR), 17);
	return TAP_OK;
}

/* The lowest number that is free. */
static int next_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	safe_close(fd);
	return fd;
}

static enum tap_result too_many_files_can_be_tried_again(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_COPY), fd = -EBADF;
	struct rlimit before, low;
	int r;

	CHECK(session >= 0);
	CHECK_IS(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)next_fd();
	CHECK_IS(setrlimit(RLIMIT_NOFILE, &low), 0);
	r = restored(session, 1);
	CHECK_IS(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK_IS(r, -EMFILE);
	fd = restored(session, 1);
	CHECK(fd >= 0);
	CHECK(has_pattern(fd, 1, 0, 5000));
	return TAP_OK;
}

static enum tap_result finish_ends_it(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_FINISH), fd = -EBADF;

	CHECK(session >= 0);
	fd = restored(session, 1);
	CHECK(fd >= 0);
	CHECK_IS(luo_session_finish(session), 0);
	CHECK_IS(luo_session_finish(session), 0);
	CHECK_IS(restored(session, 1), -ENOENT);
	CHECK_IS(restored(session, 2), -ENOENT);
	CHECK_IS(retrieve_session(SESSION_FINISH), -EINVAL);
	session = safe_close(session);
	CHECK_IS(retrieve_session(SESSION_FINISH), -ENOENT);
	CHECK(has_pattern(fd, 1, 0, 5000));
	return TAP_OK;
}

/*
 * Also: a name that came in can be given to a new session, and a file that came in is as good as
 * preserved until its session is finished.
 */
static enum tap_result closing_finishes(void)
{
	_cleanup_close_ int outgoing = create_session(SESSION_CLOSE),
			    session = retrieve_session(SESSION_CLOSE), copy = -EBADF, fd = -EBADF;

	CHECK(outgoing >= 0 && session >= 0);
	copy = fcntl(session, F_DUPFD_CLOEXEC, 0);
	CHECK(copy >= 0);
	session = safe_close(session);
	fd = restored(copy, 2);
	CHECK(fd >= 0);
	CHECK_IS(luo_session_preserve_fd(outgoing, fd, 1), -EBUSY);
	copy = safe_close(copy);
	CHECK_IS(retrieve_session(SESSION_CLOSE), -ENOENT);
	CHECK(has_pattern(fd, 2, 0, 5000));
	CHECK_IS(luo_session_preserve_fd(outgoing, fd, 1), 0);
	return TAP_OK;
}

static enum tap_result an_empty_session_is_kept(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_EMPTY);

	CHECK(session >= 0);
	CHECK_IS(restored(session, 0), -ENOENT);
	CHECK_IS(luo_session_finish(session), 0);
	return TAP_OK;
}

static enum tap_result many_files_are_kept(void)
{
	_cleanup_close_ int session = retrieve_session(SESSION_MANY);

	CHECK(session >= 0);
	for (unsigned i = MANY_FILES; i-- > 0;) { /* in any order */
		_cleanup_close_ int fd = restored(session, i);
		uint64_t size;

		if (fd == -ENOENT && i >= 128)
			continue;
		CHECK(fd >= 0);
		CHECK_IS(luo_memfd_get_size(fd, &size), 0);
		CHECK_IS(size, i * 10);
		CHECK(has_pattern(fd, i, 0, size));
	}
	return TAP_OK;
}

static enum tap_result finishing_frees_the_rest(void)
{
	CHECK_IS(luo_session_finish(files), 0);
	files = safe_close(files);
	CHECK_IS(retrieve_session(SESSION_FILES), -ENOENT);
	return TAP_OK;
}

static const struct tap_test tests[] = {
	{ "what was dropped is gone", what_was_dropped_is_gone },
	{ "a session is retrieved once", a_session_is_retrieved_once },
	{ "the longest name is kept", the_longest_name_is_kept },
	{ "nothing goes into an incoming session", nothing_goes_into_an_incoming_session },
	{ "content and size are kept", content_is_kept },
	{ "an empty file is kept", an_empty_file_is_kept },
	{ "holes come back filled", holes_come_back_filled },
	{ "the offset is kept", the_offset_is_kept },
	{ "read-only access and O_APPEND are lost", access_and_append_are_lost },
	{ "mode and owner are lost", mode_and_owner_are_lost },
	{ "the name is lost", the_name_is_lost },
	{ "seals are kept if they were there at the preserve", seals_are_kept_if_they_were_early },
	{ "a seal against exec brings a seal against writing", an_exec_seal_brings_a_write_seal },
	{ "shared anonymous memory is kept", shared_anonymous_memory_is_kept },
	{ "tmpfs files come back as memfds", tmpfs_files_come_back_as_memfds },
	{ "a token gives the same description again", a_token_gives_the_same_description_again },
	{ "EMFILE is not final", too_many_files_can_be_tried_again },
	{ "finish ends it", finish_ends_it },
	{ "closing finishes", closing_finishes },
	{ "an empty session is kept", an_empty_session_is_kept },
	{ "many files are kept", many_files_are_kept },
	{ "finishing frees the rest", finishing_frees_the_rest },
};

int conformance_after(bool is_fake)
{
	conformance_on_fake = is_fake;
	return tap_run(tests, ELEMENTSOF(tests));
}
