/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_DISPATCH_H
#define LUOD_DISPATCH_H

/*
 * Finds the method of a message in the table of methods, checks that the caller may call it, and
 * calls it. This is the only place that knows all methods.
 */

struct connection;
struct luo_varlink_message;

/* Negative: the connection must be closed. */
int dispatch(struct connection *c, struct luo_varlink_message *message);

#endif
