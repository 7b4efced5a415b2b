/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_NOTIFY_PARSE_H
#define LUOD_NOTIFY_PARSE_H

/* The text of an sd_notify(3) datagram. Pure: looks at bytes, changes nothing else. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As systemd: one page. A longer datagram is refused whole. */
#define NOTIFY_SIZE_MAX 4096

struct notify_message {
	bool fdstore, fdstore_remove, barrier;
	bool no_poll; /* FDPOLL=0 */
	bool ready, stopping, reloading;
	const char *fdname; /* NULL: not said. Not checked: the store does */
	const char *status; /* NULL: not said. Valid UTF-8 without control characters */
	pid_t mainpid;      /* 0: not said */
	unsigned unknown;   /* assignments that we do not know */
	unsigned bad;       /* ones that we know, with a value that makes no sense */
};

/*
 * @text: @size bytes, and room for one more: it is cut into strings, which the message points to.
 * -EBADMSG if there is a NUL in the middle, -EMSGSIZE over NOTIFY_SIZE_MAX. What is wrong in one
 * assignment is counted and does not spoil the others.
 */
int notify_parse(char *text, size_t size, struct notify_message *ret);

#endif
