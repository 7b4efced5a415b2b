/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HANDOVER_GUESS_H
#define LIBLUO_HANDOVER_GUESS_H

/*
 * Which tokens may be in a session. Internal.
 *
 * The kernel lists neither sessions nor tokens. What can be known of the tokens is that we and
 * systemd count from 0, and that the document, whatever its form, has them in it as numbers.
 */

#include "libluo/handover/incoming.h"

struct luo_guess {
	uint64_t *values; /* ascending, to be freed with free() */
	size_t n;
	bool complete; /* false: the document has more numbers, or could not be read to its end */
};

int luo_guess_tokens(struct luo_incoming *incoming, struct luo_guess *ret_guess);

#endif
