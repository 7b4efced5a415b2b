/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include "libluo/session/kernel.h"

#include "tests/fake/fake-luo.h"
#include "tests/unit/helpers.h"

static int setup(void **state)
{
	fake_luo_install();
	return remember_fds(state);
}

static int teardown(void **state)
{
	struct fake_luo_stats stats;

	fake_luo_stats(&stats);
	assert_int_equal(fd_count(), fds_before + stats.fds);
	fake_luo_uninstall();
	return 0;
}

static int open_device(void)
{
	int fd = UNTOUCHED;

	assert_int_equal(luo_device_open(0, &fd), 0);
	return fd;
}

static int create(const char *name)
{
	_cleanup_close_ int device = open_device();
	int fd;

	assert_int_equal(luo_session_create(device, name, &fd), 0);
	return fd;
}

static int retrieve(const char *name)
{
	_cleanup_close_ int device = open_device();
	int fd;

	assert_int_equal(luo_session_retrieve(device, name, &fd), 0);
	return fd;
}

static void preserve_text(int session, uint64_t token, const char *text)
{
	_cleanup_close_ int fd = memfd_of(text);

	assert_int_equal(luo_session_preserve_fd(session, fd, token), 0);
}

/* The device */

static void assert_open_fails(int expected)
{
	int fd = UNTOUCHED;

	assert_int_equal(luo_device_open(0, &fd), expected);
	assert_int_equal(fd, UNTOUCHED);
}

static void test_open_refused(void **state)
{
	assert_int_equal(luo_device_open(0, NULL), -EINVAL);
	fake_luo_set_support(LUO_SUPPORT_NONE);
	assert_int_equal(luo_support(), LUO_SUPPORT_NONE);
	assert_open_fails(-ENODEV);
	fake_luo_set_support(LUO_SUPPORT_OFF);
	assert_int_equal(luo_support(), LUO_SUPPORT_OFF);
	assert_open_fails(-EOPNOTSUPP);
	fake_luo_set_support(LUO_SUPPORT_ON);
	assert_int_equal(luo_support(), LUO_SUPPORT_ON);
	fake_luo_set_unreadable(true);
	assert_open_fails(-EIO);
	assert_open_fails(-EIO);
	fake_luo_set_unreadable(false);
	fake_luo_fail(FAKE_LUO_OPEN, 1, EACCES);
	assert_open_fails(-EACCES);
	/* A container's /dev: the kernel has it, the node is not there. */
	fake_luo_fail(FAKE_LUO_OPEN, 1, ENOENT);
	assert_open_fails(-ENOENT);
	/* A node that mknod(1) made, and no driver. */
	fake_luo_set_support(LUO_SUPPORT_NONE);
	fake_luo_fail(FAKE_LUO_OPEN, 1, ENXIO);
	assert_open_fails(-ENODEV);
}

static void test_open_deadline(void **state)
{
	_cleanup_close_ int holder = open_device();
	struct fake_luo_stats stats;
	uint64_t start, spent;
	int fd = UNTOUCHED;

	start = now_usec(CLOCK_MONOTONIC);
	assert_int_equal(luo_device_open(100 * USEC_PER_MSEC, &fd), -EBUSY);
	spent = now_usec(CLOCK_MONOTONIC) - start;
	assert_int_equal(fd, UNTOUCHED);
	assert_true(spent >= 100 * USEC_PER_MSEC);
	fake_luo_stats(&stats);
	assert_true(stats.calls[FAKE_LUO_OPEN] >= 4);
	assert_true(stats.calls[FAKE_LUO_OPEN] <= 14); /* no busy loop */
}

/* Only being busy is worth waiting for. */
static void test_open_does_not_wait_for_the_impossible(void **state)
{
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	int fd;

	fake_luo_set_unreadable(true);
	assert_int_equal(luo_device_open(10 * USEC_PER_SEC, &fd), -EIO);
	fake_luo_set_support(LUO_SUPPORT_NONE);
	assert_int_equal(luo_device_open(UINT64_MAX, &fd), -ENODEV);
	assert_true(now_usec(CLOCK_MONOTONIC) - start < 5 * USEC_PER_SEC);
}

/* Another process that has the device until @go is closed. */
static pid_t fork_holder(int device, int *ret_go)
{
	int pair[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_NAME, "busy holder");
		close(pair[1]);
		if (read(pair[0], &c, 1) == 1) /* a moment later, not at once */
			usleep(30000);
		_exit(device < 0);
	}
	close(pair[0]);
	*ret_go = pair[1];
	return pid;
}

