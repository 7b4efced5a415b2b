/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The example of luo-heap(3): a list that grows by one node with each start. */

#include <stdio.h>
#include <time.h>
#include <luo/heap.h>

struct start {
	LUO_REF(struct start) previous;
	int64_t when;
};
struct state {
	LUO_REF(struct start) last;
};

static const struct luo_heap_root_type state_type = {
	.struct_size = sizeof(state_type),
	.name = "state",
	.type_id = 0x5d1e80c3a94f7b26,
	.version = 1,
	.size = sizeof(struct state),
};

int main(void)
{
	struct luo_heap *heap;
	struct state *state;
	struct start *start;
	void *object;

	if (luo_heap_open("state", NULL, &heap) < 0 ||
	    luo_heap_root(heap, &state_type, &object) < 0) {
		fprintf(stderr, "%s\n", luo_heap_problem());
		return 1;
	}
	state = object;

	start = luo_heap_alloc(heap, sizeof(*start));
	if (!start) {
		fprintf(stderr, "%s\n", luo_heap_problem());
		return 1;
	}
	start->when = time(NULL);
	luo_set(start->previous, luo_get(state->last));
	luo_set(state->last, start); /* from here on it is in the list */

	for (start = luo_get(state->last); start; start = luo_get(start->previous))
		printf("%lld\n", (long long)start->when);
	return 0;
}
