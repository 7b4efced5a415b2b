/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* References: they read like pointers, and stay right wherever the heap is mapped. */

#include "tests/unit/heap/helpers.h"

struct node {
	LUO_REF(struct node) next;
	LUO_REF(struct node) back;
	uint64_t value;
};

struct list {
	LUO_REF(struct node) first;
	uint64_t length;
};

static const struct luo_heap_root_type list_type = { .struct_size = sizeof(list_type),
						     .name = "list",
						     .type_id = 0x11,
						     .version = 1,
						     .size = sizeof(struct list) };

static void test_null(void **state)
{
	struct node node;

	memset(&node, 0, sizeof(node));
	assert_null(luo_get(node.next));
	luo_set(node.next, &node);
	assert_ptr_equal(luo_get(node.next), &node);
	luo_set(node.next, NULL);
	assert_null(luo_get(node.next));
	assert_int_equal(node.next.luo_distance, 0);
	assert_int_equal(sizeof(node.next), 8);
}

static void test_typed(void **state)
{
	struct node a = { .value = 1 }, b = { .value = 2 };
	struct node *const constant = &b;

	/* Before it and behind it; of the right type without a cast. */
	luo_set(a.next, &b);
	luo_set(b.next, &a);
	assert_int_equal(luo_get(a.next)->value, 2);
	assert_int_equal(luo_get(luo_get(a.next)->next)->value, 1);
	luo_set(a.next, constant);
	assert_ptr_equal(luo_get(a.next), &b);
	/* Copied as a reference it is right, as bytes it is not. */
	luo_set(b.back, luo_get(a.next));
	assert_ptr_equal(luo_get(b.back), &b);
}

/* The arguments are evaluated once. */
static void test_once(void **state)
{
	struct node nodes[3] = {};
	struct node *p = nodes, *q = nodes;

	luo_set((p++)->next, q++);
	assert_ptr_equal(p, nodes + 1);
	assert_ptr_equal(q, nodes + 1);
	assert_ptr_equal(luo_get((--p)->next), nodes);
	assert_ptr_equal(p, nodes);
}

static void push(struct luo_heap *heap, struct list *list, uint64_t value)
{
	struct node *node = luo_heap_calloc(heap, 1, sizeof(*node));

	assert_non_null(node);
	node->value = value;
	luo_set(node->next, luo_get(list->first));
	if (luo_get(list->first))
		luo_set(luo_get(list->first)->back, node);
	luo_set(list->first, node);
	list->length++;
}

/* Mapped somewhere else each time, even twice at once, a list is the same list. */
static void test_anywhere(void **state)
{
	int fd = empty_memfd();
	struct luo_heap *blockers[4], *heap = open_heap(fd);
	struct list *list = NULL, *previous = NULL;

	assert_int_equal(luo_heap_root(heap, &list_type, (void **)&list), 1);
	for (uint64_t i = 1; i <= 100; i++)
		push(heap, list, i);
	previous = list;
	luo_heap_close(heap);
	for (size_t i = 0; i < ELEMENTSOF(blockers); i++) {
		uint64_t expected = 100;
		struct node *last = NULL;

		/* Takes the place where the heap was. */
		blockers[i] = memory_heap(64 * MIB);
		heap = open_heap(fd);
		assert_int_equal(luo_heap_root(heap, &list_type, (void **)&list), 0);
		assert_ptr_not_equal(list, previous);
		previous = list;
		for (struct node *n = luo_get(list->first); n; n = luo_get(n->next)) {
			assert_int_equal(n->value, expected--);
			assert_ptr_equal(luo_get(n->back), last);
			last = n;
		}
		assert_int_equal(expected, 0);
		luo_heap_close(heap);
	}
	for (size_t i = 0; i < ELEMENTSOF(blockers); i++)
		luo_heap_close(blockers[i]);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(test_null),
		HEAP_TEST(test_typed),
		HEAP_TEST(test_once),
		HEAP_TEST(test_anywhere),
	};

	return cmocka_run_group_tests_name("heap-ref", tests, NULL, NULL);
}
