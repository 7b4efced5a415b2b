/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Before the kexec: the device, sessions, what can be preserved; and at the end the sessions that
 * after.c looks for.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include "libluo/session/kernel-abi.h"
#include "libluo/session/kernel.h"
#include "common/util.h"

#include "tests/conformance/conformance.h"
#include "tests/conformance/leave.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define TMPFS_TYPE 0x01021994

#define NAME_A "luo-conformance-a"
#define NAME_B "luo-conformance-b"

static int raw(int fd, unsigned long request, void *argument)
{
	return luo_kernel_get()->ioctl(fd, request, argument);
}

/* The device */

static enum tap_result device_is_a_singleton(void)
{
	_cleanup_close_ int first = -EBADF, second = -EBADF;
	uint64_t start;

	CHECK_IS(luo_device_open(USEC_PER_SEC, &first), 0);
	CHECK(is_cloexec(first));
	CHECK_IS(luo_device_open(0, &second), -EBUSY);
	start = now_usec(CLOCK_MONOTONIC);
	CHECK_IS(luo_device_open(60 * USEC_PER_MSEC, &second), -EBUSY);
	CHECK(now_usec(CLOCK_MONOTONIC) - start >= 60 * USEC_PER_MSEC);
	first = safe_close(first);
	CHECK_IS(luo_device_open(0, &second), 0);
	return TAP_OK;
}

static enum tap_result device_holder_is_found(void)
{
	_cleanup_close_ int device = -EBADF;
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	CHECK_IS(luo_device_holder(&pid, NULL), -ENOENT);
	CHECK_IS(luo_device_open(USEC_PER_SEC, &device), 0);
	CHECK_IS(luo_device_holder(&pid, &comm), 0);
	CHECK_IS(pid, getpid());
	CHECK(comm && comm[0]);
	return TAP_OK;
}

static enum tap_result device_ioctls_are_checked(void)
{
	struct luo_abi_session arg = { .size = sizeof(arg), .name = NAME_A };
	struct {
		struct luo_abi_session arg;
		uint32_t more;
	} longer = { .arg = { .size = sizeof(longer), .name = NAME_A }, .more = 1 };
	_cleanup_close_ int device = -EBADF, session = -EBADF;

	CHECK_IS(luo_device_open(USEC_PER_SEC, &device), 0);
	CHECK_IS(raw(device, _IO(LUO_ABI_TYPE, 0x02), &arg), -EINVAL);
	CHECK_IS(raw(device, LUO_ABI_FINISH, &arg), -EINVAL);
	CHECK_IS(raw(device, _IO(LUO_ABI_TYPE + 1, 0x00), &arg), -ENOTTY);
	arg.size = sizeof(arg) - 1;
	CHECK_IS(raw(device, LUO_ABI_CREATE_SESSION, &arg), -EINVAL);
	CHECK_IS(raw(device, LUO_ABI_CREATE_SESSION, &longer), -E2BIG);
	longer.more = 0;
	CHECK_IS(raw(device, LUO_ABI_CREATE_SESSION, &longer), 0);
	session = longer.arg.fd;
	return TAP_OK;
}

/* Sessions */

static enum tap_result names_are_checked(void)
{
	struct luo_abi_session arg = { .size = sizeof(arg) };
	_cleanup_close_ int device = -EBADF, session = -EBADF, other = -EBADF;

	CHECK_IS(luo_device_open(USEC_PER_SEC, &device), 0);
	CHECK_IS(raw(device, LUO_ABI_CREATE_SESSION, &arg), -EINVAL);
	memset(arg.name, 'x', sizeof(arg.name));
	CHECK_IS(raw(device, LUO_ABI_CREATE_SESSION, &arg), -EINVAL);
	CHECK_IS(strlen(SESSION_LONGEST), LUO_SESSION_NAME_MAX);
	CHECK_IS(luo_session_create(device, SESSION_LONGEST, &session), 0);
	CHECK_IS(luo_session_create(device, SESSION_LONGEST, &other), -EEXIST);
	CHECK_IS(luo_session_create(device, NAME_A, &other), 0);
	return TAP_OK;
}

