/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_RUN_ARRANGE_H
#define LUO_RUN_ARRANGE_H

#include <stddef.h>

/*
 * Moves fds[i] to the number @first + i, where an exec keeps it: not close-on-exec. The old numbers
 * are closed. @displaced is called for each foreign open fd in the way, before it is closed. Needs
 * one free fd, however many there are to move. Returns 0 or a negative errno; after an error, some
 * fds may have been moved.
 */
int arrange_fds(int *fds, size_t n, int first, void (*displaced)(int fd));

#endif
