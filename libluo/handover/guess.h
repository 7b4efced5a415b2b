/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_GUESS_H
#define LIBLUO_HANDOVER_GUESS_H

/*
 * Finds the tokens that a session may have. Internal.
 *
 * The kernel lists neither sessions nor tokens. But we and systemd count tokens from 0, and the
 * document contains them as numbers, whatever its form.
 */

#include "libluo/handover/incoming.h"

struct luo_guess {
	uint64_t *values; /* ascending; the caller frees it with free() */
	size_t n;
	bool complete; /* false: the document has more numbers, or was not read completely */
};

int luo_guess_tokens(struct luo_incoming *incoming, struct luo_guess *ret_guess);

#endif
