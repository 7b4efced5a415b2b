/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The sessions that stay until the kexec, for after.c to look at. The fds of the files are closed:
 * the sessions keep them.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include "common/util.h"

#include "tests/conformance/conformance.h"
#include "tests/conformance/leave.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define HELD_MAX 16

static int held[HELD_MAX];
static size_t n_held;

static void hold(int session)
{
	if (n_held == HELD_MAX)
		abort();
	held[n_held++] = session;
}

void conformance_release(void)
{
	close_many(held, n_held);
	n_held = 0;
}

static enum tap_result put(int session, uint64_t token, int fd)
{
	_cleanup_close_ int mine = fd;

	CHECK(fd >= 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, token), 0);
	return TAP_OK;
}

static int with_offset(int fd, off_t offset)
{
	return lseek(fd, offset, SEEK_SET) < 0 ? -errno : fd;
}

/* Where a test does not run as root, there is nobody else to give it to. */
static int owned(int fd)
{
	if (geteuid() == 0 && fchown(fd, 1000, 1000) < 0)
		return -errno;
	return fchmod(fd, 0640) < 0 ? -errno : fd;
}

static int sparse_with_page(void)
{
	int fd = make_memfd("sparse", FILE_SPARSE, 0);

	if (fd >= 0 &&
	    (ftruncate(fd, SPARSE_SIZE) < 0 || write_pattern(fd, FILE_SPARSE, SPARSE_AT, 4096) < 0))
		return -EIO;
	return fd;
}

static enum tap_result leave_changed_later(int session)
{
	_cleanup_close_ int written = make_memfd("written", 0, PLAIN_SIZE),
			    moved = make_memfd("moved", FILE_MOVED_LATER, PLAIN_SIZE);

	CHECK(written >= 0 && moved >= 0);
	CHECK_IS(luo_session_preserve_fd(session, written, FILE_WRITTEN_LATER), 0);
	CHECK_IS(luo_session_preserve_fd(session, moved, FILE_MOVED_LATER), 0);
	CHECK_IS(write_pattern(written, FILE_WRITTEN_LATER, 0, PLAIN_SIZE), 0);
	CHECK(lseek(moved, PLAIN_OFFSET, SEEK_SET) == PLAIN_OFFSET);
	return TAP_OK;
}

enum tap_result leave_files(void)
{
	int s = create_session(SESSION_FILES);

	CHECK(s >= 0);
	hold(s);
	CHECK_RESULT(put(s, FILE_ZERO, make_memfd("zero", FILE_ZERO, PLAIN_SIZE)));
	CHECK_RESULT(put(s, FILE_PLAIN,
			 with_offset(make_memfd("plain", FILE_PLAIN, PLAIN_SIZE), PLAIN_OFFSET)));
	CHECK_RESULT(put(s, FILE_EMPTY, make_memfd("empty", FILE_EMPTY, 0)));
	CHECK_RESULT(put(s, FILE_SPARSE, sparse_with_page()));
	CHECK_RESULT(put(s, FILE_READ_ONLY,
			 reopened(make_memfd("ro", FILE_READ_ONLY, PLAIN_SIZE), O_RDONLY)));
	CHECK_RESULT(put(s, FILE_APPEND,
			 reopened(make_memfd("ap", FILE_APPEND, PLAIN_SIZE), O_RDWR | O_APPEND)));
	CHECK_RESULT(put(s, FILE_OWNED, owned(make_memfd("owned", FILE_OWNED, PLAIN_SIZE))));
	CHECK_RESULT(put(s, UINT64_MAX, make_memfd("last", 99, PLAIN_SIZE)));
	return leave_changed_later(s);
}

enum tap_result leave_seals(void)
{
	_cleanup_close_ int late = make_memfd("late", SEALS_LATE, 100);
	int s = create_session(SESSION_SEALS), fd;

	CHECK(s >= 0 && late >= 0);
	hold(s);
	CHECK_RESULT(put(s, SEALS_NONE, make_memfd("none", SEALS_NONE, 100)));
	fd = plain_memfd("seal", 0);
	CHECK_RESULT(put(s, SEALS_SEAL, fd));
	CHECK_RESULT(put(s, SEALS_ALL, with_seals(make_memfd("all", SEALS_ALL, 100), 0x1f)));
	CHECK_IS(luo_session_preserve_fd(s, late, SEALS_LATE), 0);
	CHECK_IS(luo_memfd_add_seals(late, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	return TAP_OK;
}

enum tap_result leave_noexec(void)
{
	int fd = memfd_create("noexec", MFD_CLOEXEC | MFD_NOEXEC_SEAL), s;

	if (fd < 0)
		SKIP("no MFD_NOEXEC_SEAL in this kernel");
	s = create_session(SESSION_NOEXEC);
	CHECK(s >= 0);
	hold(s);
	CHECK_IS(write_pattern(fd, 1, 0, 100), 0);
	return put(s, 1, fd);
}

enum tap_result leave_shared_anonymous(void)
{
	int fd = shared_anonymous(1), s;

	if (fd == -EPERM || fd == -ENOENT)
		SKIP("no access to /proc/self/map_files");
	s = create_session(SESSION_SHARED);
	CHECK(s >= 0);
	hold(s);
	return put(s, 1, fd);
}

enum tap_result leave_tmpfs(void)
{
	char path[64];
	int s, fd;

	if (!tmpfs_directory())
		SKIP("no tmpfs to write to");
	s = create_session(SESSION_TMPFS);
	CHECK(s >= 0);
	hold(s);
	fd = tmpfs_file(path, sizeof(path));
	CHECK(fd >= 0 && unlink(path) == 0);
	CHECK_IS(write_pattern(fd, 1, 0, 5000), 0);
	return put(s, 1, fd);
}

static enum tap_result leave_two(const char *name)
{
	int s = create_session(name);

	CHECK(s >= 0);
	hold(s);
	CHECK_RESULT(put(s, 1, make_memfd("one", 1, 5000)));
	return put(s, 2, make_memfd("two", 2, 5000));
}

enum tap_result leave_finish_and_close(void)
{
	CHECK_RESULT(leave_two(SESSION_FINISH));
	CHECK_RESULT(leave_two(SESSION_LONGEST));
	return leave_two(SESSION_CLOSE);
}

enum tap_result leave_a_copy_only(void)
{
	int s = create_session(SESSION_COPY);
	int copy = fcntl(s, F_DUPFD_CLOEXEC, 0);

	CHECK(s >= 0 && copy >= 0);
	hold(copy);
	close(s);
	CHECK_RESULT(put(copy, 1, make_memfd("one", 1, 5000)));
	return put(copy, 2, make_memfd("two", 2, 5000));
}

enum tap_result leave_empty_and_dropped(void)
{
	int s = create_session(SESSION_EMPTY), dropped;

	CHECK(s >= 0);
	hold(s);
	dropped = create_session(SESSION_DROPPED);
	CHECK(dropped >= 0);
	CHECK_RESULT(put(dropped, 1, make_memfd("one", 1, 5000)));
	close(dropped);
	return TAP_OK;
}

enum tap_result leave_many(void)
{
	int s = create_session(SESSION_MANY);

	CHECK(s >= 0);
	hold(s);
	for (unsigned i = 0; i < MANY_FILES; i++) {
		_cleanup_close_ int fd = make_memfd("many", i, i * 10);
		int r;

		CHECK(fd >= 0);
		r = luo_session_preserve_fd(s, fd, i);
		if (r == -ENOSPC && i == 128)
			SKIP("128 files in a session at most (kernel before 7.2)");
		CHECK_IS(r, 0);
	}
	return TAP_OK;
}
