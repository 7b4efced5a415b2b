/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_KEEPER_H
#define LUOD_KEEPER_H

/*
 * The keeper is the process that has a copy of each of luod's fds, and gives all of them back when
 * luod starts again after a kill. It is systemd, if luod.service has FileDescriptorStoreMax=, or
 * the parent of luod (luod --supervise). luod sends it fds with FDSTORE=1 as in sd_notify(3), and
 * gets them back with LISTEN_FDS.
 *
 * The names of kept fds are short, because one environment string has all of them:
 *   notify, varlink   the listening sockets
 *   L<generation>     the state log
 *   e<file>           a file of the store
 *   i<n>              a session that came in
 *   o<number>.<n>     a session of a commit
 * The numbers are in base 62.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum keeper_kind {
	KEEPER_NONE,
	KEEPER_SYSTEMD,    /* through $NOTIFY_SOCKET */
	KEEPER_SUPERVISOR, /* through the socket that $LUOD_KEEPER names */
};

struct keeper {
	enum keeper_kind kind;
	int fd;
	bool lazy; /* keeper_settle() does nothing: another process still has what is pushed */
};

/* An fd that the keeper gave back. */
struct kept {
	char *name;
	int fd; /* owned, unless it is taken: then -EBADF */
};

/* Finds the keeper in the environment, and removes the variables. */
int keeper_open(struct keeper *ret);
const char *keeper_to_string(const struct keeper *keeper);

/*
 * Takes the fds of $LISTEN_FDS and $LISTEN_FDNAMES, makes them close-on-exec, and removes the
 * variables.
 */
int keeper_take(struct kept **ret, size_t *ret_n);
void kept_free(struct kept *kept, size_t n);

/* Gives the keeper a copy of @fd. */
int keeper_push(struct keeper *keeper, const char *name, int fd);
int keeper_remove(struct keeper *keeper, const char *name);
/*
 * After this call, what was pushed outlives luod. systemd finds the sender of a message by its pid,
 * so it must read the message before luod may end. The queue of the supervisor outlives luod
 * anyway.
 */
int keeper_settle(struct keeper *keeper);
/* Waits until the keeper has handled every message. */
int keeper_barrier(struct keeper *keeper);
/* Sends a message without an fd: READY=1. */
int keeper_notify(struct keeper *keeper, const char *text);

#define KEEPER_NAME_SIZE 32
/* "e" and a number; returns @buffer. */
char *keeper_name(char prefix, uint64_t number, char buffer[KEEPER_NAME_SIZE]);
char *keeper_name2(char prefix, uint64_t number, uint64_t n, char buffer[KEEPER_NAME_SIZE]);
/* The number behind a one-letter prefix, up to the end or to a "."; -EINVAL. */
int keeper_name_parse(const char *name, char prefix, uint64_t *ret);

#endif
