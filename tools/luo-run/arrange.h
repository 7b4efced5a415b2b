/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_RUN_ARRANGE_H
#define LUO_RUN_ARRANGE_H

#include <stddef.h>

/*
 * Puts fds[i] at the number @first + i, for an exec to keep: not close-on-exec. Nothing is left at
 * the old numbers. @displaced is told of each open fd of somebody else that has to give way, before
 * it is closed.
 *
 * Needs one free fd, however many there are to move. 0 or negative errno; after an error it is
 * unknown how far it came.
 */
int arrange_fds(int *fds, size_t n, int first, void (*displaced)(int fd));

#endif
