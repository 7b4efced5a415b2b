/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Opening a heap: what is refused, what it makes, and what it finds. */

#include "tests/unit/heap/helpers.h"

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_names_refused(void **state)
{
	struct luo_heap *heap = (void *)UNTOUCHED;

	const char *const bad[] = { "", "a:b", "tab\t", "\xc3\xa4", "line\n", long_name(64) };

	assert_int_equal(luo_heap_open(NULL, NULL, &heap), -EINVAL);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(luo_heap_open(bad[i], NULL, &heap), -EINVAL);
	assert_int_equal(luo_heap_open("good", NULL, NULL), -EINVAL);
	assert_int_equal(luo_heap_open_memory(NULL, NULL), -EINVAL);
	assert_int_equal(luo_heap_open_path(NULL, NULL, &heap), -EINVAL);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
}

static void assert_options_refused(struct luo_heap_options options)
{
	struct luo_heap *heap = (void *)UNTOUCHED;
	int fd = empty_memfd();

	options.struct_size = sizeof(options);
	assert_refused_with(fd, options, -EINVAL);
	assert_int_equal(luo_heap_open_memory(&options, &heap), -EINVAL);
	assert_int_equal(luo_heap_open("heap", &options, &heap), -EINVAL);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	close(fd);
}

static void test_options_refused(void **state)
{
	const unsigned fixed = LUO_HEAP_FIXED_ADDRESS;

	assert_options_refused((struct luo_heap_options){ .flags = 1 << 5 });
	assert_options_refused((struct luo_heap_options){ .flags = 1u << 31 });
	assert_options_refused((struct luo_heap_options){ .max_size = LUO_HEAP_MAX + 1 });
	assert_options_refused((struct luo_heap_options){ .max_size = UINT64_MAX });
	/* An address that is not a multiple of 2 MiB, and one without the flag that uses it. */
	assert_options_refused(
		(struct luo_heap_options){ .struct_size = sizeof(struct luo_heap_options),
					   .flags = fixed,
					   .address = (void *)(uintptr_t)0x200000001000 });
	assert_options_refused(
		(struct luo_heap_options){ .address = (void *)(uintptr_t)0x200000000000 });
	assert_options_refused((struct luo_heap_options){ .name = long_name(64) });
}

static void test_not_a_file(void **state)
{
	struct luo_heap *heap = (void *)UNTOUCHED;
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int path = open("/", O_PATH | O_CLOEXEC);
	int ends[2], pair[2];
	size_t fds;

	assert_true(directory >= 0 && null >= 0 && path >= 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fds = fd_count();
	assert_int_equal(luo_heap_open_fd(-1, NULL, &heap), -EBADF);
	assert_int_equal(luo_heap_open_fd(9999, NULL, &heap), -EBADF);

	const struct {
		int fd, error;
	} bad[] = { { directory, -EACCES }, /* cannot be opened for writing */
		    { path, -EACCES },      { ends[0], -EACCES }, { ends[1], -EACCES },
		    { null, -EINVAL },      { pair[0], -EINVAL } };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(luo_heap_open_fd(bad[i].fd, NULL, &heap), bad[i].error);
		assert_true(strlen(luo_heap_problem()) > 10);
	}
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	assert_int_equal(fd_count(), fds);
	close_many((int[]){ directory, path, null, ends[0], ends[1], pair[0], pair[1] }, 7);
}

/* A foreign file of every size is not a heap and stays unchanged. */
static void test_foreign_file(void **state)
{
	static const size_t sizes[] = { 1, 8, 255, 4096, 65535, 65536, 196608, 1000000 };

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
		for (int zeros = 0; zeros < 2; zeros++) {
			int fd = empty_memfd();
			uint8_t *bytes = calloc(1, sizes[i]);

			assert_non_null(bytes);
			if (!zeros)
				fill(bytes, sizes[i], i);
			assert_int_equal(pwrite(fd, bytes, sizes[i], 0), sizes[i]);
			assert_refused(fd, -EUCLEAN);
			assert_refused_with(
				fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY },
				-EUCLEAN);
			free(bytes);
			close(fd);
		}
}

