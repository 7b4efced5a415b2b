/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <luo/memfd.h>
#include <luo/session.h>

#include "fake-luo.h"
#include "helpers.h"

#define MIB (UINT64_C(1024) * 1024)

static int create(struct luo_memfd_options options)
{
	int fd;

	assert_int_equal(luo_memfd_create(&options, &fd), 0);
	return fd;
}

static void assert_create(struct luo_memfd_options options, int expected)
{
	int fd = UNTOUCHED;

	assert_int_equal(luo_memfd_create(&options, &fd), expected);
	assert_int_equal(fd, UNTOUCHED);
}

static struct stat status(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

static unsigned seals_of(int fd)
{
	unsigned seals;

	assert_int_equal(luo_memfd_get_seals(fd, &seals), 0);
	return seals;
}

static void write_at(int fd, const char *text, off_t offset)
{
	assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
}

static void assert_text_at(int fd, const char *text, off_t offset)
{
	char buffer[64] = "";

	assert_int_equal(pread(fd, buffer, strlen(text), offset), strlen(text));
	assert_string_equal(buffer, text);
}

/* Creating */

static void test_create_refused(void **state)
{
	char name[251];

	assert_int_equal(luo_memfd_create(NULL, NULL), -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = 1 << 20 }, -EINVAL);
	assert_create((struct luo_memfd_options){ .seals = 1 << 20 }, -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = LUO_MEMFD_EXEC | LUO_MEMFD_NOEXEC_SEAL },
		      -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB | LUO_MEMFD_HUGEPAGE },
		      -EINVAL);
	assert_create((struct luo_memfd_options){ .hugetlb_shift = 21 }, -EINVAL);
	assert_create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGETLB, .hugetlb_shift = 64 },
		      -EINVAL);
	assert_create((struct luo_memfd_options){ .size = UINT64_MAX }, -EFBIG);
	memset(name, 'x', sizeof(name));
	name[250] = '\0';
	assert_create((struct luo_memfd_options){ .name = name }, -EINVAL);
	name[249] = '\0';
	close(create((struct luo_memfd_options){ .name = name }));
}

static void test_create_default(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *name = NULL;

	assert_int_equal(luo_memfd_create(NULL, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(status(fd).st_mode, S_IFREG | 0666);
	assert_int_equal(status(fd).st_size, 0);
	assert_int_equal(seals_of(fd), 0);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, "luo");
}

static void test_create_size_and_seals(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){
		.name = "sized", .size = 5000, .seals = F_SEAL_GROW | F_SEAL_SHRINK });
	uint64_t size;

	assert_int_equal(luo_memfd_get_size(fd, &size), 0);
	assert_int_equal(size, 5000);
	assert_int_equal(status(fd).st_blocks, 0);
	assert_int_equal(seals_of(fd), F_SEAL_GROW | F_SEAL_SHRINK);
	assert_int_equal(ftruncate(fd, 1), -1);
}

static void test_create_without_sealing(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = "x" });

	assert_int_equal(seals_of(fd), F_SEAL_SEAL);
	assert_int_equal(luo_memfd_add_seals(fd, F_SEAL_GROW), -EPERM);
}

static void test_create_exec(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .flags = LUO_MEMFD_EXEC });

	assert_int_equal(status(fd).st_mode, S_IFREG | 0777);
}

static void test_create_noexec(void **state)
{
	struct luo_memfd_options options = { .flags = LUO_MEMFD_NOEXEC_SEAL };
	_cleanup_close_ int fd = -EBADF;
	int r = luo_memfd_create(&options, &fd);

	if (r == -EINVAL) /* before 6.3 */
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(status(fd).st_mode, S_IFREG | 0666);
	assert_int_equal(seals_of(fd), F_SEAL_EXEC);
}

static void test_create_allocated(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){
		.size = MIB, .flags = LUO_MEMFD_PREALLOCATE | LUO_MEMFD_ALLOW_SEALING });
	_cleanup_close_ int huge =
		create((struct luo_memfd_options){ .size = 4 * MIB, .flags = LUO_MEMFD_HUGEPAGE });

	assert_int_equal(status(fd).st_blocks * 512, MIB);
	assert_int_equal(status(huge).st_blocks * 512, 4 * MIB);
	close(create((struct luo_memfd_options){ .flags = LUO_MEMFD_HUGEPAGE })); /* empty */
	/* More than there is: an error, not a killed process. */
	assert_create((struct luo_memfd_options){ .size = INT64_MAX - 4095,
						  .flags = LUO_MEMFD_PREALLOCATE },
		      -ENOMEM);
	assert_create(
		(struct luo_memfd_options){ .size = INT64_MAX - 4095, .flags = LUO_MEMFD_HUGEPAGE },
		-ENOMEM);
}

