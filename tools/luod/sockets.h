/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_SOCKETS_H
#define LUOD_SOCKETS_H

/*
 * The two listening sockets in the runtime directory. The keeper has copies of them, so that what
 * clients send while luod restarts is still there, and no client sees "connection refused".
 */

#include <stddef.h>

struct kept;
struct luod;

/* Takes the sockets out of @kept, or makes them. */
int sockets_open(struct luod *l, struct kept *kept, size_t n);
void sockets_close(struct luod *l);

#endif