static enum tap_result outgoing_sessions_cannot_be_retrieved(void)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, other = -EBADF;

	CHECK_IS(luo_device_open(USEC_PER_SEC, &device), 0);
	CHECK_IS(luo_session_create(device, NAME_A, &session), 0);
	CHECK_IS(luo_session_retrieve(device, NAME_A, &other), -ENOENT);
	CHECK_IS(luo_session_retrieve(device, "luo-conformance-nobody", &other), -ENOENT);
	return TAP_OK;
}

static enum tap_result sessions_know_their_name(void)
{
	struct luo_abi_get_name arg = { .size = sizeof(arg) };
	_cleanup_close_ int session = create_session(SESSION_LONGEST), fd = make_memfd("x", 1, 1);
	_cleanup_free_ char *name = NULL;
	char link[256];
	int r;

	CHECK(session >= 0 && fd >= 0);
	CHECK(is_cloexec(session));
	CHECK_IS(luo_fd_link(session, link, sizeof(link)), 0);
	CHECK(streq(link, "anon_inode:[luo_session] " SESSION_LONGEST));
	CHECK_IS(luo_fd_is_session(session), 1);
	CHECK_IS(luo_fd_is_session(fd), 0);
	CHECK_IS(luo_session_get_name(session, &name), 0);
	CHECK(streq(name, SESSION_LONGEST));
	r = raw(session, LUO_ABI_GET_NAME, &arg);
	if (r == -EINVAL)
		SKIP("no GET_NAME in this kernel (before 7.2)");
	CHECK_IS(r, 0);
	CHECK(streq((const char *)arg.name, SESSION_LONGEST));
	arg.reserved = 1;
	CHECK_IS(raw(session, LUO_ABI_GET_NAME, &arg), -EINVAL);
	return TAP_OK;
}

static enum tap_result session_ioctls_are_checked(void)
{
	struct {
		struct luo_abi_fd arg;
		uint64_t more;
	} longer = { .arg = { .size = sizeof(longer), .token = 1 }, .more = 1 };
	_cleanup_close_ int session = create_session(NAME_A), fd = make_memfd("x", 1, 1);
	int got;

	CHECK(session >= 0 && fd >= 0);
	CHECK_IS(raw(session, LUO_ABI_CREATE_SESSION, &longer), -EINVAL);
	CHECK_IS(raw(session, _IO(LUO_ABI_TYPE, 0x50), &longer), -EINVAL);
	CHECK_IS(raw(session, _IO(LUO_ABI_TYPE + 1, 0x40), &longer), -ENOTTY);
	longer.arg.fd = fd;
	CHECK_IS(raw(session, LUO_ABI_PRESERVE_FD, &longer), -E2BIG);
	longer.arg.size = sizeof(longer.arg) - 1;
	CHECK_IS(raw(session, LUO_ABI_PRESERVE_FD, &longer), -EINVAL);
	CHECK_IS(luo_session_retrieve_fd(session, 1, &got), -EINVAL);
	CHECK_IS(luo_session_finish(session), -EINVAL);
	return TAP_OK;
}

static enum tap_result tokens_are_unique_in_a_session(void)
{
	_cleanup_close_ int a = create_session(NAME_A), b = create_session(NAME_B);
	_cleanup_close_ int one = make_memfd("one", 1, 10), two = make_memfd("two", 2, 10),
			    three = make_memfd("three", 3, 10);

	CHECK(a >= 0 && b >= 0 && one >= 0 && two >= 0 && three >= 0);
	CHECK_IS(luo_session_preserve_fd(a, one, 7), 0);
	CHECK_IS(luo_session_preserve_fd(a, two, 7), -EEXIST);
	CHECK_IS(luo_session_preserve_fd(a, one, 7), -EEXIST);
	CHECK_IS(luo_session_preserve_fd(a, -1, 7), -EEXIST);
	CHECK_IS(luo_session_preserve_fd(a, -1, 8), -EBADF);
	CHECK_IS(luo_session_preserve_fd(b, two, 7), 0);
	CHECK_IS(luo_session_preserve_fd(a, three, UINT64_MAX), 0);
	return TAP_OK;
}

static enum tap_result an_inode_is_preserved_once(void)
{
	_cleanup_close_ int a = create_session(NAME_A), b = create_session(NAME_B);
	_cleanup_close_ int fd = make_memfd("x", 1, 10), copy = fcntl(fd, F_DUPFD_CLOEXEC, 0),
			    again = -EBADF;

