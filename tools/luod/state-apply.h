/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STATE_APPLY_H
#define LUOD_STATE_APPLY_H

/*
 * Reads records of the state log: makes the change that a record describes. Reading a whole log
 * gives the state back, without the fds, which come from the keeper. An invalid record is counted
 * and skipped, so that a damaged log loses as little as possible.
 */

#include "tools/luod/state.h"

struct json_object;

/* Only -ENOMEM is an error. */
int state_apply(struct state *state, struct json_object *record);
/* The same as a state_log_fn. */
int state_apply_record(struct json_object *record, void *state);

#endif
