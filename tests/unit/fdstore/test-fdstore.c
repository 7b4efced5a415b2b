/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The service's side of an fd store, against a notify socket of our own. */

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include <systemd/sd-daemon.h>

#include <luo/fdstore.h>
#include <luo/heap.h>
#include <luo/memfd.h>

#include "tests/unit/helpers.h"

/* ---- a manager ------------------------------------------------------------------------------- */

#define MESSAGES_MAX 16

struct message {
	char text[1024];
	size_t n_fds;
	ino_t inode; /* of the first fd */
};

struct manager {
	char directory[DIRECTORY_SIZE];
	char path[64];
	int fd;
	int stop[2];
	pthread_t thread;
	bool mute; /* takes messages, and never lets a barrier go */
	struct message messages[MESSAGES_MAX];
	size_t n;
	int held[MESSAGES_MAX];
	size_t n_held;
};

static void manager_take(struct manager *m, struct msghdr *h, const char *text)
{
	struct message *message = &m->messages[m->n];
	struct stat st;
	int *fds = NULL;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			fds = (int *)CMSG_DATA(c);
			n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		}
	if (streq(text, "BARRIER=1")) {
		if (m->mute)
			m->held[m->n_held++] = fds[0];
		else
			close_many(fds, n);
		return;
	}
	snprintf(message->text, sizeof(message->text), "%s", text);
	message->n_fds = n;
	if (n > 0 && fstat(fds[0], &st) == 0)
		message->inode = st.st_ino;
	close_many(fds, n);
	m->n++;
}

static void *manager_run(void *userdata)
{
	struct manager *m = userdata;

	for (;;) {
		struct pollfd p[] = { { m->fd, POLLIN, 0 }, { m->stop[0], POLLIN, 0 } };
		union {
			char space[CMSG_SPACE(sizeof(int) * 16) + CMSG_SPACE(64)];
			struct cmsghdr align;
		} control;
		char text[1024] = "";
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };

		if (poll(p, 2, -1) < 0 || p[1].revents)
			return NULL;
		if (recvmsg(m->fd, &h, MSG_CMSG_CLOEXEC) < 0)
			return NULL;
		manager_take(m, &h, text);
	}
}

static int manager_start(void **state)
{
	struct manager *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	make_directory(m->directory);
	snprintf(m->path, sizeof(m->path), "%s/notify", m->directory);
	m->fd = bound_socket(SOCK_DGRAM, m->path);
	assert_int_equal(pipe2(m->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&m->thread, NULL, manager_run, m), 0);
	setenv("NOTIFY_SOCKET", m->path, 1);
	*state = m;
	return 0;
}

static int manager_stop(void **state)
{
	struct manager *m = *state;

	unsetenv("NOTIFY_SOCKET");
	(void)!write(m->stop[1], "", 1);
	pthread_join(m->thread, NULL);
	close_many((int[]){ m->fd, m->stop[0], m->stop[1] }, 3);
	close_many(m->held, m->n_held);
	remove_directory(m->directory);
	free(m);
	return 0;
}

static bool barrier_times_out;

/* Stands in front of the one of libsystemd. */
int sd_notify_barrier(int unset_environment, uint64_t timeout)
{
	int (*real)(int, uint64_t) = dlsym(RTLD_NEXT, "sd_notify_barrier");

	return barrier_times_out ? -ETIMEDOUT : real(unset_environment, timeout);
}

/* ---- push, remove ---------------------------------------------------------------------------- */

