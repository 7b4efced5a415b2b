/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_SUPERVISE_RETRIEVE_H
#define LUOD_SUPERVISE_RETRIEVE_H

/*
 * Takes over the sessions of the previous kernel before the first luod starts, so that a kill of
 * luod never takes them with it. A child reads the mapping; the supervisor reads nothing that came
 * from another kernel.
 */

struct supervisor;

/* Gives the fd of each session to @keep. */
void supervise_retrieve(struct supervisor *s, const char *session,
			int (*keep)(struct supervisor *s, const char *name, int fd));

#endif
