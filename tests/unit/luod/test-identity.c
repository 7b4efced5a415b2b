/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The caller: what is read from /proc, and the unit of a cgroup. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/helpers.h"
#include "tools/luod/identity.h"

/* How the kernel answers SO_PEERPIDFD and SO_PASSPIDFD; 0: as this one does. */
static int option_error;

#define OPTION_PASSPIDFD 76
#define OPTION_PEERPIDFD 77

/* Replaces the one of libc. */
int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	if (option_error && level == SOL_SOCKET &&
	    (option == OPTION_PASSPIDFD || option == OPTION_PEERPIDFD)) {
		errno = option_error;
		return -1;
	}
	return (int)syscall(SYS_getsockopt, fd, level, option, value, size);
}

static void expect_unit(const char *path, const char *unit)
{
	char *found = NULL;
	int r = cgroup_to_unit(path, &found);

	if (unit ? r < 0 || !streq(found, unit) : r != -ENOENT)
		fail_msg("%s: %s (%d) instead of %s", path, found, r, unit);
	free(found);
}

static void test_unit_of_nothing(void **state)
{
	expect_unit("/", NULL);
	expect_unit("", NULL);
	expect_unit("/init", NULL);
	expect_unit("/system.slice", NULL);
	expect_unit("/system.slice/", NULL);
	expect_unit("/foo/db.service", NULL);
	expect_unit("/.service", NULL);
	expect_unit("/system.slice/.service", NULL);
	expect_unit("/a b.service", NULL);
	expect_unit("relative.service", NULL);
}

/* What is below a unit may be delegated: its owner can give a cgroup any name. */
static void test_unit_is_not_chosen(void **state)
{
	expect_unit("/user.slice/user-1000.slice/user@1000.service/app.slice/db.service",
		    "user@1000.service");
	expect_unit("/user.slice/user-1000.slice/session-3.scope/db.service", "session-3.scope");
	expect_unit("/system.slice/a.service/b.service", "a.service");
}

static void test_unit(void **state)
{
	expect_unit("/system.slice/a.service", "a.service");
	expect_unit("/a.service", "a.service");
	expect_unit("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service");
	expect_unit("/system.slice/a.service/worker", "a.service");
	expect_unit("/init.scope", "init.scope");
	expect_unit("/system.slice/_cpu.service", "cpu.service");
	expect_unit("/openrc.sshd", "sshd");
}

static void test_below(void **state)
{
	assert_false(cgroup_is_below("/a", "/"));
	assert_false(cgroup_is_below("/a", ""));
	assert_false(cgroup_is_below("/ab", "/a"));
	assert_false(cgroup_is_below("/", "/a"));
	assert_true(cgroup_is_below("/a", "/a"));
	assert_true(cgroup_is_below("/a/b", "/a"));
}

static void test_cgroup_text(void **state)
{
	static const char *const bad[] = { "",     "1:name=systemd:/a", "0:/a",
					   "0::a", "0::/../a",          "0::/a//b" };
	char *path;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (cgroup_parse(bad[i], &path) != -ENOENT)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(cgroup_parse("12:cpu:/x\n0::/system.slice/a.service\n", &path), 0);
	assert_string_equal(path, "/system.slice/a.service");
	free(path);
	assert_int_equal(cgroup_parse("0::/", &path), 0);
	assert_string_equal(path, "/");
	free(path);
	assert_int_equal(cgroup_parse("0::/a.service (deleted)\n", &path), 0);
	assert_string_equal(path, "/a.service");
	free(path);
}

static void test_stat_text(void **state)
{
	uint64_t start;
	pid_t parent;

	assert_int_equal(stat_parse("", &parent, &start), -EBADMSG);
	assert_int_equal(stat_parse("1 (a) S", &parent, &start), -EBADMSG);
	assert_int_equal(stat_parse("1 a S 2", &parent, &start), -EBADMSG);
	/* A process may call itself anything. */
	assert_int_equal(
		stat_parse("77 (x) S 1 (y) S 42 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
			   &parent, &start),
		0);
	assert_int_equal(parent, 42);
	assert_int_equal(start, 22);
}

static void test_self(void **state)
{
	uint64_t start;
	pid_t parent;

	assert_int_equal(proc_stat(getpid(), &parent, &start), 0);
	assert_int_equal(parent, getppid());
	assert_true(start > 0);
	assert_int_equal(proc_stat(INT32_MAX, &parent, &start), -ESRCH);
	assert_int_equal(pidfd_open_process(0), -ESRCH);
	assert_int_equal(pidfd_open_process(-1), -ESRCH);
}

/* valgrind 3.19 does not know the call. */
static void need_pidfd(void)
{
	int pidfd = pidfd_open_process(getpid());

	if (pidfd == -ENOSYS)
		skip();
	assert_true(pidfd >= 0);
	close(pidfd);
}