static void test_create_hugetlb(void **state)
{
	struct luo_memfd_options options = { .flags = LUO_MEMFD_HUGETLB, .name = "huge" };
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -EBADF;

	if (luo_memfd_create(&options, &fd) < 0)
		skip();
	assert_int_equal(luo_fd_is_memfd(fd), 1);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, "huge");
}

static void test_new_sealed(void **state)
{
	_cleanup_close_ int fd = -EBADF, empty = -EBADF;
	int untouched = UNTOUCHED;

	assert_int_equal(luo_memfd_new_sealed(NULL, NULL, 1, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, NULL), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
	assert_int_equal(luo_memfd_new_sealed("copy", "hello", 5, &fd), 0);
	assert_text_at(fd, "hello", 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(seals_of(fd), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(luo_memfd_new_sealed(NULL, NULL, 0, &empty), 0);
	assert_int_equal(status(empty).st_size, 0);
}

/* Looking */

static void test_seals_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned seals = UNTOUCHED;

	assert_int_equal(luo_memfd_get_seals(-1, &seals), -EBADF);
	assert_int_equal(luo_memfd_get_seals(null, &seals), -EINVAL);
	assert_int_equal(luo_memfd_get_seals(null, NULL), -EINVAL);
	assert_int_equal(seals, UNTOUCHED);
	assert_int_equal(luo_memfd_add_seals(-1, F_SEAL_GROW), -EBADF);
	assert_int_equal(luo_memfd_add_seals(null, F_SEAL_GROW), -EINVAL);
}

static void test_write_seal_is_busy_while_mapped(void **state)
{
	_cleanup_close_ int fd = create(
		(struct luo_memfd_options){ .size = 4096, .flags = LUO_MEMFD_ALLOW_SEALING });
	size_t size;
	void *p;

	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, &p, &size), 0);
	assert_int_equal(luo_memfd_add_seals(fd, F_SEAL_WRITE), -EBUSY);
	munmap(p, size);
	assert_int_equal(luo_memfd_add_seals(fd, F_SEAL_WRITE), 0);
}

static void test_size_refused(void **state)
{
	uint64_t size = UNTOUCHED;

	assert_int_equal(luo_memfd_get_size(-1, &size), -EBADF);
	assert_int_equal(luo_memfd_get_size(0, NULL), -EINVAL);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(luo_memfd_get_size(null, &size), -EINVAL);
	assert_int_equal(size, UNTOUCHED);
}

/* An unlinked file on tmpfs whose name looks like that of a memfd. */
static int decoy(void)
{
	int fd = open("/dev/shm/memfd:decoy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink("/dev/shm/memfd:decoy");
	return fd;
}

static void test_name_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), file = decoy();
	char *name = NULL;

	assert_int_equal(luo_memfd_get_name(-1, &name), -EBADF);
	assert_int_equal(luo_memfd_get_name(null, &name), -ENOTTY);
	assert_int_equal(luo_memfd_get_name(null, NULL), -EINVAL);
	assert_int_equal(luo_fd_is_memfd(-1), -EBADF);
	assert_int_equal(luo_fd_is_memfd(null), 0);
	if (file >= 0) {
		assert_int_equal(luo_memfd_get_name(file, &name), -ENOTTY);
		assert_int_equal(luo_fd_is_memfd(file), 0);
	}
	assert_null(name);
}

static void assert_name(const char *expected)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = expected });
	_cleanup_free_ char *name = NULL;

	assert_int_equal(luo_fd_is_memfd(fd), 1);
	assert_int_equal(luo_memfd_get_name(fd, &name), 0);
	assert_string_equal(name, expected);
}

static void test_names(void **state)
{
	assert_name("a");
	assert_name("");
	assert_name("with space / slash");
	assert_name("x (deleted)");
	assert_name("/memfd:x");
}

