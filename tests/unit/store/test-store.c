/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Units and entries: what is refused, who owns which fd, and that none is lost or left open. */

#include "tests/unit/helpers.h"
#include <luo/store.h>
#include "libluo/store/internal.h"

static int setup(void **state)
{
	struct luo_store *store;

	remember_fds(state);
	assert_int_equal(luo_store_new(&store), 0);
	*state = store;
	return 0;
}

static int teardown(void **state)
{
	assert_null(luo_store_free(*state));
	return check_fds(state);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct luo_unit *add_unit(void **state, const char *name)
{
	struct luo_store *store = *state;
	struct luo_unit *u = NULL;

	assert_int_equal(luo_store_add_unit(store, name, NULL, &u), 0);
	assert_non_null(u);
	return u;
}

static struct luo_entry *add_fd(struct luo_unit *u, const char *name, int fd)
{
	struct luo_entry *e = NULL;

	assert_int_equal(luo_unit_add_fd(u, name, fd, &e), 0);
	assert_non_null(e);
	return e;
}

static void test_fdname(void **state)
{
	static const char *const good[] = { "a",   "stored", "with space", "~!@#$%^&*()",
					    "a/b", "..",     "\"quoted\\" };
	static const char *const bad[] = { "", "a:b", "a\nb", "\x7f", "\x1b[0m", "\xc3\xa4" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(luo_fdname_is_valid(bad[i]));
	assert_false(luo_fdname_is_valid(NULL));
	assert_false(luo_fdname_is_valid(long_name(256)));
	assert_true(luo_fdname_is_valid(long_name(255)));
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_true(luo_fdname_is_valid(good[i]));
}

static void test_unit_name(void **state)
{
	static const char *const good[] = { "a.service", "sshd", "a@b.service",
					    "...",       ".a",   "dev-disk-by\\x2dlabel.device",
					    "A:b_c-9" };
	static const char *const bad[] = { "",     ".",        "..",           "a b", "a/b",
					   "a\nb", "\xc3\xa4", "a.service/..", "a*",  "\x1b[" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(luo_unit_name_is_valid(bad[i]));
	assert_false(luo_unit_name_is_valid(NULL));
	assert_false(luo_unit_name_is_valid(long_name(256)));
	assert_true(luo_unit_name_is_valid(long_name(255)));
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_true(luo_unit_name_is_valid(good[i]));
}

static void test_cgroup(void **state)
{
	static const char *const good[] = { "/", "/system.slice/a.service", "/a/.b/c..", "/a b" };
	static const char *const bad[] = { "",     "a",     "//",   "/a//b", "/a/",
					   "/a/.", "/a/..", "/./a", "/../a" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(luo_cgroup_is_valid(bad[i]));
	assert_false(luo_cgroup_is_valid(NULL));
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_true(luo_cgroup_is_valid(good[i]));
}

static void test_null_arguments(void **state)
{
	struct luo_store *store = *state;
	struct luo_unit *u = add_unit(state, "a.service");

	assert_null(luo_store_free(NULL));
	assert_int_equal(luo_store_new(NULL), -EINVAL);
	assert_int_equal(luo_store_add_unit(NULL, "a", NULL, NULL), -EINVAL);
	assert_int_equal(luo_store_n_units(NULL), 0);
	assert_int_equal(luo_store_n_entries(NULL), 0);
	assert_null(luo_store_unit_at(NULL, 0));
	assert_null(luo_store_unit_at(store, 1));
	assert_null(luo_store_find_unit(store, NULL));
	assert_null(luo_unit_find_entry(u, NULL, 0));
	assert_null(luo_unit_find_entry(NULL, "a", 0));
	assert_int_equal(luo_unit_add_fd(NULL, "a", 0, NULL), -EINVAL);
	assert_int_equal(luo_entry_take_fd(NULL), -EBADF);
	assert_int_equal(luo_entry_set_fd(NULL, 0), -EINVAL);
	assert_int_equal(luo_entry_move(NULL, u), -EINVAL);
	luo_unit_remove(NULL);
	luo_entry_remove(NULL);
}

static void test_unit_refused(void **state)
{
	struct luo_store *store = *state;
	struct luo_unit *u = (void *)1;

	assert_int_equal(luo_store_add_unit(store, "a/b", NULL, &u), -EINVAL);
	assert_int_equal(luo_store_add_unit(store, "a.service", "relative", &u), -EINVAL);
	assert_int_equal(luo_store_add_unit(store, "a.service", "/a/../b", &u), -EINVAL);
	assert_ptr_equal(u, (void *)1);
	assert_int_equal(luo_store_n_units(store), 0);
}

static void test_fd_refused(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	struct luo_entry *e = (void *)1;
	int fd = memfd_of("");

	assert_int_equal(luo_unit_add_fd(u, "", fd, &e), -EINVAL);
	assert_int_equal(luo_unit_add_fd(u, "a:b", fd, &e), -EINVAL);
	assert_int_equal(luo_unit_add_fd(u, "a", -1, &e), -EBADF);
	assert_int_equal(luo_unit_add_fd(u, "a", 1000000, &e), -EBADF);
	assert_ptr_equal(e, (void *)1);
	assert_int_equal(u->n_entries, 0);
	assert_true(is_open(fd));
	close(fd);
}

static void test_lazy_refused(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	struct luo_entry *e = (void *)1;

	assert_int_equal(luo_unit_add_lazy(u, "a", LUO_ENTRY_FD, 0, 0, &e), -EINVAL);
	assert_int_equal(luo_unit_add_lazy(u, "a", LUO_ENTRY_FD, 0, UINT64_C(1) << 63, &e),
			 -EINVAL);
	assert_int_equal(luo_unit_add_lazy(u, "a:b", LUO_ENTRY_FD, 0, 1, &e), -EINVAL);
	assert_int_equal(luo_unit_add_lazy(u, "a", (enum luo_entry_type)7, 0, 1, &e), -EINVAL);
	assert_int_equal(luo_unit_add_lazy(NULL, "a", LUO_ENTRY_FD, 0, 1, &e), -EINVAL);
	assert_ptr_equal(e, (void *)1);
	assert_int_equal(u->n_entries, 0);
}

static void test_units(void **state)
{
	struct luo_store *store = *state;
	struct luo_unit *a, *b, *again;

	a = add_unit(state, "a.service");
	b = add_unit(state, "b.service");
	assert_int_equal(luo_store_add_unit(store, "a.service", "/x", &again), 0);
	assert_ptr_equal(a, again);
	assert_string_equal(a->cgroup, "/x");
	assert_int_equal(luo_store_add_unit(store, "a.service", NULL, NULL), 0);
	assert_string_equal(a->cgroup, "/x");
	assert_int_equal(luo_store_add_unit(store, "a.service", "/y", NULL), 0);
	assert_string_equal(a->cgroup, "/y");
	assert_int_equal(luo_store_n_units(store), 2);
	luo_unit_remove(a);
	assert_ptr_equal(luo_store_unit_at(store, 0), b);
	assert_int_equal(b->index, 0);
	assert_null(luo_store_find_unit(store, "a.service"));
	assert_ptr_equal(luo_store_find_unit(store, "b.service"), b);
}

static void test_dedupe(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	struct luo_unit *other = add_unit(state, "b.service");
	int fd = memfd_of(""), same = dup(fd);
	struct luo_entry *e = add_fd(u, "a", fd), *found = NULL;

	/* not twice under one name, and the caller keeps what was refused */
	assert_int_equal(luo_unit_add_fd(u, "a", same, &found), -EEXIST);
	assert_ptr_equal(found, e);
	assert_true(is_open(same));
	assert_int_equal(luo_unit_add_fd(u, "a", same, NULL), -EEXIST);
	assert_int_equal(u->n_entries, 1);

	/* under another name, or in another unit, it is another entry */
	add_fd(u, "b", same);
	add_fd(other, "a", dup(fd));
	assert_int_equal(u->n_entries, 2);
}

static void test_same_inode_is_not_same_description(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	int fd = memfd_of(""), reopened;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reopened = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(reopened >= 0);
	assert_int_equal(luo_fd_same_description(fd, reopened), 0);
	add_fd(u, "a", fd);
	add_fd(u, "a", reopened);
	assert_int_equal(u->n_entries, 2);
	assert_int_equal(u->entries[0]->inode, u->entries[1]->inode);
	assert_ptr_equal(luo_unit_find_entry(u, "a", 1), u->entries[1]);
	assert_null(luo_unit_find_entry(u, "a", 2));
}

static void test_same_description(void **state)
{
	int a = memfd_of(""), b = memfd_of(""), c = dup(a);

	assert_int_equal(luo_fd_same_description(a, a), 1);
	assert_int_equal(luo_fd_same_description(a, c), 1);
	assert_int_equal(luo_fd_same_description(a, b), 0);
	assert_int_equal(luo_fd_same_description(a, -1), -EBADF);
	assert_int_equal(luo_fd_same_description(-1, -1), -EBADF);
	close(a);
	close(b);
	close(c);
}

static void test_ownership(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	int kept = memfd_of(""), closed = memfd_of(""), with_unit = memfd_of("");
	struct luo_entry *e = add_fd(u, "kept", kept);

	luo_entry_remove(add_fd(u, "closed", closed));
	assert_false(is_open(closed));
	assert_int_equal(luo_entry_take_fd(e), kept);
	assert_true(is_open(kept));
	assert_int_equal(u->n_entries, 0);
	add_fd(u, "unit", with_unit);
	luo_unit_remove(u);
	assert_false(is_open(with_unit));
	close(kept);
}

static void test_lazy(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	struct luo_entry *e;
	int fd = memfd_of(""), second = memfd_of("");

	assert_int_equal(luo_unit_add_lazy(u, "a", LUO_ENTRY_FD, 2, INT64_MAX, &e), 0);
	assert_true(e->fd < 0);
	assert_true(e->poll);
	assert_int_equal(e->session, 2);
	assert_int_equal(luo_entry_take_fd(e), -EBADF);
	assert_int_equal(luo_entry_set_fd(e, -1), -EBADF);
	assert_int_equal(luo_entry_set_fd(e, fd), 0);
	assert_int_equal(luo_entry_set_fd(e, second), -EBUSY);
	assert_true(is_open(second));

	/* it takes part in the comparison from now on */
	assert_int_equal(luo_unit_add_fd(u, "a", fd, NULL), -EEXIST);
	close(second);
	assert_int_equal(luo_unit_add_lazy(u, "s", LUO_ENTRY_SESSION, 0, 0, NULL), 0);
}

static void test_move(void **state)
{
	struct luo_unit *a = add_unit(state, "a.service"), *b;
	struct luo_store *other;
	struct luo_entry *e;
	int fd = memfd_of("");

	assert_int_equal(luo_store_new(&other), 0);
	assert_int_equal(luo_store_add_unit(other, "b.service", NULL, &b), 0);
	e = add_fd(a, "x", fd);
	add_fd(a, "y", memfd_of(""));
	assert_int_equal(luo_entry_move(e, b), 0);
	assert_ptr_equal(e->unit, b);
	assert_int_equal(a->n_entries, 1);
	assert_int_equal(a->entries[0]->index, 0);
	assert_int_equal(luo_unit_add_fd(b, "x", fd, NULL), -EEXIST);
	assert_int_equal(luo_unit_add_fd(a, "x", dup(fd), NULL), 0);

	/* within one unit: to its end */
	e = a->entries[0];
	assert_int_equal(luo_entry_move(e, a), 0);
	assert_ptr_equal(a->entries[1], e);
	assert_int_equal(e->index, 1);
	luo_store_free(other);
}

static void test_order(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		add_fd(u, names[i], memfd_of(""));
	luo_entry_remove(u->entries[3]);
	luo_entry_remove(u->entries[0]);
	assert_int_equal(u->n_entries, 8);
	assert_string_equal(u->entries[0]->name, "1");
	assert_string_equal(u->entries[2]->name, "4");
	assert_string_equal(u->entries[7]->name, "9");
	for (size_t i = 0; i < u->n_entries; i++)
		assert_int_equal(u->entries[i]->index, i);
}

/* Ten thousand of each, added and removed from the front, as a claim does. */
static void test_many(void **state)
{
	struct luo_store *store = *state;
	struct luo_unit *u = add_unit(state, "a.service"), *to = add_unit(state, "b.service");
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	char name[32];

	for (unsigned i = 1; i <= 10000; i++) {
		snprintf(name, sizeof(name), "entry-%u", i);
		assert_int_equal(luo_unit_add_lazy(u, name, LUO_ENTRY_FD, 0, i, NULL), 0);
		snprintf(name, sizeof(name), "unit-%u.service", i);
		assert_int_equal(luo_store_add_unit(store, name, NULL, NULL), 0);
	}
	assert_int_equal(luo_store_n_entries(store), 10000);
	assert_non_null(luo_store_find_unit(store, "unit-9999.service"));
	while (u->n_entries)
		assert_int_equal(luo_entry_move(u->entries[0], to), 0);
	assert_int_equal(to->n_entries, 10000);
	assert_int_equal(to->entries[9999]->token, 10000);
	print_message("10,000 entries and units: %u us\n",
		      (unsigned)(now_usec(CLOCK_MONOTONIC) - start));
}

static void test_dedupe_many(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	int fds[200];

	for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
		fds[i] = memfd_of("");
		add_fd(u, "same-name", fds[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		assert_int_equal(luo_unit_add_fd(u, "same-name", fds[i], NULL), -EEXIST);
	for (size_t i = 0; i < ELEMENTSOF(fds); i += 2)
		luo_entry_remove(luo_unit_find_entry(u, "same-name", i / 2));
	for (size_t i = 1; i < ELEMENTSOF(fds); i += 2)
		assert_int_equal(luo_unit_add_fd(u, "same-name", fds[i], NULL), -EEXIST);
	assert_int_equal(u->n_entries, ELEMENTSOF(fds) / 2);
}

/* Sockets and pipes share nothing but the kind: the table must keep them apart. */
static void test_anonymous_inodes(void **state)
{
	struct luo_unit *u = add_unit(state, "a.service");
	int s[2], p[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	add_fd(u, "a", s[0]);
	add_fd(u, "a", s[1]);
	add_fd(u, "a", p[0]);
	add_fd(u, "a", p[1]); /* the same inode as p[0] */
	assert_int_equal(u->n_entries, 4);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wshadow"
/* A loop in a loop is what users write: it must compile with -Wshadow -Werror, and be right. */
static void test_nested_loops(void **state)
{
	struct luo_store *store = *state;
	struct luo_entry *e, *f;
	struct luo_unit *u, *v;
	unsigned n = 0;

	for (int i = 0; i < 3; i++) {
		char name[] = { (char)('a' + i), 0 };

		u = add_unit(state, name);
		add_fd(u, "x", memfd_of("x"));
		add_fd(u, "y", memfd_of("y"));
	}
	LUO_FOREACH_UNIT (u, store)
		LUO_FOREACH_UNIT (v, store)
			LUO_FOREACH_ENTRY (e, u)
				LUO_FOREACH_ENTRY (f, v)
					n += e->unit == u && f->unit == v && (e == f) <= (u == v);
	assert_int_equal(n, 3 * 3 * 2 * 2);
	n = 0;
	/* clang-format off */
	LUO_FOREACH_UNIT (u, store) LUO_FOREACH_ENTRY (e, u) n++;
	/* clang-format on */
	assert_int_equal(n, 6);
}
#pragma GCC diagnostic pop

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fdname),       T(test_unit_name),
		T(test_cgroup),       T(test_null_arguments),
		T(test_unit_refused), T(test_fd_refused),
		T(test_lazy_refused), T(test_units),
		T(test_dedupe),       T(test_same_inode_is_not_same_description),
		T(test_ownership),    T(test_same_description),
		T(test_lazy),         T(test_move),
		T(test_order),        T(test_many),
		T(test_dedupe_many),  T(test_anonymous_inodes),
		T(test_nested_loops),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