static void test_push_refuses(void **state)
{
	int fd = memfd_of("");

	assert_int_equal(luo_fdstore_push(NULL, fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push("", fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push("a:b", fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push("a\nREADY=1", fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push("\xc3\xa4", fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push(long_name(256), fd, 0), -EINVAL);
	assert_int_equal(luo_fdstore_push("a", fd, 1 << 7), -EINVAL);
	assert_int_equal(luo_fdstore_push("a", -1, 0), -EBADF);
	assert_int_equal(luo_fdstore_push("a", 1000, 0), -EBADF);
	assert_int_equal(luo_fdstore_remove("a:b"), -EINVAL);
	assert_int_equal(luo_fdstore_remove(NULL), -EINVAL);
	close(fd);
}

static void test_push_without_manager(void **state)
{
	int fd = memfd_of("");

	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(luo_fdstore_push("a", fd, 0), -ENOTCONN);
	assert_int_equal(luo_fdstore_remove("a"), -ENOTCONN);
	close(fd);
}

static void test_push_manager_gone(void **state)
{
	int fd = memfd_of("");

	setenv("NOTIFY_SOCKET", "/tmp/test-fdstore-nobody-is-here", 1);
	assert_int_equal(luo_fdstore_push("a", fd, 0), -ENOENT);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

static void test_push(void **state)
{
	struct manager *m = *state;
	int fd = memfd_of("");

	assert_int_equal(luo_fdstore_push("state", fd, 0), 0);
	/* The barrier has passed, so the manager has it. */
	assert_int_equal(m->n, 1);
	assert_string_equal(m->messages[0].text, "FDSTORE=1\nFDNAME=state");
	assert_int_equal(m->messages[0].n_fds, 1);
	assert_int_equal(m->messages[0].inode, inode_of(fd));

	assert_int_equal(luo_fdstore_push("state", fd, LUO_FDSTORE_NO_POLL), 0);
	assert_int_equal(m->n, 2);
	assert_string_equal(m->messages[1].text, "FDSTORE=1\nFDPOLL=0\nFDNAME=state");
	/* It is still ours. */
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	close(fd);
}

static void test_push_longest_name(void **state)
{
	struct manager *m = *state;
	char name[256], expected[512];
	int fd = memfd_of("");

	memset(name, '~', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(expected, sizeof(expected), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	assert_int_equal(luo_fdstore_push(name, fd, LUO_FDSTORE_NO_POLL), 0);
	assert_int_equal(m->n, 1);
	assert_string_equal(m->messages[0].text, expected);
	close(fd);
}

static void test_remove(void **state)
{
	struct manager *m = *state;

	assert_int_equal(luo_fdstore_remove("state"), 0);
	assert_int_equal(m->n, 1);
	assert_string_equal(m->messages[0].text, "FDSTOREREMOVE=1\nFDNAME=state");
	assert_int_equal(m->messages[0].n_fds, 0);
}

static void test_push_no_wait(void **state)
{
	struct manager *m = *state;
	int fd = memfd_of("");

	/* A manager that answers no barrier would make this one wait for 30 s. */
	m->mute = true;
	assert_int_equal(luo_fdstore_push("state", fd, LUO_FDSTORE_NO_WAIT), 0);
	close(fd);
}

/* ---- what was given -------------------------------------------------------------------------- */

/* The environment is read once in a process, so each case is a child of its own. */

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #condition); \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)

struct given {
	const char *n, *names; /* NULL: not set */
	bool other_pid;
	size_t n_memfds; /* opened as 3, 4, ..., of (fd - 2) * 100 bytes */
};

static void put(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void in_child(const struct given *given, void (*check)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid > 0) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		return;
	}
	for (int i = 0; i < (int)given->n_memfds; i++) {
		int fd = memfd_create("given", 0);

		CHECK(fd >= 0);
		CHECK(ftruncate(fd, (i + 1) * 100) == 0);
		CHECK(dup2(fd, 3 + i) >= 0);
		if (fd >= 3 + (int)given->n_memfds)
			close(fd);
	}
	if (given->n) {
		char text[32];

		snprintf(text, sizeof(text), "%d", (int)getpid() + (given->other_pid ? 1 : 0));
		put("LISTEN_PID", text);
	}
	put("LISTEN_FDS", given->n);
	put("LISTEN_FDNAMES", given->names);
	check();
	_exit(0);
}

static void check_nothing(void)
{
	int fd = -2;

	CHECK(luo_fdstore_count() == 0);
	CHECK(luo_fdstore_at(0, NULL, &fd) == -ENOENT);
	CHECK(luo_fdstore_get("a", 0, &fd) == -ENOENT);
	CHECK(fd == -2);
}

static void check_three(void)
{
	const char *name = NULL;
	int fd = -2;

	CHECK(luo_fdstore_count() == 3);
	CHECK(luo_fdstore_at(0, &name, &fd) == 0 && fd == 3 && streq(name, "a"));
	CHECK(luo_fdstore_at(2, &name, NULL) == 0 && streq(name, "a"));
	CHECK(luo_fdstore_at(3, &name, &fd) == -ENOENT);
	CHECK(luo_fdstore_get("a", 0, &fd) == 0 && fd == 3);
	CHECK(luo_fdstore_get("a", 1, &fd) == 0 && fd == 5);
	CHECK(luo_fdstore_get("b", 0, &fd) == 0 && fd == 4);
	CHECK(luo_fdstore_get("a", 2, &fd) == -ENOENT);
	CHECK(luo_fdstore_get("", 0, &fd) == -ENOENT);
	CHECK(luo_fdstore_get(NULL, 0, &fd) == -EINVAL);
	CHECK(fcntl(3, F_GETFD) == FD_CLOEXEC && fcntl(5, F_GETFD) == FD_CLOEXEC);
	CHECK(streq(getenv("LISTEN_FDS"), "3"));
}

/* What a shell would take for its own is a part of the name here. */
static void check_odd_names(void)
{
	int fd;

	CHECK(luo_fdstore_count() == 2);
	CHECK(luo_fdstore_get("a\"b\\c'", 0, &fd) == 0 && fd == 3);
	CHECK(luo_fdstore_get("$\\x41#", 0, &fd) == 0 && fd == 4);
}

static void check_unnamed(void)
{
	int fd;

	CHECK(luo_fdstore_count() == 2);
	CHECK(luo_fdstore_get("unknown", 1, &fd) == 0 && fd == 4);
}

static void check_malformed(void)
{
	int fd = -2;

	CHECK(luo_fdstore_count() == -EINVAL);
	CHECK(luo_fdstore_at(0, NULL, &fd) == -EINVAL);
	CHECK(luo_fdstore_get("a", 0, &fd) == -EINVAL);
	/* Not knowing what is there, nothing new may take its place. */
	CHECK(luo_fdstore_memfd("a", 100, &fd) == -EINVAL);
	CHECK(fd == -2);
}

static void check_memfd_found(void)
{
	int fd = -2;

	CHECK(luo_fdstore_memfd("b", 200, &fd) == 0 && fd == 4);
	CHECK(luo_fdstore_memfd("a", 200, &fd) == -EUCLEAN && fd == 4);
	CHECK(luo_fdstore_memfd("a:", 200, &fd) == -EINVAL);
}

static void check_not_a_file(void)
{
	int sockets[2], fd = -2;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	CHECK(dup2(sockets[0], 3) == 3);
	CHECK(luo_fdstore_memfd("a", 0, &fd) == -EUCLEAN);
}

static void test_given_nothing(void **state)
{
	in_child(&(struct given){ 0 }, check_nothing);
}

static void test_given_to_another(void **state)
{
	in_child(&(struct given){ .n = "1", .names = "a", .other_pid = true, .n_memfds = 1 },
		 check_nothing);
}

static void test_given(void **state)
{
	in_child(&(struct given){ .n = "3", .names = "a:b:a", .n_memfds = 3 }, check_three);
	in_child(&(struct given){ .n = "2", .names = "a\"b\\c':$\\x41#", .n_memfds = 2 },
		 check_odd_names);
}

static void test_given_unnamed(void **state)
{
	in_child(&(struct given){ .n = "2", .n_memfds = 2 }, check_unnamed);
}

static void test_given_malformed(void **state)
{
	in_child(&(struct given){ .n = "x", .n_memfds = 1 }, check_malformed);
	in_child(&(struct given){ .n = "-1", .n_memfds = 1 }, check_malformed);
	in_child(&(struct given){ .n = "99999999999", .n_memfds = 1 }, check_malformed);
	in_child(&(struct given){ .n = "2147483647", .n_memfds = 1 }, check_malformed);
	in_child(&(struct given){ .n = "2", .names = "a", .n_memfds = 2 }, check_malformed);
	in_child(&(struct given){ .n = "1", .names = "a:b", .n_memfds = 1 }, check_malformed);
	/* says 200, and not all of them are open */
	in_child(&(struct given){ .n = "200", .n_memfds = 1 }, check_malformed);
}

static void test_memfd_found(void **state)
{
	in_child(&(struct given){ .n = "2", .names = "a:b", .n_memfds = 2 }, check_memfd_found);
	in_child(&(struct given){ .n = "1", .names = "a", .n_memfds = 1 }, check_not_a_file);
}

/* ---- memfd ----------------------------------------------------------------------------------- */

static void check_memfd_not_kept(void)
{
	uint64_t size;
	int fd = -2;

	unsetenv("NOTIFY_SOCKET");
	CHECK(luo_fdstore_memfd("new", 4096, &fd) == 1);
	CHECK(luo_memfd_get_size(fd, &size) == 0 && size == 4096);
}

static void test_memfd_not_kept(void **state)
{
	in_child(&(struct given){ 0 }, check_memfd_not_kept);
}

static void test_memfd_made(void **state)
{
	struct manager *m = *state;
	_cleanup_free_ char *name = NULL;
	uint64_t size;
	int fd = -1;

	assert_int_equal(luo_fdstore_memfd("new", 4096, &fd), 1);
	assert_int_equal(m->n, 1);
	assert_string_equal(m->messages[0].text, "FDSTORE=1\nFDNAME=new");
	assert_int_equal(m->messages[0].inode, inode_of(fd));
	assert_int_equal(luo_memfd_get_size(fd, &size), 0);
	assert_int_equal(size, 4096);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, "new");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void expect_same_file(int a, int b)
{
	assert_int_not_equal(a, b);
	assert_int_equal(inode_of(a), inode_of(b));
}

/* It is stored once, and each call gives an fd of its own. */
static void test_memfd_twice(void **state)
{
	struct manager *m = *state;
	int a = -1, b = -1, c = -1;

	assert_int_equal(luo_fdstore_memfd("twice", 4096, &a), 1);
	assert_int_equal(luo_fdstore_memfd("twice", 4096, &b), 0);
	assert_int_equal(m->n, 1);
	expect_same_file(a, b);
	close(a);
	close(b);
	assert_int_equal(luo_fdstore_memfd("twice", 4096, &c), 0);
	assert_int_equal(m->messages[0].inode, inode_of(c));
	assert_int_equal(luo_fdstore_memfd("twice", 8192, &a), -EUCLEAN);
	assert_int_equal(m->n, 1);
	close(c);
}

/* Both find what the other one made. */
static void test_memfd_and_heap(void **state)
{
	struct manager *m = *state;
	struct luo_heap *heap;
	struct stat st;
	int fd = -1;

	assert_int_equal(luo_heap_open("heap", NULL, &heap), 0);
	assert_int_equal(m->n, 1);
	assert_int_equal(fstat(luo_heap_get_fd(heap), &st), 0);
	assert_int_equal(luo_fdstore_memfd("heap", 1, &fd), -EUCLEAN);
	assert_int_equal(luo_fdstore_memfd("heap", (uint64_t)st.st_size, &fd), 0);
	assert_int_equal(inode_of(fd), st.st_ino);
	luo_heap_close(heap);
	close(fd);
	assert_int_equal(luo_fdstore_memfd("no heap", 0, &fd), 1);
	assert_int_equal(luo_heap_open("no heap", NULL, &heap), 0);
	assert_int_equal(m->n, 2);
	assert_int_equal(fstat(luo_heap_get_fd(heap), &st), 0);
	assert_int_equal(inode_of(fd), st.st_ino);
	luo_heap_close(heap);
	close(fd);
}

static void test_memfd_removed(void **state)
{
	struct manager *m = *state;
	int a = -1, b = -1;

	assert_int_equal(luo_fdstore_memfd("removed", 1, &a), 1);
	assert_int_equal(luo_fdstore_remove("removed"), 0);
	assert_int_equal(luo_fdstore_memfd("removed", 1, &b), 1);
	assert_int_not_equal(inode_of(a), inode_of(b));
	assert_int_equal(m->n, 3);
	assert_int_equal(m->messages[2].inode, inode_of(b));
	close(a);
	close(b);
}

/* The manager may have it all the same: the same file is stored again, which it does not take
 * twice. */
static void test_memfd_timed_out(void **state)
{
	struct manager *m = *state;
	struct luo_heap *heap;
	int fd = -1;

	barrier_times_out = true;
	assert_int_equal(luo_fdstore_memfd("slow", 1, &fd), -ETIMEDOUT);
	assert_int_equal(luo_heap_open("slow heap", NULL, &heap), -ETIMEDOUT);
	barrier_times_out = false;
	assert_int_equal(luo_fdstore_memfd("slow", 1, &fd), 1);
	assert_int_equal(luo_heap_open("slow heap", NULL, &heap), 0);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	assert_int_equal(m->n, 4);
	assert_int_equal(m->messages[0].inode, inode_of(fd));
	assert_int_equal(m->messages[2].inode, inode_of(fd));
	assert_int_equal(m->messages[1].inode, m->messages[3].inode);
	luo_heap_close(heap);
	close(fd);
}

static void *make_threaded(void *ret_fd)
{
	assert_true(luo_fdstore_memfd("threads", 1, ret_fd) >= 0);
	return NULL;
}

static void test_memfd_of_threads(void **state)
{
	struct manager *m = *state;
	pthread_t threads[4];
	int fds[ELEMENTSOF(threads)];

	for (size_t i = 0; i < ELEMENTSOF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_threaded, &fds[i]), 0);
	for (size_t i = 0; i < ELEMENTSOF(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(m->n, 1);
	for (size_t i = 0; i < ELEMENTSOF(threads); i++)
		assert_int_equal(m->messages[0].inode, inode_of(fds[i]));
	close_many(fds, ELEMENTSOF(fds));
}

static void test_memfd_longest_name(void **state)
{
	char name[256];
	int fd = -1;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(luo_fdstore_memfd(name, 1, &fd), 1);
	close(fd);
}

static void test_memfd_push_fails(void **state)
{
	int fd = -2, next = dup(0);

	setenv("NOTIFY_SOCKET", "/tmp/test-fdstore-nobody-is-here", 1);
	assert_int_equal(luo_fdstore_memfd("not sent", 4096, &fd), -ENOENT);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(fd, -2);
	/* and nothing was left open */
	close(next);
	assert_int_equal(dup(0), next);
	close(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_refuses),
		cmocka_unit_test(test_push_without_manager),
		cmocka_unit_test(test_push_manager_gone),
		cmocka_unit_test_setup_teardown(test_push, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_push_longest_name, manager_start,
						manager_stop),
		cmocka_unit_test_setup_teardown(test_remove, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_push_no_wait, manager_start, manager_stop),
		cmocka_unit_test(test_given_nothing),
		cmocka_unit_test(test_given_to_another),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_given_unnamed),
		cmocka_unit_test(test_given_malformed),
		cmocka_unit_test(test_memfd_found),
		cmocka_unit_test(test_memfd_not_kept),
		cmocka_unit_test_setup_teardown(test_memfd_made, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_twice, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_and_heap, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_removed, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_timed_out, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_of_threads, manager_start, manager_stop),
		cmocka_unit_test_setup_teardown(test_memfd_longest_name, manager_start,
						manager_stop),
		cmocka_unit_test(test_memfd_push_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