static void test_may_not_be_written(void **state)
{
	int fd = empty_memfd(), read_only;
	char path[64];

	luo_heap_close(open_heap(fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	assert_refused(read_only, -EACCES);
	luo_heap_close(
		open_with(read_only, (struct luo_heap_options){ .max_size = 64 * MIB,
								.flags = LUO_HEAP_READ_ONLY }));
	close(read_only);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_refused(fd, -EPERM);
	close(fd);
}

static void test_sealed_without_a_heap(void **state)
{
	int fd = empty_memfd();

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_refused(fd, -EPERM);
	close(fd);
	fd = empty_memfd();
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_refused(fd, -EPERM);
	close(fd);
}

static void test_must_exist(void **state)
{
	const struct luo_heap_options must = { .struct_size = sizeof(must),
					       .flags = LUO_HEAP_MUST_EXIST };
	struct luo_heap *heap = (void *)UNTOUCHED;
	char directory[DIRECTORY_SIZE], path[64];
	int fd = empty_memfd();

	assert_refused_with(fd, must, -ENOENT);
	assert_refused_with(fd, (struct luo_heap_options){ .flags = LUO_HEAP_READ_ONLY }, -ENOENT);
	assert_int_equal(luo_heap_open("nowhere", &must, &heap), -ENOENT);
	make_directory(directory);
	snprintf(path, sizeof(path), "%s/heap", directory);
	assert_int_equal(luo_heap_open_path(path, &must, &heap), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	luo_heap_close(open_heap(fd));
	luo_heap_close(open_with(fd, must));
	remove_directory(directory);
	close(fd);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void test_new(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap =
		open_with(fd, (struct luo_heap_options){ .max_size = 64 * MIB, .name = "mine" });
	struct luo_heap_stat stat = stat_of(heap);

	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	assert_string_equal(stat.name, "mine");
	assert_true(stat.id != 0);
	assert_int_equal(stat.format, 1);
	assert_int_equal(stat.owner_pid, getpid());
	assert_int_equal(stat.openings, 1);
	assert_true(stat.created_usec > USEC_PER_SEC * 1700000000);
	assert_true(stat.size >= 64 * KIB && stat.size <= MIB);
	assert_int_equal(stat.max_size, 64 * MIB);
	assert_int_equal(stat.address, 0);
	assert_false(stat.recovered);
	assert_int_equal(usage_of(heap).objects, 0);
	assert_null(luo_heap_close(heap));
	assert_null(luo_heap_close(NULL));
	/* The caller's fd was only borrowed. */
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK);
	close(fd);
}

static void test_reopened(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	uint64_t id = stat_of(heap).id, created = stat_of(heap).created_usec;

	assert_non_null(luo_heap_alloc(heap, 100));
	luo_heap_close(heap);
	for (unsigned i = 2; i < 5; i++) {
		heap = open_with(fd, (struct luo_heap_options){ .max_size = i * 16 * MIB });
		assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_RESTARTED);
		assert_int_equal(stat_of(heap).id, id);
		assert_int_equal(stat_of(heap).created_usec, created);
		assert_int_equal(stat_of(heap).openings, i);
		assert_int_equal(stat_of(heap).max_size, i * 16 * MIB);
		assert_false(stat_of(heap).recovered);
		assert_int_equal(usage_of(heap).objects, 1);
		luo_heap_close(heap);
	}
	close(fd);
}

/* The caller may close its fd, and the heap goes on. */
static void test_own_fd(void **state)
{
	int fd = empty_memfd(), again;
	struct luo_heap *heap = open_heap(fd);

	close(fd);
	assert_non_null(luo_heap_alloc(heap, 10 * MIB));
	assert_true(fcntl(luo_heap_get_fd(heap), F_GETFD) & FD_CLOEXEC);
	again = fcntl(luo_heap_get_fd(heap), F_DUPFD_CLOEXEC, 0);
	assert_true(again >= 0);
	luo_heap_close(heap);
	heap = open_heap(again);
	assert_int_equal(usage_of(heap).runs, 1);
	luo_heap_close(heap);
	close(again);
}

static void test_kernel_updated(void **state)
{
	int fd = empty_memfd();
	const uint8_t other_boot[16] = { 1, 2, 3 };

	luo_heap_close(open_heap(fd));
	/* Where docs/heap-format.md has the boot id of the last owner. */
	assert_int_equal(pwrite(fd, other_boot, 16, 0x100 + 24), 16);

	struct luo_heap *heap = open_heap(fd);

	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_KERNEL_UPDATED);
	luo_heap_close(heap);
	heap = open_heap(fd);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_RESTARTED);
	luo_heap_close(heap);
	close(fd);
	assert_string_equal(luo_heap_state_to_string(LUO_HEAP_NEW), "new");
	assert_string_equal(luo_heap_state_to_string(LUO_HEAP_RESTARTED), "restarted");
	assert_string_equal(luo_heap_state_to_string(LUO_HEAP_KERNEL_UPDATED), "kernel-updated");
}

