/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_UNIT_HANDOVER_FIXTURE_H
#define TESTS_UNIT_HANDOVER_FIXTURE_H

/* Stores to commit, a live update over the fake device, and what is looked up on either side. */

#include <luo/handover.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"
#include "tests/fake/fake-luo.h"
#include "tests/unit/helpers.h"

static inline int handover_setup(void **state)
{
	remember_fds(state);
	fake_luo_install();
	return 0;
}

/* Every test ends with everything freed: then no fd may be left, whatever path was taken. */
static inline int handover_teardown(void **state)
{
	fake_luo_uninstall();
	return check_fds(state);
}

#define HANDOVER_TEST(f) cmocka_unit_test_setup_teardown(f, handover_setup, handover_teardown)

static inline int make_memfd(const char *name, const char *text)
{
	int fd;

	assert_int_equal(
		luo_memfd_create(&(struct luo_memfd_options){ .struct_size = sizeof(
								      struct luo_memfd_options),
							      .name = name,
							      .flags = LUO_MEMFD_ALLOW_SEALING },
				 &fd),
		0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static inline struct luo_entry *add(struct luo_store *store, const char *unit_name,
				    const char *name, int fd)
{
	struct luo_entry *entry;
	struct luo_unit *unit;

	assert_int_equal(luo_store_add_unit(store, unit_name, NULL, &unit), 0);
	assert_int_equal(luo_unit_add_fd(unit, name, fd, &entry), 0);
	return entry;
}

static inline struct luo_store *new_store(void)
{
	struct luo_store *store;

	assert_int_equal(luo_store_new(&store), 0);
	return store;
}

static inline struct luo_commit *commit_store(struct luo_store *store,
					      const struct luo_commit_options *options)
{
	struct luo_commit *commit;

	assert_int_equal(luo_commit_new(&store, 1, options, &commit), 0);
	return commit;
}

static inline struct luo_incoming *retrieve(const char *name)
{
	_cleanup_close_ int device = -EBADF;
	struct luo_incoming *incoming;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_incoming_retrieve(device, name, NULL, NULL, &incoming), 0);
	return incoming;
}

/* Commit, kexec, and what then came in. The old process is gone with everything it had. */
static inline struct luo_incoming *live_update(struct luo_store *store,
					       const struct luo_commit_options *options)
{
	struct luo_commit *commit = commit_store(store, options);

	fake_luo_kexec();
	luo_commit_free(commit);
	luo_store_free(store);
	return retrieve(LUO_DEFAULT_SESSION);
}

static inline struct luo_entry *find(struct luo_incoming *incoming, const char *unit_name,
				     const char *name, size_t nth)
{
	struct luo_mapping *mapping = luo_incoming_mapping(incoming);
	struct luo_unit *unit;
	struct luo_entry *entry;

	assert_non_null(mapping);
	unit = luo_store_find_unit(mapping->store, unit_name);
	assert_non_null(unit);
	entry = luo_unit_find_entry(unit, name, nth);
	assert_non_null(entry);
	return entry;
}

static inline int restored(struct luo_incoming *incoming, const char *unit, const char *name)
{
	struct luo_entry *entry = find(incoming, unit, name, 0);

	assert_int_equal(luo_incoming_restore(incoming, entry), 0);
	assert_true(entry->fd >= 0);
	assert_true(fcntl(entry->fd, F_GETFD) & FD_CLOEXEC);
	return entry->fd;
}

/* Good until the next call. */
static inline const struct luo_commit_result *result_of(const struct luo_commit *commit, size_t i)
{
	static struct luo_commit_result result;

	result.struct_size = sizeof(result);
	assert_int_equal(luo_commit_result_at(commit, i, &result), 0);
	return &result;
}

/* Entries "content-0" and so on, each of which holds its name. */
static inline void fill(struct luo_store *store, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), "content-%u", i);
		add(store, "many.service", text, make_memfd(text, text));
	}
}

static inline void check_filled(struct luo_incoming *incoming, unsigned n)
{
	assert_int_equal(luo_store_n_entries(luo_incoming_mapping(incoming)->store), n);
	for (unsigned i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), "content-%u", i);
		assert_content(restored(incoming, "many.service", text), text);
	}
}

#endif
