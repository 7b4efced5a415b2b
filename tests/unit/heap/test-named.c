/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Heaps by name: stored with a manager, found by the next start, and what that finds otherwise. */

#include <poll.h>

#include "tests/unit/heap/helpers.h"

/* Its first message's fd, to be closed. */
static int stored_fd(int sock, char text[static 256])
{
	union {
		char space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(64)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { text, 255 };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (n < 0)
		return -1;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* The service's next start: the fd is its third, and has a name. */
static int find_by_name(void *userdata)
{
	struct luo_heap *heap;
	char pid[20];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (dup2(*(int *)userdata, 3) != 3 || setenv("LISTEN_PID", pid, 1) ||
	    setenv("LISTEN_FDS", "1", 1) || setenv("LISTEN_FDNAMES", "sessions", 1))
		return 1;
	if (luo_heap_open(
		    "other",
		    &(struct luo_heap_options){ .struct_size = sizeof(struct luo_heap_options),
						.flags = LUO_HEAP_MUST_EXIST },
		    &heap) != -ENOENT)
		return 2;
	if (luo_heap_open("sessions", &small_heap, &heap) < 0)
		return 3;
	if (luo_heap_get_state(heap) != LUO_HEAP_RESTARTED)
		return 4;
	luo_heap_close(heap);
	/* The fd is the store's: the name can be opened again. */
	if (luo_heap_open("sessions", &small_heap, &heap) < 0)
		return 5;
	luo_heap_close(heap);
	return 0;
}

static int foreign_by_name(void *userdata)
{
	struct luo_heap *heap;
	char pid[20];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (dup2(*(int *)userdata, 3) != 3 || setenv("LISTEN_PID", pid, 1) ||
	    setenv("LISTEN_FDS", "1", 1) || setenv("LISTEN_FDNAMES", "sessions", 1))
		return 1;
	if (luo_heap_open("sessions", &small_heap, &heap) != -EUCLEAN)
		return 2;
	return strstr(luo_heap_problem(), "sessions") ? 0 : 3;
}

static void test_stored_by_name(void **state)
{
	char directory[DIRECTORY_SIZE], path[64], text[256];
	struct luo_heap *heap;
	pid_t pid;
	int sock, fd = -1, foreign;
	struct pollfd p[2];

	make_directory(directory);
	snprintf(path, sizeof(path), "%s/notify", directory);
	sock = bound_socket(SOCK_DGRAM, path);
	pid = fork_child();
	if (pid == 0) {
		setenv("NOTIFY_SOCKET", path, 1);
		if (luo_heap_open("scratch",
				  &(struct luo_heap_options){
					  .struct_size = sizeof(struct luo_heap_options),
					  .max_size = 64 * MIB,
					  .flags = LUO_HEAP_NO_STORE },
				  &heap) < 0 ||
		    luo_heap_open("sessions", &small_heap, &heap) < 0)
			die(1);
		die(luo_heap_get_state(heap) == LUO_HEAP_NEW ? 0 : 2);
	}
	/* Be the manager until it is done: take the fd, let the barrier go. */
	do {
		p[0] = (struct pollfd){ sock, POLLIN, 0 };
		p[1] = (struct pollfd){ result_pipe[0], POLLIN, 0 };
		assert_true(poll(p, 2, -1) > 0);
		if (p[0].revents) {
			int one = stored_fd(sock, text);

			if (strstr(text, "FDSTORE=1")) {
				assert_non_null(strstr(text, "FDNAME=sessions"));
				assert_int_equal(fd, -1);
				fd = one;
			} else {
				safe_close(one);
			}
		}
	} while (!p[1].revents);
	assert_int_equal(read(result_pipe[0], text, 1), 1);
	assert_int_equal(text[0], 0);
	close(result_pipe[0]);
	kill_other(pid);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK);
	in_child(find_by_name, &fd);
	foreign = memfd_of("not a heap");
	in_child(foreign_by_name, &foreign);
	assert_content(foreign, "not a heap");
	close_many((int[]){ fd, foreign, sock }, 3);
	remove_directory(directory);
}

/* No manager keeps it; it is a heap all the same. */
static int open_alone(void *userdata)
{
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	struct luo_heap *heap;

	unsetenv("NOTIFY_SOCKET");
	if (luo_heap_open("alone", &small_heap, &heap) < 0)
		return 1;
	if (luo_heap_get_state(heap) != LUO_HEAP_NEW)
		return 2;
	luo_heap_stat(heap, &stat);
	if (!streq(stat.name, "alone") || !luo_heap_alloc(heap, 10))
		return 3;
	luo_heap_close(heap);
	/* It lasts as long as the process. */
	if (luo_heap_open("alone", &small_heap, &heap) < 0)
		return 4;
	return luo_heap_get_state(heap) == LUO_HEAP_RESTARTED ? 0 : 5;
}

static void test_by_name_alone(void **state)
{
	in_child(open_alone, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_stored_by_name),
		HEAP_TEST(test_by_name_alone),
	};

	return cmocka_run_group_tests_name("heap-named", tests, NULL, NULL);
}
