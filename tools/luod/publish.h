/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_PUBLISH_H
#define LUOD_PUBLISH_H

/*
 * RUNTIME_DIR/units: the list of units with holdings that go back into the fd store of PID 1. The
 * generator and the restore helper read it. A reader sees the old list or the new one, never a part
 * of one. A failure is only logged.
 */

struct luod;

/* Writes the list, and again at the end of each turn of the loop in which the state changes. */
int publish_start(struct luod *l);
/* Writes the list now: before an answer after which the client may run the generator. */
void publish_now(struct luod *l);

#endif