static void test_max_size_below_what_it_is(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *heap = open_heap(fd);
	uint64_t size;

	assert_non_null(luo_heap_alloc(heap, 20 * MIB));
	size = stat_of(heap).size;
	luo_heap_close(heap);
	assert_refused_with(fd, (struct luo_heap_options){ .max_size = 10 * MIB }, -EINVAL);
	assert_non_null(strstr(luo_heap_problem(), "max_size"));
	heap = open_with(fd, (struct luo_heap_options){ .max_size = size });
	assert_int_equal(stat_of(heap).max_size, size);
	luo_heap_close(heap);
	close(fd);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void test_path(void **state)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options),
						  .max_size = 64 * MIB };
	struct luo_heap *heap, *other = (void *)UNTOUCHED;
	char directory[DIRECTORY_SIZE], path[64], below[80];
	struct stat st;

	make_directory(directory);
	snprintf(path, sizeof(path), "%s/heap", directory);
	snprintf(below, sizeof(below), "%s/missing/heap", directory);
	assert_int_equal(luo_heap_open_path(directory, &options, &other), -EISDIR);
	assert_int_equal(luo_heap_open_path(below, &options, &other), -ENOENT);
	assert_int_equal(luo_heap_open_path("", &options, &other), -ENOENT);

	assert_int_equal(luo_heap_open_path(path, &options, &heap), 0);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(luo_heap_open_path(path, &options, &other), -EBUSY);
	assert_non_null(strstr(luo_heap_problem(), path));
	luo_heap_close(heap);
	assert_int_equal(luo_heap_open_path(path, &options, &heap), 0);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_RESTARTED);
	luo_heap_close(heap);
	assert_ptr_equal(other, (void *)UNTOUCHED);
	remove_directory(directory);
}

/* There is an empty file, as mktemp makes it. */
static void test_path_empty_file(void **state)
{
	char path[] = "/tmp/luo-heap.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct luo_heap *heap;

	assert_true(fd >= 0);
	assert_int_equal(luo_heap_open_path(path,
					    &(struct luo_heap_options){
						    .struct_size = sizeof(struct luo_heap_options),
						    .max_size = 64 * MIB },
					    &heap),
			 0);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	assert_int_equal(inode_of(fd), inode_of(luo_heap_get_fd(heap)));
	luo_heap_close(heap);
	unlink(path);
	close(fd);
}

static void test_path_symlink_and_foreign(void **state)
{
	struct luo_heap *heap = (void *)UNTOUCHED;
	char directory[DIRECTORY_SIZE], path[64];
	struct image before;
	int fd;

	make_directory(directory);
	snprintf(path, sizeof(path), "%s/notes", directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "shopping list\n", 14), 14);
	before = image_of(fd);
	assert_int_equal(luo_heap_open_path(path, NULL, &heap), -EUCLEAN);
	assert_non_null(strstr(luo_heap_problem(), path));
	assert_image(fd, &before);
	assert_ptr_equal(heap, (void *)UNTOUCHED);
	free_image(&before);
	close(fd);
	remove_directory(directory);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_memory(void **state)
{
	struct luo_heap *heap;

	assert_int_equal(luo_heap_open_memory(NULL, &heap), 0);
	assert_int_equal(luo_heap_get_state(heap), LUO_HEAP_NEW);
	assert_int_equal(stat_of(heap).max_size, UINT64_C(16) << 30);
	assert_non_null(luo_heap_alloc(heap, 1));
	luo_heap_close(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_names_refused),
		HEAP_TEST(test_options_refused),
		HEAP_TEST(test_not_a_file),
		HEAP_TEST(test_foreign_file),
		HEAP_TEST(test_may_not_be_written),
		HEAP_TEST(test_sealed_without_a_heap),
		HEAP_TEST(test_must_exist),
		HEAP_TEST(test_new),
		HEAP_TEST(test_reopened),
		HEAP_TEST(test_own_fd),
		HEAP_TEST(test_kernel_updated),
		HEAP_TEST(test_max_size_below_what_it_is),
		HEAP_TEST(test_path),
		HEAP_TEST(test_path_empty_file),
		HEAP_TEST(test_path_symlink_and_foreign),
		HEAP_TEST(test_memory),
	};

	return cmocka_run_group_tests_name("heap-open", tests, NULL, NULL);
}
