/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The format of heaps does not change by accident: docs/heap-format.md has the offsets, sizes and
 * numbers of libluo/heap/format.h, and heaps of each released format stay readable.
 */

#include <inttypes.h>
#include <sys/wait.h>

#include "libluo/heap/internal.h"

#include "tests/unit/heap/fixture.h"
#include "tests/unit/helpers.h"

/* ---- the page -------------------------------------------------------------------------------- */

static char *page;

static int read_page(void **state)
{
	_cleanup_free_ char *path = NULL;
	size_t n;
	FILE *f;

	assert_true(asprintf(&path, "%s/docs/heap-format.md", source_dir()) > 0);
	f = fopen(path, "re");
	assert_non_null(f);
	page = calloc(1, 1 << 20);
	assert_non_null(page);
	n = fread(page, 1, (1 << 20) - 1, f);
	fclose(f);
	assert_in_range(n, 1, (1 << 20) - 2);
	return 0;
}

static int free_page(void **state)
{
	free(page);
	return 0;
}

/* The text between the heading of that name and the next one. */
static char *section(const char *heading)
{
	_cleanup_free_ char *line = NULL;
	const char *begin, *end;

	assert_true(asprintf(&line, "\n### `%s`\n", heading) > 0);
	begin = strstr(page, line);
	if (!begin)
		fail_msg("docs/heap-format.md has no section %s", heading);
	begin += strlen(line);
	end = strstr(begin, "\n#");
	return strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

static void assert_has(const char *text, const char *what, const char *row)
{
	if (!strstr(text, row))
		fail_msg("docs/heap-format.md, %s, does not have: %s", what, row);
}

struct member {
	const char *name;
	size_t offset, size; /* 0: to the end */
};

/* Versions 14 and 19 disagree about a macro that is an initializer. */
/* clang-format off */
#define MEMBER(type, name) { #name, offsetof(struct type, name), sizeof(((struct type *)0)->name) }
#define REST(type, name) { #name, offsetof(struct type, name), 0 }
/* clang-format on */

static void assert_struct(const char *name, size_t size, const struct member *members, size_t n)
{
	_cleanup_free_ char *text = section(name);
	size_t rows = 0, end = 0;

	for (size_t i = 0; i < n; i++) {
		char row[128];

		if (members[i].size)
			snprintf(row, sizeof(row), "\n| 0x%04zx | %zu | `%s` |", members[i].offset,
				 members[i].size, members[i].name);
		else
			snprintf(row, sizeof(row), "\n| 0x%04zx | | `%s` |", members[i].offset,
				 members[i].name);
		assert_has(text, name, row);
		/* The list of members here is complete. */
		assert_int_equal(members[i].offset, end);
		end += members[i].size;
	}
	assert_int_equal(end, size);
	for (const char *p = text; (p = strstr(p, "\n| 0x")); p++)
		rows++;
	if (rows != n)
		fail_msg("docs/heap-format.md, %s, has %zu rows instead of %zu", name, rows, n);
}

#define ASSERT_STRUCT(type, ...)                                              \
	do {                                                                  \
		static const struct member members_[] = { __VA_ARGS__ };      \
		assert_struct("struct " #type, sizeof(struct type), members_, \
			      ELEMENTSOF(members_));                          \
	} while (0)

static void test_structs(void **state)
{
	ASSERT_STRUCT(heap_super, MEMBER(heap_super, magic), MEMBER(heap_super, format),
		      MEMBER(heap_super, page_shift), MEMBER(heap_super, id),
		      MEMBER(heap_super, created_usec), MEMBER(heap_super, address),
		      MEMBER(heap_super, name), MEMBER(heap_super, reserved),
		      MEMBER(heap_super, sum));
	ASSERT_STRUCT(heap_owner, MEMBER(heap_owner, pid), MEMBER(heap_owner, name),
		      MEMBER(heap_owner, boot_id), MEMBER(heap_owner, openings),
		      MEMBER(heap_owner, kernels), MEMBER(heap_owner, reserved));
	ASSERT_STRUCT(heap_index, MEMBER(heap_index, sum), MEMBER(heap_index, pages),
		      MEMBER(heap_index, free_pages), MEMBER(heap_index, leaves),
		      MEMBER(heap_index, slots), MEMBER(heap_index, roots),
		      MEMBER(heap_index, fl_bitmap), MEMBER(heap_index, sl_bitmap),
		      MEMBER(heap_index, slot_pages), MEMBER(heap_index, lists));
	ASSERT_STRUCT(heap_root, MEMBER(heap_root, object), MEMBER(heap_root, size),
		      MEMBER(heap_root, type_id), MEMBER(heap_root, version),
		      MEMBER(heap_root, name), MEMBER(heap_root, reserved));
	ASSERT_STRUCT(heap_leaf_entry, MEMBER(heap_leaf_entry, page), MEMBER(heap_leaf_entry, sum));
	ASSERT_STRUCT(heap_desc, MEMBER(heap_desc, word), MEMBER(heap_desc, links));
	ASSERT_STRUCT(heap_slab, MEMBER(heap_slab, check), MEMBER(heap_slab, links),
		      MEMBER(heap_slab, listed), MEMBER(heap_slab, reserved),
		      REST(heap_slab, used));
	ASSERT_STRUCT(heap_magazine, MEMBER(heap_magazine, top), MEMBER(heap_magazine, bottom),
		      MEMBER(heap_magazine, list), MEMBER(heap_magazine, reserved),
		      MEMBER(heap_magazine, ring));
	ASSERT_STRUCT(heap_slot, MEMBER(heap_slot, check), MEMBER(heap_slot, remote),
		      MEMBER(heap_slot, log), MEMBER(heap_slot, tx), MEMBER(heap_slot, reserved),
		      MEMBER(heap_slot, magazines));
	ASSERT_STRUCT(heap_log, MEMBER(heap_log, commit), MEMBER(heap_log, reserved),
		      MEMBER(heap_log, entries));
	ASSERT_STRUCT(heap_slot_log, MEMBER(heap_slot_log, commit), MEMBER(heap_slot_log, reserved),
		      MEMBER(heap_slot_log, entries));
	ASSERT_STRUCT(heap_log_entry, MEMBER(heap_log_entry, offset),
		      MEMBER(heap_log_entry, value));
	ASSERT_STRUCT(heap_tx, MEMBER(heap_tx, word), MEMBER(heap_tx, segment),
		      MEMBER(heap_tx, words));
	ASSERT_STRUCT(heap_tx_segment, MEMBER(heap_tx_segment, previous),
		      MEMBER(heap_tx_segment, previous_word), REST(heap_tx_segment, words));
}

/* clang-format off */
#define NUMBER(name) { #name, name }
/* clang-format on */

static void test_constants(void **state)
{
	static const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		NUMBER(HEAP_FORMAT),    NUMBER(HEAP_PAGE_SHIFT),
		NUMBER(HEAP_SL),        NUMBER(HEAP_FL),
		NUMBER(HEAP_SLOTS),     NUMBER(HEAP_SLOTS_PER_PAGE),
		NUMBER(HEAP_SLOT_SIZE), NUMBER(HEAP_ROOTS),
		NUMBER(HEAP_ROOT_NAME), NUMBER(HEAP_LEAF_PAGES),
		NUMBER(HEAP_LEAVES),    NUMBER(HEAP_LOG_ENTRIES),
		NUMBER(HEAP_CLASSES),   NUMBER(HEAP_SLOT_LOG_ENTRIES),
		NUMBER(HEAP_CLASS_MAX), NUMBER(HEAP_MAGAZINE),
		NUMBER(HEAP_TX_INLINE),
	}, offsets[] = {
		NUMBER(HEAP_SUPER_OFFSET), NUMBER(HEAP_OWNER_OFFSET),
		NUMBER(HEAP_INDEX_OFFSET), NUMBER(HEAP_LOG_OFFSET),
		NUMBER(HEAP_ROOTS_OFFSET), NUMBER(HEAP_DIRECTORY_OFFSET),
		NUMBER(HEAP_SUPER_END),
	}, kinds[] = {
		NUMBER(HEAP_PAGE_NONE), NUMBER(HEAP_PAGE_FREE),
		NUMBER(HEAP_PAGE_FREE_TAIL), NUMBER(HEAP_PAGE_RUN),
		NUMBER(HEAP_PAGE_RUN_TAIL), NUMBER(HEAP_PAGE_SLAB),
		NUMBER(HEAP_PAGE_SLAB_PART), NUMBER(HEAP_PAGE_META),
		NUMBER(HEAP_PAGE_LOG), NUMBER(HEAP_PAGE_LOG_TAIL),
		NUMBER(HEAP_TX_NONE), NUMBER(HEAP_TX_ACTIVE),
		NUMBER(HEAP_TX_COMMITTING), NUMBER(HEAP_TX_UNDO),
		NUMBER(HEAP_TX_ALLOC), NUMBER(HEAP_TX_FREE),
	};
	char row[128];

	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		snprintf(row, sizeof(row), "\n| `%s` | %" PRIu64 " |", numbers[i].name,
			 numbers[i].value);
		assert_has(page, "constants", row);
	}
	for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
		snprintf(row, sizeof(row), "\n| `%s` | 0x%04" PRIx64 " |", offsets[i].name,
			 offsets[i].value);
		assert_has(page, "offsets", row);
	}
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		snprintf(row, sizeof(row), "\n| %" PRIu64 " | `%s` |", kinds[i].value,
			 kinds[i].name);
		assert_has(page, "kinds", row);
	}
	snprintf(row, sizeof(row), " 0x%016" PRIx64 ",", HEAP_MAGIC);
	assert_has(page, "magic", row);
	snprintf(row, sizeof(row), " 0x%016" PRIx64 ",", HEAP_MAGIC_MAKING);
	assert_has(page, "magic while making", row);
}

