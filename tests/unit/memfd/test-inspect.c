/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>
#include "libluo/memfd/memory-room.h"

#include "tests/fake/fake-luo.h"
#include "tests/unit/helpers.h"

static struct luo_fd_info inspect(int fd)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };

	assert_true(fd >= 0);
	assert_int_equal(luo_fd_inspect(fd, &info), 0);
	assert_true(info.name[0]);
	assert_int_equal(info.preservable, !info.reason);
	return info;
}

/* Takes the fd. */
static void assert_kind(int fd, enum luo_kind kind, bool preservable)
{
	struct luo_fd_info info = inspect(fd);

	assert_string_equal(luo_kind_to_string(info.kind), luo_kind_to_string(kind));
	assert_int_equal(info.preservable, preservable);
	close(fd);
}

static void test_inspect_refused(void **state)
{
	struct luo_fd_info info = { .struct_size = sizeof(info), .size = 4711 };

	assert_int_equal(luo_fd_inspect(-1, &info), -EBADF);
	assert_int_equal(luo_fd_inspect(0, NULL), -EINVAL);
	assert_int_equal(info.size, 4711);
}

static void test_kinds_on_tmpfs(void **state)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[] = "/dev/shm/luo-test-XXXXXX";

	if (fd < 0)
		skip(); /* no tmpfs there */
	assert_kind(fd, LUO_KIND_SHMEM_UNLINKED, true);
	fd = mkostemp(path, O_CLOEXEC);
	assert_kind(dup(fd), LUO_KIND_SHMEM_LINKED, false);
	unlink(path);
	assert_kind(fd, LUO_KIND_SHMEM_UNLINKED, true);
}

static int one_of_pair(int (*make)(int[2]))
{
	int pair[2];

	assert_int_equal(make(pair), 0);
	close(pair[1]);
	return pair[0];
}

static int make_socketpair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static void test_kinds(void **state)
{
	int huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	assert_kind(memfd_create("x", MFD_CLOEXEC), LUO_KIND_MEMFD, true);
	if (huge >= 0)
		assert_kind(huge, LUO_KIND_HUGETLB, false);
	assert_kind(one_of_pair(make_socketpair), LUO_KIND_SOCKET, false);
	assert_kind(one_of_pair(pipe), LUO_KIND_PIPE, false);
	assert_kind(eventfd(0, EFD_CLOEXEC), LUO_KIND_EVENTFD, false);
	assert_kind(epoll_create1(EPOLL_CLOEXEC), LUO_KIND_ANON_INODE, false);
	assert_kind(open("/dev/null", O_RDWR), LUO_KIND_CHAR_DEVICE, false);
	assert_kind(open("/", O_RDONLY | O_DIRECTORY), LUO_KIND_DIRECTORY, false);
	assert_kind(open("/proc/self/stat", O_RDONLY), LUO_KIND_REGULAR, false);
	assert_kind(open("/proc/self/stat", O_PATH), LUO_KIND_PATH, false);
	assert_string_equal(luo_kind_to_string((enum luo_kind)4711), "unknown");
}

/* What we say about a kind is what the kernel, that is the fake, says. */
static void test_session_and_agreement(void **state)
{
	_cleanup_close_ int device = -EBADF, session = -EBADF, other = -EBADF;
	struct luo_fd_info info = { .struct_size = sizeof(info) };

	fake_luo_install();
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "my session", &session), 0);
	assert_int_equal(luo_session_create(device, "other", &other), 0);
	info = inspect(session);
	assert_int_equal(info.kind, LUO_KIND_SESSION);
	assert_false(info.preservable);
	assert_string_equal(info.name, "my session");
	assert_int_equal(luo_session_preserve_fd(other, session, 1), -ENOENT);
	fake_luo_uninstall();
}

static void test_facts(void **state)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options),
					     .name = "facts",
					     .size = 100000,
					     .seals = F_SEAL_GROW | F_SEAL_SHRINK };
	_cleanup_close_ int fd = -EBADF, append = -EBADF;
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	struct stat st;

	assert_int_equal(luo_memfd_create(&options, &fd), 0);
	assert_int_equal(pwrite(fd, "x", 1, 50000), 1);
	assert_int_equal(lseek(fd, 17, SEEK_SET), 17);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(fstat(fd, &st), 0);
	info = inspect(fd);
	assert_string_equal(info.name, "facts");
	assert_int_equal(info.size, 100000);
	assert_int_equal(info.allocated, 4096);
	assert_int_equal(info.offset, 17);
	assert_int_equal(info.seals, F_SEAL_GROW | F_SEAL_SHRINK);
	assert_int_equal(info.mode, S_IFREG | 0640);
	assert_int_equal(info.uid, geteuid());
	assert_true(info.device == st.st_dev && info.inode == st.st_ino);
	assert_int_equal(info.open_flags & (O_ACCMODE | O_APPEND), O_RDWR);
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY | O_APPEND, &append), 0);
	assert_int_equal(inspect(append).open_flags & (O_ACCMODE | O_APPEND), O_RDONLY | O_APPEND);
}