static void test_open_waits_for_another_process(void **state)
{
	_cleanup_close_ int go = -EBADF, fd = -EBADF;
	int device = open_device();
	pid_t holder = fork_holder(device, &go);

	close(device);
	assert_open_fails(-EBUSY);
	assert_int_equal(write(go, "x", 1), 1);
	assert_int_equal(luo_device_open(10 * USEC_PER_SEC, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
}

static void test_holder(void **state)
{
	_cleanup_free_ char *comm = NULL;
	_cleanup_close_ int go = -EBADF;
	pid_t holder, pid = UNTOUCHED;
	int device;

	assert_int_equal(luo_device_holder(NULL, NULL), -EINVAL);
	assert_int_equal(luo_device_holder(&pid, &comm), -ENOENT);
	assert_int_equal(pid, UNTOUCHED);
	assert_null(comm);
	device = open_device();
	assert_int_equal(luo_device_holder(&pid, NULL), 0);
	assert_int_equal(pid, getpid());
	holder = fork_holder(device, &go);
	close(device);
	while (luo_device_holder(&pid, &comm) == 0 && !streq(comm, "busy holder")) {
		free(TAKE_PTR(comm)); /* it has not named itself yet */
		usleep(1000);
	}
	assert_int_equal(pid, holder);
	assert_string_equal(comm, "busy holder");
	go = safe_close(go);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_int_equal(luo_device_holder(&pid, NULL), -ENOENT);
}

static void *ask_for_support(void *ret)
{
	*(enum luo_support *)ret = luo_support();
	return NULL;
}

/* The first answer of a process is worked out by several threads at once: all of them get it. */
static void test_support_of_threads(void **state)
{
	enum luo_support answers[4];
	pthread_t threads[ELEMENTSOF(answers)];

	luo_kernel_set(NULL);
	for (size_t i = 0; i < ELEMENTSOF(answers); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_for_support, &answers[i]),
				 0);
	for (size_t i = 0; i < ELEMENTSOF(answers); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < ELEMENTSOF(answers); i++)
		assert_int_equal(answers[i], luo_support());
}

/* Whatever this machine is: the answers agree with each other. */
static void test_real_kernel(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	luo_kernel_set(NULL);
	r = luo_device_open(0, &fd);
	switch (luo_support()) {
	case LUO_SUPPORT_NONE:
		assert_int_equal(r, -ENODEV);
		break;
	case LUO_SUPPORT_OFF:
		assert_int_equal(r, -EOPNOTSUPP);
		break;
	case LUO_SUPPORT_ON:
		assert_true(r != -ENODEV && r != -EOPNOTSUPP);
		break;
	}
	assert_int_equal(luo_fd_is_session(0), 0);
	assert_int_equal(luo_session_create(-1, "x", &fd), -EBADF);
}

/* Names */

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} names[] = {
		{ NULL, false },
		{ "", false },
		{ "a", true },
		{ "with space", true },
		{ "systemd", true },
		{ "a/b", false },
		{ "tab\t", false },
		{ "nl\n", false },
		{ "\x7f", false },
		{ "\xc3\xa4", false },
		{ "123456789012345678901234567890123456789012345678901234567890123", true },
		{ "1234567890123456789012345678901234567890123456789012345678901234", false },
	};

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		assert_int_equal(luo_session_name_is_valid(names[i].name), names[i].valid);
}

static void assert_name_refused(int device, const char *name)
{
	int fd = UNTOUCHED;

	assert_int_equal(luo_session_create(device, name, &fd), -EINVAL);
	assert_int_equal(luo_session_retrieve(device, name, &fd), -EINVAL);
	assert_int_equal(fd, UNTOUCHED);
}

static void test_create_refused(void **state)
{
	_cleanup_close_ int device = open_device(), session = -EBADF;
	int fd = UNTOUCHED;

	assert_name_refused(device, NULL);
	assert_name_refused(device, "");
	assert_name_refused(device,
			    "1234567890123456789012345678901234567890123456789012345678901234");
	assert_int_equal(luo_session_create(device, "x", NULL), -EINVAL);
	assert_int_equal(luo_session_create(-1, "x", &fd), -EBADF);
	assert_int_equal(luo_session_create(0, "x", &fd), -ENOTTY);
	fake_luo_fail(FAKE_LUO_CREATE, 2, ENOSPC);
	assert_int_equal(luo_session_create(device, "x", &session), 0);
	assert_int_equal(luo_session_create(device, "y", &fd), -ENOSPC);
	assert_int_equal(luo_session_create(device, "x", &fd), -EEXIST);
	assert_int_equal(fd, UNTOUCHED);
	assert_int_equal(fcntl(session, F_GETFD), FD_CLOEXEC);
}

