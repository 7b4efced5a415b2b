/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_HOLDINGS_LOOK_H
#define LUOD_HOLDINGS_LOOK_H

/*
 * Retrieves the sessions of the previous kernel. Another process may have the device at first; luod
 * tries again until it knows what came in. Until then it commits nothing, and a unit without stored
 * fds gets the answer "busy".
 */

#include <stdint.h>

struct luod;

/* At the start: retrieves the sessions unless that was done, and tries again later if it fails. */
void holdings_look_start(struct luod *l);
/*
 * The same now, if it is not done yet. 0: it is done, or there is nothing to retrieve. Negative: it
 * is not known yet what came in.
 */
int holdings_look(struct luod *l, uint64_t timeout_usec);

#endif
