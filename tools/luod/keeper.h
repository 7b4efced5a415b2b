/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_KEEPER_H
#define LUOD_KEEPER_H

/*
 * The keeper is the process that has a copy of each of luod's fds, and gives them all back when
 * luod was killed and starts again. It speaks sd_notify's FDSTORE=1 in the one direction and
 * LISTEN_FDS in the other: systemd, where luod.service has FileDescriptorStoreMax=, or luod's own
 * parent (luod --supervise).
 *
 * Names of what is kept, short because they all stand in one environment string:
 *   notify, varlink   the listening sockets
 *   L<generation>     the state log
 *   e<file>           a file of the store
 *   i<n>              a session that came in
 *   o<number>.<n>     a session of a commit
 * Numbers are written in base 62.
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
	bool lazy; /* keeper_settle() is put off: somebody else still has what is pushed */
};

/* A kept fd that came back. */
struct kept {
	char *name;
	int fd; /* owned until it is taken: then -EBADF */
};

/* Looks at the environment, and cleans it. */
int keeper_open(struct keeper *ret);
const char *keeper_to_string(const struct keeper *keeper);

/* Reads $LISTEN_FDS and $LISTEN_FDNAMES, makes the fds close-on-exec, cleans the environment. */
int keeper_take(struct kept **ret, size_t *ret_n);
void kept_free(struct kept *kept, size_t n);

/* A copy of @fd goes to the keeper. */
int keeper_push(struct keeper *keeper, const char *name, int fd);
int keeper_remove(struct keeper *keeper, const char *name);
/*
 * After it, what was pushed will outlive us. systemd finds out by the pid who has sent a message,
 * so it must have read it before we may die; the supervisor's queue outlives us anyway.
 */
int keeper_settle(struct keeper *keeper);
/* Waits until the keeper has done everything it was told. */
int keeper_barrier(struct keeper *keeper);
/* A plain message: READY=1. */
int keeper_notify(struct keeper *keeper, const char *text);

#define KEEPER_NAME_SIZE 32
/* "e" and a number; returns @buffer. */
char *keeper_name(char prefix, uint64_t number, char buffer[KEEPER_NAME_SIZE]);
char *keeper_name2(char prefix, uint64_t number, uint64_t n, char buffer[KEEPER_NAME_SIZE]);
/* The number behind a one-letter prefix, up to the end or to a "."; -EINVAL. */
int keeper_name_parse(const char *name, char prefix, uint64_t *ret);

#endif
