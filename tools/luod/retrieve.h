/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_RETRIEVE_H
#define LUOD_RETRIEVE_H

/*
 * Retrieves the sessions of the previous kernel; luod and the supervisor use it. Each fd goes to
 * the callback at once: until the keeper has a copy, a kill would free what is in the session.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"
#include "libluo/handover/incoming.h"

#define RETRIEVE_TIMEOUT_USEC (10 * USEC_PER_SEC)
/* PID 1 is a systemd that hands its fd stores over itself. */
bool manager_is_native(void);
/*
 * Retrieves the sessions @name and "@name-live", that of PID 1 unless PID 1 retrieves it itself,
 * and the further sessions that their mappings name. @callback owns each fd. Returns their number.
 * @timeout_usec: how long to wait for the device; 0: do not wait, and do not log that it is busy
 */
int retrieve_sessions(const char *name, uint64_t timeout_usec, luo_incoming_session_fn callback,
		      void *userdata);

#endif