	CHECK(a >= 0 && b >= 0 && fd >= 0 && copy >= 0);
	CHECK_IS(luo_memfd_reopen(fd, O_RDONLY, &again), 0);
	CHECK_IS(luo_session_preserve_fd(a, fd, 1), 0);
	CHECK_IS(luo_session_preserve_fd(a, fd, 2), -EBUSY);
	CHECK_IS(luo_session_preserve_fd(a, copy, 2), -EBUSY);
	CHECK_IS(luo_session_preserve_fd(a, again, 2), -EBUSY);
	CHECK_IS(luo_session_preserve_fd(b, again, 1), -EBUSY);
	return TAP_OK;
}

static enum tap_result closing_undoes(void)
{
	_cleanup_close_ int a = create_session(NAME_A), b = -EBADF, fd = make_memfd("x", 1, 10);

	CHECK(a >= 0 && fd >= 0);
	CHECK_IS(luo_session_preserve_fd(a, fd, 1), 0);
	a = safe_close(a);
	b = create_session(NAME_A);
	CHECK(b >= 0);
	CHECK_IS(luo_session_preserve_fd(b, fd, 1), 0);
	b = safe_close(b);
	CHECK(has_pattern(fd, 1, 0, 10));
	CHECK_IS(write_pattern(fd, 1, 0, 20), 0);
	return TAP_OK;
}

/* Whoever has a copy keeps the session: then its name is taken. */
static enum tap_result is_alive(bool alive)
{
	_cleanup_close_ int other = create_session(NAME_A);

	if (alive)
		CHECK_IS(other, -EEXIST);
	else
		CHECK(other >= 0);
	return TAP_OK;
}

static enum tap_result a_dup_keeps_a_session(void)
{
	_cleanup_close_ int session = create_session(NAME_A), copy = dup(session);

	CHECK(session >= 0 && copy >= 0);
	session = safe_close(session);
	CHECK_RESULT(is_alive(true));
	copy = safe_close(copy);
	return is_alive(false);
}

static int send_fd(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

static enum tap_result a_socket_buffer_keeps_a_session(void)
{
	_cleanup_close_ int session = create_session(NAME_A), near = -EBADF, far = -EBADF;
	int pair[2];

	CHECK(session >= 0);
	CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	near = pair[0];
	far = pair[1];
	CHECK_IS(send_fd(near, session), 0);
	session = safe_close(session);
	CHECK_RESULT(is_alive(true));
	near = safe_close(near);
	far = safe_close(far);
	return is_alive(false);
}

static enum tap_result a_child_keeps_a_session(void)
{
	_cleanup_close_ int session = create_session(NAME_A), wait_for = -EBADF, go = -EBADF;
	int pipe_fds[2];
	pid_t child;

	CHECK(session >= 0);
	CHECK_IS(pipe2(pipe_fds, O_CLOEXEC), 0);
	wait_for = pipe_fds[0];
	go = pipe_fds[1];
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char c;

		close(go);
		_exit(read(wait_for, &c, 1) < 0);
	}
	session = safe_close(session);
	CHECK_RESULT(is_alive(true));
	go = safe_close(go);
	CHECK_IS(waitpid(child, NULL, 0), child);
	return is_alive(false);
}

/* What can be preserved */

static enum tap_result can_preserve(int fd, const char *what)
{
	_cleanup_close_ int mine = fd, session = create_session(NAME_A);
	int r;

	CHECK(session >= 0);
	if (fd < 0)
		return tap_failed(__FILE__, __LINE__, what, fd);
	r = luo_session_preserve_fd(session, fd, 1);
	return r == 0 ? TAP_OK : tap_failed(__FILE__, __LINE__, what, r);
}

static int with_tail(int fd)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536) < 0 ? -errno : fd;
}

static int sparse(int fd)
{
	return ftruncate(fd, SPARSE_SIZE) < 0 ? -errno : fd;
}

static enum tap_result memfds_can_be_preserved(void)
{
	int fd;

