/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

/*
 * The floor: nothing but the system calls that must be, as a program would write them that knows
 * how many files there are, which token each has, and does not look at what could go wrong.
 *
 * It has a document at token 0 too, of the same size as libluo's, which it writes and reads but
 * neither makes nor understands.
 */

#include <stddef.h>

#include "bench/files.h"

/* Sessions "NAME", "NAME.1"..., with the files spread evenly. */
struct bare {
	const char *name;
	size_t sessions;
	size_t document_size;
	int *fds; /* of the sessions, while they are there */
};

void bare_commit(struct bare *bare, const struct files *files);
void bare_restore(struct bare *bare, struct files *files);
/* The files [from, to) only; all sessions are retrieved. */
void bare_restore_some(struct bare *bare, struct files *files, size_t from, size_t to);
void bare_finish(struct bare *bare);
/* Closes the sessions: undoes a commit. */
void bare_close(struct bare *bare);

/* One visit to the device, so that nobody else pays for what the kernel does at the first. */
void bare_open_device(void);

#endif