static void test_retrieve_refused(void **state)
{
	_cleanup_close_ int device = -EBADF, session = create("x"), incoming = -EBADF;
	int fd = UNTOUCHED;

	fake_luo_kexec();
	device = open_device();
	assert_int_equal(luo_session_retrieve(device, "x", NULL), -EINVAL);
	assert_int_equal(luo_session_retrieve(device, "y", &fd), -ENOENT);
	fake_luo_fail(FAKE_LUO_RETRIEVE_SESSION, 1, EMFILE);
	assert_int_equal(luo_session_retrieve(device, "x", &fd), -EMFILE);
	assert_int_equal(luo_session_retrieve(device, "x", &incoming), 0);
	assert_int_equal(luo_session_retrieve(device, "x", &fd), -EINVAL);
	assert_int_equal(fd, UNTOUCHED);
	assert_int_equal(fcntl(incoming, F_GETFD), FD_CLOEXEC);
}

/* Files */

static void test_preserve_refused(void **state)
{
	_cleanup_close_ int a = create("a"), b = create("b"), one = memfd_of("one"),
			    two = memfd_of("two"), path = open("/", O_PATH | O_CLOEXEC);

	assert_int_equal(luo_session_preserve_fd(-1, one, 1), -EBADF);
	assert_int_equal(luo_session_preserve_fd(one, one, 1), -ENOTTY);
	assert_int_equal(luo_session_preserve_fd(a, -1, 1), -EBADF);
	assert_int_equal(luo_session_preserve_fd(a, path, 1), -EBADF);
	assert_int_equal(luo_session_preserve_fd(a, b, 1), -ENOENT);
	assert_int_equal(luo_session_preserve_fd(a, one, 1), 0);
	assert_int_equal(luo_session_preserve_fd(a, two, 1), -EEXIST);
	assert_int_equal(luo_session_preserve_fd(b, one, 1), -EBUSY);
	fake_luo_set_file_limit(1);
	assert_int_equal(luo_session_preserve_fd(a, two, 2), -ENOSPC);
	assert_int_equal(luo_session_preserve_fd(b, two, 2), 0);
	assert_int_equal(luo_session_finish(a), -EINVAL);
}

static void test_preserve_fails(void **state)
{
	static const int errors[] = { ENOMEM, EFBIG, EOPNOTSUPP };
	_cleanup_close_ int session = create("a"), fd = memfd_of("one");

	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		fake_luo_fail(FAKE_LUO_PRESERVE_FD, 1, errors[i]);
		assert_int_equal(luo_session_preserve_fd(session, fd, 1), -errors[i]);
	}
	assert_int_equal(luo_session_preserve_fd(session, fd, 1), 0);
}

static void test_restore_refused(void **state)
{
	_cleanup_close_ int old = create("x"), session = -EBADF, fd = -EBADF;
	int untouched = UNTOUCHED;

	preserve_text(old, 1, "one");
	assert_int_equal(luo_session_retrieve_fd(old, 1, &untouched), -EINVAL);
	fake_luo_kexec();
	session = retrieve("x");
	assert_int_equal(luo_session_retrieve_fd(session, 1, NULL), -EINVAL);
	assert_int_equal(luo_session_retrieve_fd(-1, 1, &untouched), -EBADF);
	assert_int_equal(luo_session_retrieve_fd(session, 2, &untouched), -ENOENT);
	assert_int_equal(luo_session_preserve_fd(session, 0, 2), -EINVAL);
	fake_luo_fail(FAKE_LUO_RETRIEVE_FD, 1, EMFILE);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &untouched), -EMFILE);
	assert_int_equal(untouched, UNTOUCHED);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_content(fd, "one");
}

static void test_failed_restore_is_final(void **state)
{
	_cleanup_close_ int old = create("x"), session = -EBADF, two = -EBADF;
	struct fake_luo_stats stats;
	int fd = UNTOUCHED;

	preserve_text(old, 1, "one");
	preserve_text(old, 2, "second");
	fake_luo_kexec();
	session = retrieve("x");
	fake_luo_fail(FAKE_LUO_RETRIEVE_FD, 1, ENOMEM);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &fd), -ENOMEM);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &fd), -ENOMEM);
	fake_luo_stats(&stats);
	assert_int_equal(stats.bytes, strlen("second"));
	assert_int_equal(luo_session_retrieve_fd(session, 2, &two), 0);
	assert_content(two, "second");
	assert_int_equal(fd, UNTOUCHED);
}