	CHECK_RESULT(can_preserve(make_memfd("a", 1, 0), "empty"));
	CHECK_RESULT(can_preserve(make_memfd("a", 1, 5000), "with content"));
	CHECK_RESULT(can_preserve(sparse(make_memfd("a", 1, 10)), "sparse"));
	CHECK_RESULT(can_preserve(with_seals(make_memfd("a", 1, 10), F_SEAL_GROW), "sealed"));
	CHECK_RESULT(can_preserve(with_seals(make_memfd("a", 1, 10), 0x1f), "write-sealed"));
	CHECK_RESULT(can_preserve(reopened(make_memfd("a", 1, 10), O_RDONLY), "read-only"));
	CHECK_RESULT(can_preserve(reopened(make_memfd("a", 1, 10), O_WRONLY), "write-only"));
	CHECK_RESULT(can_preserve(reopened(make_memfd("a", 1, 10), O_RDWR | O_APPEND), "append"));
	CHECK_RESULT(can_preserve(with_tail(make_memfd("a", 1, 10)), "allocated tail"));
	CHECK_RESULT(can_preserve(plain_memfd("a", 0), "not sealable"));
	fd = memfd_create("a", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (fd < 0)
		SKIP("no MFD_NOEXEC_SEAL in this kernel (the rest is fine)");
	return can_preserve(fd, "noexec");
}

static enum tap_result tmpfs_files_need_to_be_unlinked(void)
{
	_cleanup_close_ int session = create_session(NAME_A), fd = -EBADF, tmpfile = -EBADF;
	char path[64];

	CHECK(session >= 0);
	if (!tmpfs_directory())
		SKIP("no tmpfs to write to");
	fd = tmpfs_file(path, sizeof(path));
	CHECK(fd >= 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, 1), -ENOENT);
	CHECK_IS(unlink(path), 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, 1), 0);
	tmpfile = open(tmpfs_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK(tmpfile >= 0);
	CHECK_IS(luo_session_preserve_fd(session, tmpfile, 2), 0);
	return TAP_OK;
}

static enum tap_result shared_anonymous_memory_can_be_preserved(void)
{
	int fd = shared_anonymous(1);

	if (fd == -EPERM || fd == -ENOENT)
		SKIP("no access to /proc/self/map_files");
	return can_preserve(fd, "shared anonymous");
}

static enum tap_result is_refused(int fd, int error, const char *what)
{
	_cleanup_close_ int mine = fd, session = create_session(NAME_A);
	int r;

	CHECK(session >= 0);
	if (fd < 0)
		return tap_failed(__FILE__, __LINE__, what, -errno);
	r = luo_session_preserve_fd(session, fd, 1);
	return r == error ? TAP_OK : tap_failed(__FILE__, __LINE__, what, r);
}

static int one_of_pair(int (*make)(int[2]))
{
	int pair[2];

	if (make(pair) < 0)
		return -1;
	close(pair[1]);
	return pair[0];
}

static int make_socketpair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static enum tap_result other_kinds_cannot_be_preserved(void)
{
	CHECK_RESULT(is_refused(one_of_pair(make_socketpair), -ENOENT, "socket"));
	CHECK_RESULT(is_refused(one_of_pair(pipe), -ENOENT, "pipe"));
	CHECK_RESULT(is_refused(eventfd(0, 0), -ENOENT, "eventfd"));
	CHECK_RESULT(is_refused(epoll_create1(0), -ENOENT, "epoll"));
	CHECK_RESULT(is_refused(open("/dev/null", O_RDWR), -ENOENT, "device"));
	CHECK_RESULT(is_refused(open("/", O_RDONLY | O_DIRECTORY), -ENOENT, "directory"));
	CHECK_RESULT(is_refused(open("/proc/self/stat", O_RDONLY), -ENOENT, "proc file"));
	CHECK_RESULT(is_refused(create_session(NAME_B), -ENOENT, "session"));
	return TAP_OK;
}

/* fget() in the kernel does not see these at all. */
static enum tap_result path_fds_are_bad_fds(void)
{
	CHECK_RESULT(is_refused(open("/proc/self/stat", O_PATH), -EBADF, "O_PATH"));
	return TAP_OK;
}

static enum tap_result hugetlb_cannot_be_preserved(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0)
		SKIP("no hugetlb in this kernel");
	return is_refused(fd, -ENOENT, "hugetlb");
}

/* While preserved */

static enum tap_result size_is_frozen_while_preserved(void)
{
	_cleanup_close_ int session = create_session(NAME_A), fd = make_memfd("x", 1, 8192);