static void test_name_is_never_empty(void **state)
{
	_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC);
	char path[200] = "/tmp/";

	assert_string_equal(inspect(fd).name, "unnamed memfd");
	/* longer than the field */
	memset(path + 5, 'x', 180);
	_cleanup_close_ int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	unlink(path);
	assert_string_equal(inspect(file).name + 185, " (deleted)");
}

static void test_seals_to_string(void **state)
{
	char buffer[64];

	assert_string_equal(luo_seals_to_string(0, buffer), "-");
	assert_string_equal(luo_seals_to_string(F_SEAL_WRITE, buffer), "write");
	assert_string_equal(luo_seals_to_string(F_SEAL_SEAL | F_SEAL_EXEC, buffer), "seal,exec");
	assert_string_equal(luo_seals_to_string(~0U, buffer),
			    "seal,shrink,grow,write,future-write,exec,0xffffffc0");
}

/* Runs */

static void test_runs_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t pages = 4711, runs = 4711;

	assert_int_equal(luo_fd_count_runs(-1, &pages, &runs), -EBADF);
	assert_int_equal(luo_fd_count_runs(null, &pages, &runs), -EINVAL);
	assert_int_equal(luo_fd_count_runs(null, NULL, &runs), -EINVAL);
	assert_int_equal(pages, 4711);
	assert_int_equal(runs, 4711);
}

static void test_runs(void **state)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options),
					     .size = UINT64_C(1) << 27 }; /* two windows */
	_cleanup_close_ int fd = -EBADF;
	uint64_t pages, runs;
	struct stat st;
	int r;

	assert_int_equal(luo_memfd_create(&options, &fd), 0);
	assert_int_equal(luo_fd_count_runs(fd, &pages, &runs), 0);
	assert_int_equal(pages, 0);
	assert_int_equal(runs, 0);
	for (off_t i = 0; i < 100; i++) /* every other page of the beginning and the end */
		assert_int_equal(pwrite(fd, "x", 1, i < 50 ? i * 8192 : (1 << 27) - i * 8192), 1);
	r = luo_fd_count_runs(fd, &pages, &runs);
	if (r == -EPERM) { /* skip() jumps, cleanup does not happen */
		fd = safe_close(fd);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(pages, 100);
	assert_true(runs >= 1 && runs <= 100);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, 100 * 4096); /* no hole was filled */
}

static void test_runs_of_sealed(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t pages, runs;
	int r;

	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, &fd), 0);
	r = luo_fd_count_runs(fd, &pages, &runs);
	if (r == -EPERM) { /* skip() jumps, cleanup does not happen */
		fd = safe_close(fd);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(pages, 1);
	assert_int_equal(runs, 1);
}

/* The room for memory, in a tree of files that looks like /proc and a cgroup2 mount */

static char root[DIRECTORY_SIZE];

static int room_setup(void **state)
{
	remember_fds(state);
	make_directory(root);
	return 0;
}

static int room_teardown(void **state)
{
	remove_directory(root);
	return check_fds(state);
}

/* root/@path with @text in it, and the directories above it. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(full, 0700);
		*slash = '/';
	}
	f = fopen(full, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#define MOUNTS                                                             \
	"22 1 0:21 / /proc rw - proc proc rw\n"                            \
	"23 1 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" \
	"24 1 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"

static void put_proc(const char *cgroup, const char *mounts)
{
	put("/proc/meminfo", "MemTotal: 2000 kB\nMemFree: 5 kB\nMemAvailable:    1000 kB\n");
	put("/proc/self/cgroup", cgroup);
	put("/proc/self/mountinfo", mounts);
}

static void put_limits(const char *directory, const char *max, const char *high,
		       const char *current)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/memory.max", directory);
	put(path, max);
	snprintf(path, sizeof(path), "%s/memory.high", directory);
	put(path, high);
	snprintf(path, sizeof(path), "%s/memory.current", directory);
	put(path, current);
}

static struct luo_memory_room room(void)
{
	struct luo_memory_room r = { .struct_size = sizeof(r) };

	assert_int_equal(luo_memory_room_at(root, &r), 0);
	return r;
}

static void test_room_refused(void **state)
{
	struct luo_memory_room r = { .struct_size = sizeof(r) };

	assert_int_equal(luo_memory_room(NULL), -EINVAL);
	assert_int_equal(luo_memory_available(NULL), -EINVAL);
	assert_int_equal(luo_memory_room_at(root, &r), -ENOENT); /* no /proc */
	put("/proc/meminfo", "MemTotal: 2000 kB\n");
	assert_int_equal(luo_memory_room_at(root, &r), -ENODATA);
}

