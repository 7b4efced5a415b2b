/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HANDOVER_SPILL_H
#define LIBLUO_HANDOVER_SPILL_H

/*
 * One commit over several sessions. Internal.
 *
 * Kernels before 7.2 take 128 files a session, and every kernel walks a list for each file, so
 * that many files in one session cost O(N^2). Files go into the main session first, then into
 * further ones named "NAME.1", "NAME.2"... A place in the main one stays free for the mapping.
 */

#include <stddef.h>
#include <stdint.h>

struct luo_spill {
	char *name; /* of the main session */
	int *fds;   /* the main session first */
	size_t n;
	size_t filling; /* index of the session that takes the next file */
	unsigned used;  /* files in it */
	unsigned main_limit, limit;
	uint64_t device_timeout_usec;
};

/* Makes as many sessions as @n_files need. -EEXIST if a name is taken. */
int luo_spill_open(struct luo_spill *spill, const char *name, unsigned max_files, size_t n_files,
		   uint64_t device_timeout_usec);

/* The place of the next file; makes a session if there is none with room. */
int luo_spill_next(struct luo_spill *spill, unsigned *ret_session, uint64_t *ret_token);

/* The file was taken by that place. */
void luo_spill_took(struct luo_spill *spill);

/*
 * The kernel said that the session is full. 1: try the next place. -EAGAIN: it was the main one,
 * where now not even the mapping has room, so undo everything with luo_spill_reopen() and begin
 * anew. -ENOSPC: there is no room at all.
 */
int luo_spill_full(struct luo_spill *spill);

/* The same for the mapping, which found no place in the main session. -EAGAIN or -ENOSPC. */
int luo_spill_main_full(struct luo_spill *spill);

int luo_spill_reopen(struct luo_spill *spill, size_t n_files);

/* Closes further sessions that nothing went into. */
void luo_spill_trim(struct luo_spill *spill);

/* Names of the further sessions, for the mapping. */
int luo_spill_list(const struct luo_spill *spill, char ***ret_names, size_t *ret_n);

void luo_spill_close(struct luo_spill *spill);

#endif