static void test_restored_memfd_has_no_name(void **state)
{
	_cleanup_close_ int device = -EBADF, old = -EBADF, session = -EBADF, fd = -EBADF,
			    back = -EBADF;
	_cleanup_free_ char *name = NULL;

	fake_luo_install();
	fd = create((struct luo_memfd_options){ .name = "x" });
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "s", &old), 0);
	assert_int_equal(luo_session_preserve_fd(old, 1, fd), 0);
	fake_luo_kexec();
	device = safe_close(device);
	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_retrieve(device, "s", &session), 0);
	assert_int_equal(luo_session_restore_fd(session, 1, &back), 0);
	assert_int_equal(luo_fd_is_memfd(back), 1);
	assert_int_equal(luo_memfd_get_name(back, &name), 0);
	assert_string_equal(name, "");
	fake_luo_uninstall();
}

/* Copying */

static void test_copy_refused(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .size = 10 });
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), again = dup(fd);
	_cleanup_close_ int sealed = -EBADF;

	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, &sealed), 0);
	assert_int_equal(luo_memfd_copy(-1, fd), -EBADF);
	assert_int_equal(luo_memfd_copy(fd, -1), -EBADF);
	assert_int_equal(luo_memfd_copy(fd, null), -EINVAL);
	assert_int_equal(luo_memfd_copy(null, fd), -EINVAL);
	assert_int_equal(luo_memfd_copy(fd, again), -EINVAL);
	assert_int_equal(luo_memfd_copy(fd, sealed), -EPERM);
	assert_text_at(sealed, "x", 0);
}

static void test_copy_keeps_holes_and_offsets(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 64 * MIB });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });

	write_at(from, "begin", 0);
	write_at(from, "middle", 32 * MIB + 4000);
	write_at(from, "end", 64 * MIB - 3);
	assert_int_equal(lseek(from, 77, SEEK_SET), 77);
	assert_int_equal(lseek(to, 5, SEEK_SET), 5);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(lseek(from, 0, SEEK_CUR), 77);
	assert_int_equal(lseek(to, 0, SEEK_CUR), 5);
	assert_int_equal(status(to).st_size, 64 * MIB);
	assert_true(status(to).st_blocks * 512 <= 5 * 4096);
	assert_text_at(to, "begin", 0);
	assert_text_at(to, "middle", 32 * MIB + 4000);
	assert_text_at(to, "end", 64 * MIB - 3);
}

static void test_copy_more_than_a_chunk(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .name = "from" });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	char a[8], b[8];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(a, sizeof(a), "%07u", i);
		assert_int_equal(pwrite(from, a, 7, i * 7), 7);
	}
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 700000);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(a, sizeof(a), "%07u", i);
		assert_int_equal(pread(to, b, 7, i * 7), 7);
		assert_memory_equal(a, b, 7);
	}
}

/* What was there must not show through the holes, whatever the sizes. */
static void test_copy_replaces(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 8192 });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	char zero[4] = { 0 }, got[4];

	write_at(from, "new", 4096);
	write_at(to, "old", 0);
	write_at(to, "old", 20000);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 8192);
	assert_int_equal(pread(to, got, 4, 0), 4);
	assert_memory_equal(got, zero, 4);
	assert_text_at(to, "new", 4096);
	assert_int_equal(ftruncate(from, 0), 0);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_int_equal(status(to).st_size, 0);
}

/* A destination of the right size may be sealed against changing it. */
static void test_copy_into_sealed_size(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .size = 4096 });
	_cleanup_close_ int to = create(
		(struct luo_memfd_options){ .size = 4096, .seals = F_SEAL_GROW | F_SEAL_SHRINK });

	write_at(from, "new", 1);
	assert_int_equal(luo_memfd_copy(from, to), 0);
	assert_text_at(to, "new", 1);
}

static void test_copy_append_and_access(void **state)
{
	_cleanup_close_ int from = create((struct luo_memfd_options){ .name = "from" });
	_cleanup_close_ int to = create((struct luo_memfd_options){ .name = "to" });
	_cleanup_close_ int write_only = -EBADF, append = -EBADF;

	write_at(from, "text", 0);
	write_at(to, "longer than that", 0);
	assert_int_equal(luo_memfd_reopen(from, O_WRONLY, &write_only), 0);
	assert_int_equal(luo_memfd_reopen(to, O_RDWR | O_APPEND, &append), 0);
	assert_int_equal(luo_memfd_copy(write_only, append), 0);
	assert_int_equal(status(to).st_size, 4);
	assert_text_at(to, "text", 0);
}