static void test_finish(void **state)
{
	_cleanup_close_ int old = create("x"), session = -EBADF;
	struct fake_luo_stats stats;
	int fd;

	preserve_text(old, 1, "one");
	fake_luo_kexec();
	session = retrieve("x");
	assert_int_equal(luo_session_finish(-1), -EBADF);
	fake_luo_fail(FAKE_LUO_FINISH, 1, EBUSY);
	assert_int_equal(luo_session_finish(session), -EBUSY);
	fake_luo_stats(&stats);
	assert_int_equal(stats.files, 1);
	assert_int_equal(luo_session_finish(session), 0);
	assert_int_equal(luo_session_finish(session), 0);
	assert_int_equal(luo_session_retrieve_fd(session, 1, &fd), -ENOENT);
}

/* Names of sessions that are open */

static void assert_name(int session, const char *expected)
{
	_cleanup_free_ char *name = NULL;

	assert_int_equal(luo_session_get_name(session, &name), 0);
	assert_string_equal(name, expected);
}

static void test_get_name_refused(void **state)
{
	_cleanup_close_ int session = create("x"), closed = create("y"),
			    decoy = memfd_create("anon_inode:[luo_session] x", MFD_CLOEXEC);
	struct fake_luo_stats stats;
	char *name = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(luo_session_get_name(session, NULL), -EINVAL);
	assert_int_equal(luo_session_get_name(-1, &name), -EBADF);
	assert_int_equal(luo_session_get_name(0, &name), -ENOTTY);
	assert_int_equal(luo_session_get_name(decoy, &name), -ENOTTY);
	assert_int_equal(luo_session_get_name(pair[0], &name), -ENOTTY);
	assert_int_equal(luo_fd_is_session(-1), -EBADF);
	assert_int_equal(luo_fd_is_session(decoy), 0);
	assert_int_equal(luo_fd_is_session(pair[0]), 0);
	close_many(pair, 2);
	/* Nothing of an unknown kind has been sent an ioctl. */
	fake_luo_stats(&stats);
	assert_int_equal(stats.calls[FAKE_LUO_GET_NAME], 0);
	fake_luo_fail(FAKE_LUO_GET_NAME, 1, ENOMEM);
	assert_int_equal(luo_session_get_name(session, &name), -ENOMEM);
	assert_null(name);
	closed = safe_close(closed);
	assert_int_equal(luo_fd_is_session(closed), -EBADF);
}

static void test_get_name(void **state)
{
	static const char longest[] =
		"a name with spaces, and of as many bytes as the kernel allows!!";
	_cleanup_close_ int old = create(longest), session = -EBADF;

	assert_int_equal(strlen(longest), LUO_SESSION_NAME_MAX);
	assert_name(old, longest);
	assert_int_equal(luo_fd_is_session(old), 1);
	fake_luo_kexec();
	assert_int_equal(luo_fd_is_session(old), 0); /* it went with the old kernel */
	session = retrieve(longest);
	assert_name(session, longest);
	/* before kernel 7.2 */
	fake_luo_set_get_name_error(EINVAL);
	assert_name(session, longest);
	fake_luo_set_get_name_error(ENOTTY);
	assert_name(session, longest);
	assert_int_equal(luo_fd_is_session(session), 1);
}

/* The fake's own promises that others build on */

static void test_fake_forgets_incoming(void **state)
{
	_cleanup_close_ int a = create("a"), b = create("b"), c = -EBADF;

	preserve_text(a, 1, "one");
	fake_luo_kexec();
	c = create("c");
	assert_true(fake_luo_has_session("a", true, NULL));
	assert_true(fake_luo_has_session("c", false, NULL));
	fake_luo_kexec();
	assert_false(fake_luo_has_session("a", true, NULL));
	assert_false(fake_luo_has_session("b", true, NULL));
	assert_true(fake_luo_has_session("c", true, NULL));
}

static void test_fake_fails_every_time(void **state)
{
	_cleanup_close_ int device = open_device();
	int fd;

	fake_luo_fail(FAKE_LUO_CREATE, 0, ENOMEM);
	for (int i = 0; i < 3; i++)
		assert_int_equal(luo_session_create(device, "x", &fd), -ENOMEM);
	device = safe_close(device);
	fake_luo_reset();
	close(create("x"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open_refused),
		TEST(test_open_deadline),
		TEST(test_open_does_not_wait_for_the_impossible),
		TEST(test_open_waits_for_another_process),
		TEST(test_holder),
		TEST(test_support_of_threads),
		TEST(test_real_kernel),
		TEST(test_names),
		TEST(test_create_refused),
		TEST(test_retrieve_refused),
		TEST(test_preserve_refused),
		TEST(test_preserve_fails),
		TEST(test_restore_refused),
		TEST(test_failed_restore_is_final),
		TEST(test_finish),
		TEST(test_get_name_refused),
		TEST(test_get_name),
		TEST(test_fake_forgets_incoming),
		TEST(test_fake_fails_every_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
