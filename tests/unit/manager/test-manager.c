/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* What a PID 1 of paper says, also when it says nothing, or nonsense; and copies of its fds. */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <luo/store.h>

#include "tests/unit/helpers.h"
#include "manager/manager.h"

static char directory[] = "/tmp/luo-manager-XXXXXX";
static pid_t fake;

static uint64_t in(uint64_t usec)
{
	return now_usec(CLOCK_MONOTONIC) + usec;
}

/* The words end with NULL. */
static void start(const char *const *words)
{
	char socket[64], address[128], pid[16], line[8] = "";
	posix_spawn_file_actions_t actions;
	char *argv[64] = { getenv("FAKE_MANAGER"), socket };
	int out[2];
	size_t n = 2;

	assert_non_null(argv[0]);
	snprintf(socket, sizeof(socket), "%s/private", directory);
	(void)unlink(socket);
	for (; *words; words++)
		argv[n++] = (char *)(uintptr_t)*words;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	assert_int_equal(posix_spawn(&fake, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	assert_int_equal(read(out[0], line, 6), 6);
	assert_string_equal(line, "ready\n");
	close(out[0]);
	snprintf(address, sizeof(address), "unix:path=%s", socket);
	snprintf(pid, sizeof(pid), "%d", (int)fake);
	setenv("LUO_MANAGER_ADDRESS", address, 1);
	setenv("LUO_MANAGER_PID", pid, 1);
}

#define START(...) start((const char *const[]){ __VA_ARGS__, NULL })

static void stop(void)
{
	if (fake <= 0)
		return;
	kill(fake, SIGKILL);
	waitpid(fake, NULL, 0);
	fake = 0;
}

static int setup(void **state)
{
	remember_fds(state);
	return 0;
}

static int teardown(void **state)
{
	stop();
	unsetenv("LUO_MANAGER_VERSION");
	return check_fds(state);
}

static sd_bus *open_bus(void)
{
	sd_bus *bus;

	assert_int_equal(luo_manager_connect(2 * USEC_PER_SEC, &bus), 0);
	return bus;
}

/* ---- who it is ------------------------------------------------------------------------------- */

static void test_version(void **state)
{
	unsigned version = 0;

	START("version=257.13-1~deb13u1");
	/* Of the process that runs the tests there is no /proc/1/maps to be had, or it is no
	 * systemd. */
	setenv("LUO_MANAGER_VERSION", "262", 1);
	assert_int_equal(luo_manager_version(&version), 0);
	assert_int_equal(version, 262);
	setenv("LUO_MANAGER_VERSION", "none", 1);
	assert_int_equal(luo_manager_version(&version), -ENOENT);
	assert_int_equal(version, 262);
}

static void test_nobody(void **state)
{
	sd_bus *bus = NULL;

	setenv("LUO_MANAGER_ADDRESS", "unix:path=/nowhere/private", 1);
	assert_int_equal(luo_manager_connect(USEC_PER_SEC, &bus), -ENOENT);
	assert_null(bus);
}

/* What listens there has to be the user's, and root's will not do either. */
static void test_user(void **state)
{
	sd_bus *bus = NULL;

	START("unit=a.service");
	assert_int_equal(luo_manager_connect_user(geteuid() + 1, USEC_PER_SEC, &bus), -EPERM);
	assert_null(bus);
	assert_int_equal(luo_manager_connect_user(geteuid(), USEC_PER_SEC, &bus), 0);
	sd_bus_close_unref(bus);
}

static void test_hangs_up_at_once(void **state)
{
	sd_bus *bus = NULL;

	START("hangup=connect");
	assert_true(luo_manager_connect(USEC_PER_SEC, &bus) < 0);
	assert_null(bus);
}

static void test_stopped_process(void **state)
{
	uint64_t begin;
	sd_bus *bus = NULL;

	START("unit=a.service");
	kill(fake, SIGSTOP);
	begin = now_usec(CLOCK_MONOTONIC);
	assert_int_equal(luo_manager_connect(300 * USEC_PER_MSEC, &bus), -ETIMEDOUT);
	assert_true(now_usec(CLOCK_MONOTONIC) - begin < 2 * USEC_PER_SEC);
	assert_null(bus);
}

static void test_kexec(void **state)
{
	sd_bus *bus;
	uint64_t a = 0, b = 0;

	START("state=running", "job=1");
	bus = open_bus();
	assert_int_equal(luo_manager_is_in_kexec(bus), 0);
	assert_int_equal(luo_manager_shutdown_start(bus, &a, &b), -ENODATA);
	sd_bus_close_unref(bus);
	stop();
	START("state=stopping", "job=0");
	bus = open_bus();
	assert_int_equal(luo_manager_is_in_kexec(bus), 0);
	sd_bus_close_unref(bus);
	stop();
	START("state=stopping", "job=7", "start=1000:20");
	bus = open_bus();
	assert_int_equal(luo_manager_is_in_kexec(bus), 1);
	assert_int_equal(luo_manager_shutdown_start(bus, &a, &b), 0);
	assert_int_equal(a, 1000);
	assert_int_equal(b, 20);
	sd_bus_close_unref(bus);
}

/* ---- stores ---------------------------------------------------------------------------------- */

static void test_stores(void **state)
{
	struct luo_manager_unit *units;
	int incomplete = 1;
	sd_bus *bus;
	size_t n;

	START("unit=z.service", "fd=x,memfd,8192", "fd=y,socket", "unit=empty.service",
	      "unit=a@1.service", "preserve=no", "active=active", "fd=x,memfd", "unit=s.service",
	      "preserve=on-success", "result=exit-code", "fd=x,memfd", "unit=t.service",
	      "preserve=on-success", "fd=x,memfd", "unit=r.service", "preserve=restart",
	      "fd=x,memfd");
	bus = open_bus();
	assert_int_equal(luo_manager_stores(bus, in(5 * USEC_PER_SEC), &units, &n, &incomplete), 0);
	assert_int_equal(incomplete, 0);
	assert_int_equal(n, 5);
	assert_string_equal(units[0].name, "a@1.service");
	assert_string_equal(units[0].active_state, "active");
	assert_false(units[0].preserve);
	assert_string_equal(units[1].name, "r.service");
	assert_false(units[1].preserve);
	assert_false(units[2].preserve); /* s: not a success */
	assert_string_equal(units[2].result, "exit-code");
	assert_true(units[3].preserve);
	assert_string_equal(units[4].name, "z.service");
	assert_true(units[4].preserve);
	assert_int_equal(units[4].max, 100);
	assert_int_equal(units[4].n_fds, 2);
	assert_string_equal(units[4].fds[0].name, "x");
	assert_true(S_ISREG(units[4].fds[0].mode));
	assert_string_equal(units[4].fds[0].path, "/memfd:test (deleted)");
	assert_true(S_ISSOCK(units[4].fds[1].mode));
	luo_manager_units_free(units, n);
	sd_bus_close_unref(bus);
}

static void test_names_that_are_none(void **state)
{
	struct luo_manager_unit *units;
	struct luo_manager_fd *fds;
	int incomplete;
	sd_bus *bus;
	size_t n;

	START("unit=../a.service", "fd=x,memfd", "unit=b.service", "fd=a:b,memfd", "fd=,memfd",
	      "fd=good,memfd");
	bus = open_bus();
	assert_int_equal(luo_manager_stores(bus, UINT64_MAX, &units, &n, &incomplete), 0);
	assert_int_equal(n, 1);
	assert_string_equal(units[0].name, "b.service");
	assert_int_equal(units[0].error, -EBADMSG);
	assert_int_equal(units[0].n_said, 3);
	assert_int_equal(units[0].n_fds, 1);
	assert_string_equal(units[0].fds[0].name, "good");
	luo_manager_units_free(units, n);
	assert_int_equal(luo_manager_dump(bus, "../a.service", &fds, &n), -EINVAL);
	assert_int_equal(luo_manager_dump(bus, "b.service", &fds, &n), 0);
	assert_int_equal(n, 1);
	luo_manager_fds_free(fds, n);
	sd_bus_close_unref(bus);
}

static void test_one_store_is_silent(void **state)
{
	struct luo_manager_unit *units;
	uint64_t begin;
	int incomplete;
	sd_bus *bus;
	size_t n;

	START("unit=a.service", "fd=x,memfd", "unit=b.service", "fd=x,memfd",
	      "silent=DumpUnitFileDescriptorStore:a.service");
	bus = open_bus();
	begin = now_usec(CLOCK_MONOTONIC);
	assert_int_equal(luo_manager_stores(bus, in(400 * USEC_PER_MSEC), &units, &n, &incomplete),
			 0);
	assert_true(now_usec(CLOCK_MONOTONIC) - begin < 3 * USEC_PER_SEC);
	assert_int_equal(incomplete, -ETIMEDOUT);
	assert_int_equal(n, 2);
	assert_int_equal(units[0].error, -ETIMEDOUT);
	assert_int_equal(units[0].n_said, 1);
	assert_int_equal(units[0].n_fds, 0);
	assert_int_equal(units[1].error, 0);
	assert_int_equal(units[1].n_fds, 1);
	luo_manager_units_free(units, n);
	sd_bus_close_unref(bus);
}

static void test_hangs_up_in_the_middle(void **state)
{
	struct luo_manager_unit *units;
	int incomplete = 0;
	sd_bus *bus;
	size_t n;

	START("unit=a.service", "fd=x,memfd", "hangup=DumpUnitFileDescriptorStore");
	bus = open_bus();
	assert_int_equal(luo_manager_stores(bus, in(USEC_PER_SEC), &units, &n, &incomplete), 0);
	assert_true(incomplete < 0);
	assert_int_equal(n, 1);
	assert_true(units[0].error < 0);
	luo_manager_units_free(units, n);
	sd_bus_close_unref(bus);
	stop();
	START("unit=a.service", "hangup=ListUnitsByPatterns");
	bus = open_bus();
	assert_true(luo_manager_stores(bus, in(USEC_PER_SEC), &units, &n, &incomplete) < 0);
	sd_bus_close_unref(bus);
}

/* ---- copies ---------------------------------------------------------------------------------- */

struct stores {
	sd_bus *bus;
	struct luo_manager_unit *units;
	size_t n;
	struct luo_manager_table *table;
};

/* valgrind before 3.21 does not know the call. */
static void need_pidfd(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (pidfd < 0 && errno == ENOSYS)
		skip();
	assert_true(pidfd >= 0);
	close(pidfd);
}

static void open_stores(struct stores *s)
{
	need_pidfd();
	s->bus = open_bus();
	assert_int_equal(luo_manager_stores(s->bus, in(5 * USEC_PER_SEC), &s->units, &s->n, NULL),
			 0);
	assert_int_equal(luo_manager_table_open(&s->table), 0);
}

static void close_stores(struct stores *s)
{
	luo_manager_units_free(s->units, s->n);
	luo_manager_table_free(s->table);
	sd_bus_close_unref(s->bus);
}

static int fetch(struct stores *s, size_t unit, size_t i)
{
	int fd;

	assert_int_equal(luo_manager_table_fetch(s->table, &s->units[unit].fds[i], &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

/* One inode, three ways: the same description twice, another one read-only, and another unit's. */
static void test_same_file(void **state)
{
	struct stores s;
	int a, b, c, d;

	START("unit=a.service", "fd=one,memfd", "fd=two,dup", "fd=three,reopen", "unit=b.service",
	      "fd=one,reopen");
	open_stores(&s);
	c = fetch(&s, 0, 2);
	a = fetch(&s, 0, 0);
	b = fetch(&s, 0, 1);
	d = fetch(&s, 1, 0);
	assert_int_equal(fcntl(a, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(fcntl(b, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(fcntl(c, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(d, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(luo_fd_same_description(a, b), 1);
	assert_int_equal(luo_fd_same_description(c, d), 0);
	close(a);
	close(b);
	close(c);
	close(d);
	close_stores(&s);
}

static void test_not_there(void **state)
{
	struct luo_manager_verdict v;
	struct stores s;
	int fd = -1;

	START("unit=a.service", "fd=gone,missing");
	open_stores(&s);
	assert_int_equal(luo_manager_table_fetch(s.table, &s.units[0].fds[0], &fd), -ENOENT);
	assert_int_equal(fd, -1);
	luo_manager_judge(s.table, &s.units[0], &s.units[0].fds[0], &v, &fd);
	assert_false(v.survives);
	assert_true(v.expected);
	assert_string_equal(v.reason, "PID 1 does not have it open any more");
	close_stores(&s);
}

static void test_judge(void **state)
{
	static const struct {
		enum luo_kind kind;
		const char *reason;
	} expected[] = {
		{ LUO_KIND_MEMFD, NULL },
		{ LUO_KIND_SOCKET, "sockets cannot be preserved" },
		{ LUO_KIND_PIPE, "pipes cannot be preserved" },
		{ LUO_KIND_EVENTFD, "eventfds cannot be preserved" },
		{ LUO_KIND_REGULAR, "a file that has a name; it can be opened again" },
	};
	struct stores s;

	START("unit=a.service", "fd=m,memfd,8192", "fd=s,socket", "fd=p,pipe", "fd=e,eventfd",
	      "fd=f,file");
	open_stores(&s);
	assert_int_equal(s.units[0].n_fds, ELEMENTSOF(expected));
	for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
		struct luo_manager_verdict v;
		int fd;

		luo_manager_judge(s.table, &s.units[0], &s.units[0].fds[i], &v, &fd);
		assert_int_equal(v.kind, expected[i].kind);
		assert_true(v.expected);
		assert_int_equal(v.survives, !expected[i].reason);
		assert_string_equal(v.reason, expected[i].reason ?: "");
		assert_int_equal(fd >= 0, v.survives);
		assert_int_equal(v.size, v.survives ? 8192 : 0);
		if (fd >= 0)
			close(fd);
		/* Without a copy it is as good as known. */
		luo_manager_judge(NULL, &s.units[0], &s.units[0].fds[i], &v, &fd);
		assert_int_equal(v.kind, expected[i].kind);
		assert_int_equal(fd, -EBADF);
	}
	close_stores(&s);
}

static void test_judge_units(void **state)
{
	struct luo_manager_verdict v;
	struct stores s;
	int fd;

	START("unit=a.service", "preserve=no", "fd=m,memfd", "unit=b.service",
	      "preserve=on-success", "result=core-dump", "fd=m,memfd", "unit=luod.service",
	      "fd=m,memfd");
	open_stores(&s);
	luo_manager_judge(s.table, &s.units[0], &s.units[0].fds[0], &v, &fd);
	assert_false(v.survives || v.expected || fd >= 0);
	assert_string_equal(v.reason, "FileDescriptorStorePreserve=no");
	luo_manager_judge(s.table, &s.units[1], &s.units[1].fds[0], &v, &fd);
	assert_false(v.survives || v.expected || fd >= 0);
	assert_string_equal(v.reason,
			    "FileDescriptorStorePreserve=on-success, and its result is core-dump");
	luo_manager_judge(s.table, &s.units[2], &s.units[2].fds[0], &v, &fd);
	assert_false(v.survives || v.expected || fd >= 0);
	close_stores(&s);
}

static int begin_all(void **state)
{
	unsetenv("LUO_MANAGER_VERSION");
	return mkdtemp(directory) ? 0 : -1;
}

static int end_all(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/private", directory);
	(void)unlink(path);
	return rmdir(directory);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_version),
		T(test_nobody),
		T(test_user),
		T(test_hangs_up_at_once),
		T(test_stopped_process),
		T(test_kexec),
		T(test_stores),
		T(test_names_that_are_none),
		T(test_one_store_is_silent),
		T(test_hangs_up_in_the_middle),
		T(test_same_file),
		T(test_not_there),
		T(test_judge),
		T(test_judge_units),
	};

	return cmocka_run_group_tests_name("manager", tests, begin_all, end_all);
}
