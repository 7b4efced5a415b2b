/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_NOTIFY_PARSE_H
#define LUOD_NOTIFY_PARSE_H

/*
 * Parses the text of an sd_notify(3) datagram, and does nothing else. An invalid assignment does
 * not affect the others.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As in systemd, one page. A longer datagram is refused. */
#define NOTIFY_SIZE_MAX 4096

struct notify_message {
	bool fdstore, fdstore_remove, barrier;
	bool no_poll; /* FDPOLL=0 */
	bool ready, stopping, reloading;
	const char *fdname; /* NULL: absent. Not checked: the store does that */
	const char *status; /* NULL: absent. Valid UTF-8 without control characters */
	pid_t mainpid;      /* 0: absent */
	unsigned unknown;   /* unknown assignments */
	unsigned bad;       /* known assignments with an invalid value */
};

/*
 * @text: @size bytes, and room for one more. It is cut into strings, and the message points to
 * them. -EBADMSG if there is a NUL in the middle; -EMSGSIZE over NOTIFY_SIZE_MAX.
 */
int notify_parse(char *text, size_t size, struct notify_message *ret);

#endif