	if (conformance_on_fake)
		SKIP("a fake cannot freeze an inode");
	CHECK(session >= 0 && fd >= 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, 1), 0);
	CHECK_IS(write_pattern(fd, 2, 0, 8192), 0);
	CHECK_IS(write_pattern(fd, 2, 8192, 1), -EPERM);
	CHECK(ftruncate(fd, 16384) < 0 && errno == EPERM);
	CHECK(ftruncate(fd, 4096) < 0 && errno == EPERM);
	CHECK(fallocate(fd, 0, 0, 8192) < 0 && errno == EPERM);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0 &&
	      errno == EPERM);
	session = safe_close(session);
	CHECK_IS(ftruncate(fd, 16384), 0);
	CHECK_IS(ftruncate(fd, 4096), 0);
	return TAP_OK;
}

static enum tap_result write_seal_is_busy_while_preserved(void)
{
	_cleanup_close_ int session = create_session(NAME_A), fd = make_memfd("x", 1, 8192);

	if (conformance_on_fake)
		SKIP("a fake cannot pin pages");
	CHECK(session >= 0 && fd >= 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, 1), 0);
	CHECK_IS(luo_memfd_add_seals(fd, F_SEAL_WRITE), -EBUSY);
	CHECK_IS(luo_memfd_add_seals(fd, F_SEAL_GROW), 0);
	session = safe_close(session);
	CHECK_IS(luo_memfd_add_seals(fd, F_SEAL_WRITE), 0);
	return TAP_OK;
}

static enum tap_result holes_are_filled_by_preserving(void)
{
	_cleanup_close_ int session = create_session(NAME_A), fd = sparse(make_memfd("x", 1, 1));
	struct stat st;

	if (conformance_on_fake)
		SKIP("the fake fills holes at the kexec");
	CHECK(session >= 0 && fd >= 0);
	CHECK_IS(luo_session_preserve_fd(session, fd, 1), 0);
	session = safe_close(session);
	CHECK_IS(fstat(fd, &st), 0);
	CHECK_IS(st.st_blocks * 512, SPARSE_SIZE);
	return TAP_OK;
}

static const struct tap_test tests[] = {
	{ "the device is a singleton", device_is_a_singleton },
	{ "the holder of the device is found", device_holder_is_found },
	{ "ioctls of the device are checked", device_ioctls_are_checked },
	{ "names have 1 to 63 bytes and are unique", names_are_checked },
	{ "outgoing sessions cannot be retrieved", outgoing_sessions_cannot_be_retrieved },
	{ "sessions know their name", sessions_know_their_name },
	{ "ioctls of a session are checked", session_ioctls_are_checked },
	{ "tokens are unique in a session", tokens_are_unique_in_a_session },
	{ "an inode is preserved once", an_inode_is_preserved_once },
	{ "closing the session undoes it", closing_undoes },
	{ "a dup keeps a session", a_dup_keeps_a_session },
	{ "a socket buffer keeps a session", a_socket_buffer_keeps_a_session },
	{ "a child keeps a session", a_child_keeps_a_session },
	{ "memfds of all sorts can be preserved", memfds_can_be_preserved },
	{ "tmpfs files need to be unlinked", tmpfs_files_need_to_be_unlinked },
	{ "shared anonymous memory can be preserved", shared_anonymous_memory_can_be_preserved },
	{ "other kinds cannot be preserved", other_kinds_cannot_be_preserved },
	{ "O_PATH is a bad fd", path_fds_are_bad_fds },
	{ "hugetlb cannot be preserved", hugetlb_cannot_be_preserved },
	{ "the size is frozen while preserved", size_is_frozen_while_preserved },
	{ "F_SEAL_WRITE is busy while preserved", write_seal_is_busy_while_preserved },
	{ "holes are filled by preserving", holes_are_filled_by_preserving },
	{ "leave files of all sorts", leave_files },
	{ "leave files with seals", leave_seals },
	{ "leave a file sealed against exec", leave_noexec },
	{ "leave shared anonymous memory", leave_shared_anonymous },
	{ "leave an unlinked tmpfs file", leave_tmpfs },
	{ "leave sessions to finish and to close", leave_finish_and_close },
	{ "leave a session of which only a copy is open", leave_a_copy_only },
	{ "leave an empty session, drop another", leave_empty_and_dropped },
	{ "leave 200 files in a session", leave_many },
};

int conformance_before(bool is_fake)
{
	conformance_on_fake = is_fake;
	return tap_run(tests, ELEMENTSOF(tests));
}
