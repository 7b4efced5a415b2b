/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_NOTIFY_H
#define LUOD_NOTIFY_H

/*
 * The socket "notify", which speaks sd_notify(3), so that services store fds without changes. Each
 * datagram takes effect once, even if luod is killed while it works on it.
 */

struct luod;

int notify_start(struct luod *l);

#endif