/* Mapping and opening again */

static void test_map_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int sealed = -EBADF, read_only = -EBADF;
	size_t size = UNTOUCHED;
	void *p = &size;

	assert_int_equal(luo_memfd_new_sealed(NULL, "x", 1, &sealed), 0);
	assert_int_equal(luo_memfd_map(-1, LUO_MAP_READ, &p, &size), -EBADF);
	assert_int_equal(luo_memfd_map(null, LUO_MAP_READ, &p, &size), -EINVAL);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_SHARED, &p, &size), -EPERM);
	assert_int_equal(luo_memfd_map(sealed, (enum luo_memfd_map)9, &p, &size), -EINVAL);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_READ, NULL, &size), -EINVAL);
	assert_int_equal(luo_memfd_reopen(sealed, O_RDONLY, &read_only), 0);
	assert_int_equal(luo_memfd_map(read_only, LUO_MAP_SHARED, &p, &size), -EACCES);
	assert_ptr_equal(p, &size);
	assert_int_equal(size, UNTOUCHED);
}

static void test_map(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = "x" });
	_cleanup_close_ int sealed = -EBADF;
	size_t size;
	char *p;

	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, (void **)&p, &size), 0);
	assert_null(p);
	assert_int_equal(size, 0);
	write_at(fd, "hello", 0);
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_PRIVATE, (void **)&p, &size), 0);
	assert_int_equal(size, 5);
	p[0] = 'J';
	assert_text_at(fd, "hello", 0);
	munmap(p, size);
	assert_int_equal(luo_memfd_map(fd, LUO_MAP_SHARED, (void **)&p, &size), 0);
	p[0] = 'J';
	assert_text_at(fd, "Jello", 0);
	munmap(p, size);
	assert_int_equal(luo_memfd_new_sealed(NULL, "sealed", 6, &sealed), 0);
	assert_int_equal(luo_memfd_map(sealed, LUO_MAP_READ, (void **)&p, &size), 0);
	assert_memory_equal(p, "sealed", 6);
	munmap(p, size);
}

static void test_reopen(void **state)
{
	_cleanup_close_ int fd = create((struct luo_memfd_options){ .name = "x" });
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), again = -EBADF;
	int untouched = UNTOUCHED;

	assert_int_equal(luo_memfd_reopen(-1, O_RDONLY, &untouched), -EBADF);
	assert_int_equal(luo_memfd_reopen(null, O_RDONLY, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR | O_TRUNC, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_ACCMODE, &untouched), -EINVAL);
	assert_int_equal(luo_memfd_reopen(fd, O_RDONLY, NULL), -EINVAL);
	assert_int_equal(untouched, UNTOUCHED);
	write_at(fd, "hello", 0);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	assert_int_equal(luo_memfd_reopen(fd, O_RDWR | O_APPEND, &again), 0);
	assert_int_equal(fcntl(again, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(again, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	assert_int_equal(lseek(again, 0, SEEK_CUR), 0);
	assert_int_equal(write(again, "!", 1), 1);
	assert_text_at(fd, "hello!", 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, remember_fds, check_fds)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_refused),
		TEST(test_create_default),
		TEST(test_create_size_and_seals),
		TEST(test_create_without_sealing),
		TEST(test_create_exec),
		TEST(test_create_noexec),
		TEST(test_create_allocated),
		TEST(test_create_hugetlb),
		TEST(test_new_sealed),
		TEST(test_seals_refused),
		TEST(test_write_seal_is_busy_while_mapped),
		TEST(test_size_refused),
		TEST(test_name_refused),
		TEST(test_names),
		TEST(test_restored_memfd_has_no_name),
		TEST(test_copy_refused),
		TEST(test_copy_keeps_holes_and_offsets),
		TEST(test_copy_more_than_a_chunk),
		TEST(test_copy_replaces),
		TEST(test_copy_into_sealed_size),
		TEST(test_copy_append_and_access),
		TEST(test_map_refused),
		TEST(test_map),
		TEST(test_reopen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