static void test_room_without_cgroup2(void **state)
{
	put_proc("4:memory:/x\n", "22 1 0:21 / /proc rw - proc proc rw\n");
	assert_int_equal(room().bytes, 1000 * 1024);
	assert_true(room().high_bytes == UINT64_MAX);
	assert_string_equal(room().limited_by, "");
	put_proc("0::/x\n", "22 1 0:21 / /proc rw - proc proc rw\n");
	assert_int_equal(room().bytes, 1000 * 1024);
}

static void test_room_of_own_cgroup(void **state)
{
	put_proc("1:name=systemd:/other\n0::/system.slice/a.service\n", MOUNTS);
	put_limits("/sys/fs/cgroup/system.slice/a.service", "50000\n", "30000\n", "20000\n");
	put_limits("/sys/fs/cgroup/system.slice", "max\n", "max\n", "20000\n");
	assert_int_equal(room().bytes, 30000);
	assert_int_equal(room().high_bytes, 10000);
	assert_string_equal(room().limited_by, "/system.slice/a.service");
}

static void test_room_of_ancestor(void **state)
{
	put_proc("0::/system.slice/a.service/sub\n", MOUNTS);
	put_limits("/sys/fs/cgroup/system.slice/a.service/sub", "max\n", "max\n", "100\n");
	put_limits("/sys/fs/cgroup/system.slice/a.service", "50000\n", "max\n", "20000\n");
	put_limits("/sys/fs/cgroup/system.slice", "60000\n", "58000\n", "59000\n");
	assert_int_equal(room().bytes, 1000);
	assert_int_equal(room().high_bytes, 0); /* over it */
	assert_string_equal(room().limited_by, "/system.slice");
}

static void test_room_more_than_available(void **state)
{
	put_proc("0::/a\n", MOUNTS);
	put_limits("/sys/fs/cgroup/a", "500000000\n", "max\n", "0\n");
	assert_int_equal(room().bytes, 1000 * 1024);
	assert_int_equal(room().cgroup_bytes, 500000000);
	assert_string_equal(room().limited_by, "");
}

/* Inside a cgroup namespace our own cgroup is the root, and has limits all the same. */
static void test_room_in_a_namespace(void **state)
{
	put_proc("0::/\n", MOUNTS);
	put_limits("/sys/fs/cgroup", "5000\n", "max\n", "2000\n");
	assert_int_equal(room().bytes, 3000);
	assert_string_equal(room().limited_by, "/");
}

/* A container without one sees a part of the tree, at a place that needs escaping. */
static void test_room_of_bind_mount(void **state)
{
	put_proc("0::/docker/x/sub\n", "24 1 0:23 /docker/x /c\\040g rw - cgroup2 cgroup2 rw\n");
	put_limits("/c g/sub", "max\n", "max\n", "100\n");
	put_limits("/c g", "5000\n", "max\n", "1000\n");
	assert_int_equal(room().bytes, 4000);
	put_proc("0::/docker/xy/sub\n", "24 1 0:23 /docker/x /c\\040g rw - cgroup2 cgroup2 rw\n");
	assert_int_equal(room().bytes, 1000 * 1024);
}

static void test_room_outside(void **state)
{
	put_proc("0::/../other\n", MOUNTS);
	put_limits("/sys/fs/cgroup", "5000\n", "max\n", "2000\n");
	assert_int_equal(room().bytes, 1000 * 1024);
}

static void test_room_of_this_machine(void **state)
{
	struct luo_memory_room r = { .struct_size = sizeof(r) };
	uint64_t available;

	assert_int_equal(luo_memory_available(&available), 0);
	assert_true(available > 0);
	assert_int_equal(luo_memory_room(&r), 0);
	assert_true(r.bytes != UINT64_MAX);
}

#define TEST(f)      cmocka_unit_test_setup_teardown(f, remember_fds, check_fds)
#define ROOM_TEST(f) cmocka_unit_test_setup_teardown(f, room_setup, room_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_inspect_refused),
		TEST(test_kinds),
		TEST(test_kinds_on_tmpfs),
		TEST(test_session_and_agreement),
		TEST(test_facts),
		TEST(test_name_is_never_empty),
		TEST(test_seals_to_string),
		TEST(test_runs_refused),
		TEST(test_runs),
		TEST(test_runs_of_sealed),
		ROOM_TEST(test_room_refused),
		ROOM_TEST(test_room_without_cgroup2),
		ROOM_TEST(test_room_of_own_cgroup),
		ROOM_TEST(test_room_of_ancestor),
		ROOM_TEST(test_room_more_than_available),
		ROOM_TEST(test_room_in_a_namespace),
		ROOM_TEST(test_room_of_bind_mount),
		ROOM_TEST(test_room_outside),
		TEST(test_room_of_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
