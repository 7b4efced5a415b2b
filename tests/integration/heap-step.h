/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_INTEGRATION_HEAP_STEP_H
#define TESTS_INTEGRATION_HEAP_STEP_H

/*
 * What the two processes of heap-step say to each other: the one that works on the heap, and stops
 * after each of its stores, and the one that looks at the heap then.
 */

#include <stdbool.h>
#include <stdint.h>

#define STEP_HEAP_SIZE (UINT64_C(8) << 20)

/* What the operation that begins may do. */
struct step_operation {
	char name[32];
	/* The content of all blocks counts: what they hold changes at one instant, with the rest.
	 * Otherwise that of the blocks counts which were there before, but for the one that is
	 * being freed. */
	bool all_content;
	/* It makes a block and then frees one, in two steps. */
	bool two_steps;
	uint64_t freed; /* offset */
};

enum step_message {
	STEP_BEGIN = 'B',
	STEP_STORED = 'S', /* something has changed: look */
	STEP_END = 'E',
	STEP_NEXT_IMAGE =
		'N', /* put the next interrupted heap into the file; answer 'n': no more */
};

/* Stops of the process that works: in heap-trap.c. */
void trap_init(int to_watcher, int from_watcher);
void trap_arm(void);    /* from here on every store into a mapped heap is reported */
void trap_disarm(void); /* until here */
bool trap_say(enum step_message message); /* false: the answer was no */

/* The process that works: in heap-step-work.c. */
int step_work(int fd, struct step_operation *operation, unsigned operations, uint64_t seed);

#endif