static void test_classes(void **state)
{
	_cleanup_free_ char *text = section("struct heap_slab");

	for (unsigned i = 0; i < HEAP_CLASSES; i++) {
		const struct heap_class *class = &heap_classes[i];
		char row[128];

		snprintf(row, sizeof(row), "\n| %u | %u | %u | %u | %u |", i, class->size,
			 class->first, class->blocks, class->pages);
		assert_has(text, "classes", row);
	}
}

/* The formulas of the page, in the numbers that they give. */
static void test_sums(void **state)
{
	const struct heap_desc descriptors[] = { { HEAP_DESC_SLAB(3, 5, 9), 0 } };

	assert_int_equal(heap_mix(0, 0, 0), MIX_0_0_0);
	assert_int_equal(heap_mix(1, 2, 3), MIX_1_2_3);
	assert_int_equal(heap_sum_word(4711, 0), 0);
	assert_int_equal(heap_sum_word(1, 2), heap_mix(1, 2, 0));
	assert_int_equal(descriptors[0].word, 5 | 3 << 4 | 5 << 12 | UINT64_C(9) << 32);
}

/* ---- heaps of before ------------------------------------------------------------------------- */

static int open_fixture(const char *name, unsigned flags, struct luo_heap **ret_heap)
{
	struct luo_heap_options options = { .struct_size = sizeof(options), .flags = flags };
	int fd = fixture_load(source_dir(), name), r;

	r = luo_heap_open_fd(fd, &options, ret_heap);
	if (r < 0)
		print_error("%s: %s\n", name, luo_heap_problem());
	close(fd);
	return r;
}