static void test_peer(void **state)
{
	struct peer peer;
	int pair[2];

	need_pidfd();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(peer_from_socket(pair[0], &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_true(pidfd_is_there(peer.pidfd));
	assert_true(pidfd_is_running(peer.pidfd));
	peer_done(&peer);
	assert_int_equal(peer_from_socket(-1, &peer), -EBADF);
	close_many(pair, 2);
}

/* Every error but one says that the peer is gone, and the pid that it had is not looked at. */
static void test_peer_without_pidfd(void **state)
{
	static const int gone[] = { EINVAL, ESRCH, ENODATA, EMFILE, EPERM };
	struct peer peer;
	int pair[2];

	need_pidfd();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t i = 0; i < ELEMENTSOF(gone); i++) {
		option_error = gone[i];
		assert_int_equal(peer_from_socket(pair[0], &peer), 0);
		assert_int_equal(peer.pid, getpid());
		if (peer.pidfd >= 0)
			fail_msg("the pid was believed after: %s", strerror(gone[i]));
		peer_done(&peer);
	}
	option_error = ENOPROTOOPT;
	assert_int_equal(peer_from_socket(pair[0], &peer), 0);
	assert_true(pidfd_is_there(peer.pidfd));
	peer_done(&peer);
	option_error = 0;
	close_many(pair, 2);
}

static void connect_and_exit(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	_exit(connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0);
}

/* The real kernel, of any version: it was reaped, so nothing is there. */
static void test_reaped_peer(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int fd = -EBADF;
	struct peer peer;
	int status;
	pid_t pid;

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "test-identity-%d", getpid());
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid = fork();
	if (pid == 0)
		connect_and_exit(&address);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(peer_from_socket(fd, &peer), 0);
	assert_int_equal(peer.pid, pid);
	assert_false(pidfd_is_there(peer.pidfd));
	assert_false(pidfd_is_running(peer.pidfd));
	peer_done(&peer);
}

/* A kernel that could have sent a pidfd and sent none: the sender is gone. */
static void test_sender_of_new_kernel(void **state)
{
	static const int errors[] = { EINVAL, EBADF };

	need_pidfd();
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		option_error = errors[i];
		assert_int_equal(pidfd_open_sender(0, getpid(), UINT64_MAX / 2), -ESRCH);
	}
	option_error = 0;
}

/* The pid of a sender may have gone to a process that started after the datagram was sent. */
static void test_sender_of_old_kernel(void **state)
{
	uint64_t start, usec_per_tick = USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	pid_t parent;
	int fd;

	need_pidfd();
	assert_int_equal(proc_stat(getpid(), &parent, &start), 0);
	option_error = ENOPROTOOPT;
	assert_int_equal(pidfd_open_sender(0, getpid(), (start - 1) * usec_per_tick), -ESRCH);
	assert_int_equal(pidfd_open_sender(0, getpid(), 0), -ESRCH);
	assert_int_equal(pidfd_open_sender(0, INT32_MAX, now_usec(CLOCK_BOOTTIME)), -ESRCH);
	fd = pidfd_open_sender(0, getpid(), start * usec_per_tick);
	assert_true(pidfd_is_running(fd));
	close(fd);
	fd = pidfd_open_sender(0, getpid(), now_usec(CLOCK_BOOTTIME));
	assert_true(pidfd_is_running(fd));
	close(fd);
	option_error = 0;
}

static void test_uid(void **state)
{
	uid_t uid = 1;

	assert_int_equal(uid_parse("Name:\tUid: 5\\nUid:\nState:\tS\nUid:\t0\t7\t8\t9\n", &uid), 0);
	assert_int_equal(uid, 7);
	assert_int_equal(uid_parse("Name:\tUid:\t1\t2\n", &uid), -EBADMSG);
	assert_int_equal(uid_parse("Name:\tx\nUid:\t1\n", &uid), -EBADMSG);
	assert_int_equal(proc_uid(getpid(), &uid), 0);
	assert_int_equal(uid, geteuid());
}

/* Running, ended and not waited for, gone. */
static void test_life(void **state)
{
	siginfo_t info;
	uint64_t inode, later;
	int pidfd, r;
	pid_t pid;

	need_pidfd();
	pid = fork();
	if (pid == 0) {
		/* This process ends with the test, even if the test fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	pidfd = pidfd_open_process(pid);
	assert_true(pidfd >= 0);
	assert_true(pidfd_is_running(pidfd) && pidfd_is_there(pidfd));
	r = pidfd_inode(pidfd, &inode);
	assert_true((r == 0 && inode != 0) || r == -EOPNOTSUPP);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_false(pidfd_is_running(pidfd));
	assert_true(pidfd_is_there(pidfd));
	waitpid(pid, NULL, 0);
	assert_false(pidfd_is_there(pidfd));
	if (r == 0) {
		assert_int_equal(pidfd_inode(pidfd, &later), 0);
		assert_int_equal(later, inode);
	}
	close(pidfd);
	assert_false(pidfd_is_there(-1));
	assert_false(pidfd_is_running(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_of_nothing),
		cmocka_unit_test(test_unit_is_not_chosen),
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_cgroup_text),
		cmocka_unit_test(test_stat_text),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_peer_without_pidfd),
		cmocka_unit_test(test_reaped_peer),
		cmocka_unit_test(test_sender_of_new_kernel),
		cmocka_unit_test(test_sender_of_old_kernel),
		cmocka_unit_test(test_uid),
		cmocka_unit_test(test_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
