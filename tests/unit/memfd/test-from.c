/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Memfds with the content of a buffer or of an fd, and snapshots. */

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "tests/unit/memfd/fixture.h"

/* Buffers */

static void test_new_sealed(void **state)
{
	_cleanup_close_ int fd = -EBADF, empty = -EBADF;
	int untouched = UNTOUCHED;

	assert_int_equal(luo_memfd_new_sealed(NULL, NULL, 1, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, NULL), -EINVAL);
	assert_int_equal(luo_memfd_new_sealed(long_name(250), "x", 1, &untouched), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
	assert_int_equal(luo_memfd_new_sealed("copy", "hello", 5, &fd), 0);
	assert_text_at(fd, "hello", 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(seals_of(fd), LUO_SEALS_CONSTANT);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(luo_memfd_new_sealed(NULL, NULL, 0, &empty), 0);
	assert_int_equal(status(empty).st_size, 0);
}

static void test_from_data(void **state)
{
	struct luo_memfd_options o = { .struct_size = sizeof(o), .name = "x", .size = 4 };
	_cleanup_close_ int fd = -EBADF;
	int untouched = UNTOUCHED;

	assert_int_equal(luo_memfd_new_from_data(&o, "hello", 5, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_new_from_data(&o, NULL, 4, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_new_from_data(&o, "hell", 4, NULL), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
	o = (struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
					.size = 5 * MIB,
					.seals = LUO_SEAL_WRITE };
	assert_int_equal(luo_memfd_new_from_data(&o, "hello", 5, &fd), 0);
	assert_text_at(fd, "hello", 0);
	assert_int_equal(status(fd).st_size, 5 * MIB);
	assert_true(allocated(fd) <= 4096);
	assert_int_equal(seals_of(fd), LUO_SEAL_WRITE);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	assert_int_equal(luo_memfd_new_from_data(NULL, "hello", 5, &fd), 0);
	assert_content(fd, "hello");
	assert_int_equal(seals_of(fd), 0);
}

/* Fds */

static void assert_from(int from, uint64_t limit, int expected)
{
	int fd = UNTOUCHED;

	assert_int_equal(luo_memfd_new_from_fd(NULL, from, limit, &fd), expected);
	assert_int_equal(fd, UNTOUCHED);
	assert_int_equal(luo_memfd_snapshot(NULL, from, limit, &fd), expected);
	assert_int_equal(fd, UNTOUCHED);
}

static int new_from(int from, uint64_t limit)
{
	int fd = -EBADF;

	assert_int_equal(luo_memfd_new_from_fd(NULL, from, limit, &fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

static void test_from_fd_refused(void **state)
{
	struct luo_memfd_options o = { .struct_size = sizeof(o), .size = 1 };
	_cleanup_close_ int fd = memfd_of("text"), path = path_only(fd);
	_cleanup_close_ int dir = open("/", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int p[2], untouched = UNTOUCHED;

	assert_from(-1, 0, -EBADF);
	assert_from(path, 0, -EBADF);
	assert_from(dir, 0, -EISDIR);
	assert_from(listening, 0, -EINVAL);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_from(p[1], 0, -EBADF);
	close_many(p, 2);
	assert_int_equal(luo_memfd_new_from_fd(NULL, fd, 0, NULL), -EINVAL);
	assert_int_equal(luo_memfd_snapshot(NULL, fd, 0, NULL), -EINVAL);
	assert_int_equal(luo_memfd_new_from_fd(&o, fd, 0, &untouched), -EINVAL);
	o = (struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
					.flags = 1 << 20 };
	assert_int_equal(luo_memfd_new_from_fd(&o, fd, 0, &untouched), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
}

static void test_limit_of_files(void **state)
{
	_cleanup_close_ int fd = memfd_of("text"), sparse = -EBADF, exact = -EBADF;
	_cleanup_close_ int huge = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });

	assert_from(fd, 3, -EFBIG);
	exact = new_from(fd, 4);
	assert_content(exact, "text");
	/* It is the size that counts, but memory is needed for what it has only. */
	assert_from(huge, 1 << 30, -EFBIG);
	write_at(huge, "x", 1 << 30);
	sparse = new_from(huge, 0);
	assert_int_equal(status(sparse).st_size, INT64_MAX - 4095);
	assert_int_equal(allocated(sparse), 4096);
	assert_text_at(sparse, "x", 1 << 30);
}

static void test_from_memfd(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 64 * MIB }),
			    fd = -EBADF;

	write_at(from, "begin", 0);
	write_at(from, "middle", 32 * MIB + 4000);
	assert_int_equal(lseek(from, 77, SEEK_SET), 77);
	fd = new_from(from, 0);
	assert_int_equal(lseek(from, 0, SEEK_CUR), 77);
	assert_int_equal(luo_memfd_equal(from, fd), 1);
	assert_true(allocated(fd) <= 3 * 4096);
}

static void test_from_file_on_disk(void **state)
{
	char name[] = "/tmp/luo-test-XXXXXX", line[256] = "";
	_cleanup_close_ int from = mkostemp(name, O_CLOEXEC), fd = -EBADF;

	assert_true(from >= 0);
	unlink(name);
	memset(line, 'x', sizeof(line) - 1);
	for (off_t at = 0; at < (off_t)MIB; at += 255)
		write_at(from, line, at);
	write_at(from, "far away", 9 * MIB);
	fd = new_from(from, 0);
	assert_int_equal(luo_memfd_equal(from, fd), 1);
	assert_true(allocated(fd) <= 2 * MIB);
}

/* They say that they have 0 bytes, or a page, and then there is something else. */
static void test_from_files_of_the_kernel(void **state)
{
	_cleanup_close_ int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC), fd = -EBADF;
	_cleanup_close_ int sys =
		open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	char first[6] = "";

	assert_int_equal(read(proc, first, 5), 5);
	fd = new_from(proc, 0);
	assert_true(status(fd).st_size > 100);
	assert_text_at(fd, first, 0);
	assert_int_equal(lseek(proc, 0, SEEK_CUR), 5);
	assert_from(proc, 10, -EFBIG);
	if (sys < 0)
		return;
	close(fd);
	fd = new_from(sys, 0);
	assert_in_range(status(fd).st_size, 5, 100);
}

static void test_from_pipe(void **state)
{
	_cleanup_close_ int fd = -EBADF, empty = -EBADF;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "hello", 5), 5);
	assert_int_equal(write(p[1], " world", 6), 6);
	close(p[1]);
	fd = new_from(p[0], 11);
	assert_content(fd, "hello world");
	empty = new_from(p[0], 0);
	assert_int_equal(status(empty).st_size, 0);
	close(p[0]);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "hello", 5), 5);
	close(p[1]);
	assert_int_equal(luo_memfd_new_from_fd(NULL, p[0], 4, &p[1]), -EFBIG);
	close(p[0]);
}

static void *write_slowly(void *userdata)
{
	int fd = *(int *)userdata;
	char block[4096];

	memset(block, 'y', sizeof(block));
	for (int i = 0; i < 500; i++) {
		if (i % 100 == 0)
			usleep(2000);
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
	return NULL;
}

static void ignore(int number)
{
}

/* More data than fits, from a slow writer, with signals in between. */
static void slow_stream(int from, int to)
{
	struct itimerval timer = { { 0, 2000 }, { 0, 2000 } };
	struct sigaction action = { .sa_handler = ignore };
	_cleanup_close_ int fd = -EBADF;
	pthread_t thread;
	sigset_t alarm;

	sigaction(SIGALRM, &action, NULL); /* no SA_RESTART; stays: one may come late */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	assert_int_equal(pthread_create(&thread, NULL, write_slowly, &to), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	fd = new_from(from, 0);
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(status(fd).st_size, 500 * 4096);
	assert_text_at(fd, "yyyy", 500 * 4096 - 4);
	close(from);
}

static void test_from_slow_streams(void **state)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	slow_stream(p[0], p[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	slow_stream(p[0], p[1]);
	/* Non-blocking ones are waited for. */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	slow_stream(p[0], p[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	assert_int_equal(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	slow_stream(p[0], p[1]);
}

static void test_peer_that_says_nothing(void **state)
{
	struct timeval timeout = { .tv_usec = 10000 };
	int p[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	assert_int_equal(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(write(p[1], "hello", 5), 5);
	assert_from(p[0], 0, -EAGAIN);
	close_many(p, 2);
}

/* They would fill the machine. */
static void test_endless(void **state)
{
	_cleanup_close_ int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), fd = -EBADF;
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_from(zero, MIB, -EFBIG);
	assert_from(zero, 1, -EFBIG);
	assert_from(zero, 3 * MIB + 17, -EFBIG);
	fd = new_from(null, 1);
	assert_int_equal(status(fd).st_size, 0);
}

static void test_options_are_kept(void **state)
{
	struct luo_memfd_options o = {
		.struct_size = sizeof(o),
		.name = "given",
		.flags = LUO_MEMFD_HUGEPAGE | LUO_MEMFD_NO_CLOEXEC,
		.seals = LUO_SEALS_SIZE,
	};
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 3 * MIB }),
			    fd = -EBADF;
	_cleanup_free_ char *name = NULL;
	int p[2];

	assert_int_equal(luo_memfd_new_from_fd(&o, from, 0, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(seals_of(fd), LUO_SEALS_SIZE);
	assert_int_equal(allocated(fd), 3 * MIB);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, "given");
	close(fd);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "text", 4), 4);
	close(p[1]);
	assert_int_equal(luo_memfd_new_from_fd(&o, p[0], 0, &fd), 0);
	assert_int_equal(seals_of(fd), LUO_SEALS_SIZE);
	assert_content(fd, "text");
	close(p[0]);
}

/* Snapshots */

static void test_snapshot(void **state)
{
	_cleanup_close_ int from = memfd_of("state"), fd = -EBADF, again = -EBADF;

	assert_int_equal(luo_memfd_snapshot("snap", from, 0, &fd), 0);
	assert_int_equal(seals_of(fd), LUO_SEALS_CONSTANT);
	write_at(from, "other", 0);
	assert_content(fd, "state");
	/* One of something that is constant is another file, too. */
	assert_int_equal(luo_memfd_snapshot("snap", fd, 0, &again), 0);
	assert_content(again, "state");
	assert_int_not_equal(inode_of(again), inode_of(fd));
}

struct changer {
	int fd;
	bool resize;
	volatile bool stop;
};

static void *change(void *userdata)
{
	struct changer *c = userdata;

	for (unsigned i = 0; !c->stop; i++) {
		if (c->resize)
			assert_int_equal(ftruncate(c->fd, i % 2 ? 4096 : 32 * (off_t)MIB), 0);
		else
			assert_int_equal(pwrite(c->fd, &i, sizeof(i), i % 1000 * 4096), sizeof(i));
	}
	return NULL;
}

/* One of them meets a change sooner or later; none is an unreported mixture. */
static void snapshots_of_a_changing_file(bool resize)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 32 * MIB });
	struct changer c = { .fd = from, .resize = resize };
	unsigned busy = 0;
	pthread_t thread;

	for (off_t at = 0; at < 32 * (off_t)MIB; at += 4096)
		write_at(from, "x", at);
	assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
	for (int i = 0; i < 5000 && busy == 0; i++) {
		int fd, r = luo_memfd_snapshot(NULL, from, 0, &fd);

		assert_true(r == 0 || r == -EBUSY);
		busy += r == -EBUSY;
		if (r == 0)
			close(fd);
	}
	c.stop = true;
	pthread_join(thread, NULL);
	assert_true(busy > 0);
}

static void test_snapshot_of_a_changing_file(void **state)
{
	snapshots_of_a_changing_file(false);
	snapshots_of_a_changing_file(true);
}

/* A plain copy does not mind writers, and says so if data is gone. */
static void test_copy_of_a_shrinking_file(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 32 * MIB });
	struct changer c = { .fd = from, .resize = true };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
	for (int i = 0; i < 50; i++) {
		int fd, r = luo_memfd_new_from_fd(NULL, from, 0, &fd);

		assert_true(r == 0 || r == -EIO);
		if (r == 0)
			close(fd);
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_sealed),
		TEST(test_from_data),
		TEST(test_from_fd_refused),
		TEST(test_limit_of_files),
		TEST(test_from_memfd),
		TEST(test_from_file_on_disk),
		TEST(test_from_files_of_the_kernel),
		TEST(test_from_pipe),
		TEST(test_from_slow_streams),
		TEST(test_peer_that_says_nothing),
		TEST(test_endless),
		TEST(test_options_are_kept),
		TEST(test_snapshot),
		TEST(test_snapshot_of_a_changing_file),
		TEST(test_copy_of_a_shrinking_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