static void print_problem(const char *text, void *userdata)
{
	print_error("%s\n", text);
}

static void assert_fixture(const char *name, unsigned flags, bool interrupted)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	struct luo_heap *heap;
	void *object;

	assert_int_equal(open_fixture(name, flags, &heap), 0);
	assert_int_equal(luo_heap_check(heap, print_problem, NULL, &usage), 0);
	assert_int_equal(luo_heap_stat(heap, &stat), 0);
	assert_string_equal(stat.name, "fixture");
	assert_int_equal(stat.format, 1);
	assert_int_equal(stat.recovered, interrupted);
	assert_int_equal(usage.objects, FIXTURE_OBJECTS);
	assert_int_equal(usage.object_size + usage.free_size + usage.overhead_size, stat.size);
	assert_int_equal(luo_heap_root(heap, &fixture_type, &object), 0);
	assert_null(fixture_differs(object));
	assert_null(luo_heap_close(heap));
}

static void test_format_1(void **state)
{
	assert_fixture("format-1.txt", 0, false);
	assert_fixture("format-1.txt", LUO_HEAP_READ_ONLY, false);
}

/* Killed in a transaction, and in the middle of a change of the index. */
static void test_format_1_interrupted(void **state)
{
	assert_fixture("format-1-interrupted.txt", 0, true);
	assert_fixture("format-1-interrupted.txt", LUO_HEAP_READ_ONLY, true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structs),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_sums),
		cmocka_unit_test_setup_teardown(test_format_1, remember_fds, check_fds),
		cmocka_unit_test_setup_teardown(test_format_1_interrupted, remember_fds, check_fds),
	};

	/* How the fixtures were made, for those of the next format. */
	if (argc == 2)
		return fixture_print(argv[1]);
	return cmocka_run_group_tests(tests, read_page, free_page);
}
