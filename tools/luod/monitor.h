/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_MONITOR_H
#define LUOD_MONITOR_H

/*
 * Events for the clients that called Monitor. An event is only queued: the connection sends it, or
 * ends, when the loop comes to it. So every module may emit events in the middle of its work.
 */

struct luod;

/* All but @event may be NULL. */
void monitor_emit(struct luod *l, const char *event, const char *unit, const char *name,
		  const char *text);

#endif
