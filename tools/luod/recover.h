/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_RECOVER_H
#define LUOD_RECOVER_H

/*
 * The start of luod, after a kill too: joins the fds that the keeper gives back with what the state
 * log says. Nothing that was acknowledged is lost, as long as the keeper still has it.
 */

struct luod;

int recover(struct luod *l);

#endif
