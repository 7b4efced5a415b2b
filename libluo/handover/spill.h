/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_SPILL_H
#define LIBLUO_HANDOVER_SPILL_H

/*
 * One commit over several sessions. Internal.
 *
 * Kernels before 7.2 accept 128 files for each session, and every kernel walks a list for each
 * file, so many files in one session cost O(N^2). Files go into the main session first, then into
 * further ones named "NAME.1", "NAME.2" and so on. One place in the main session stays free for the
 * mapping.
 */

#include <stddef.h>
#include <stdint.h>

struct luo_spill {
	char *name; /* of the main session */
	int *fds;   /* the main session first */
	size_t n;
	size_t filling; /* index of the session for the next file */
	unsigned used;  /* files in that session */
	unsigned main_limit, limit;
	uint64_t device_timeout_usec;
};

/* Makes as many sessions as @n_files need. -EEXIST if a name is taken. */
int luo_spill_open(struct luo_spill *spill, const char *name, unsigned max_files, size_t n_files,
		   uint64_t device_timeout_usec);

/* Returns the session for the next file; makes one if all are full. */
int luo_spill_next(struct luo_spill *spill, unsigned *ret_session, uint64_t *ret_token);

/* Counts the file in that session. */
void luo_spill_took(struct luo_spill *spill);

/*
 * The kernel said that the session is full. Returns 1 to try the next session; -EAGAIN if it was
 * the main one, which now lacks room even for the mapping: undo everything with luo_spill_reopen()
 * and start again; -ENOSPC if there is no room at all.
 */
int luo_spill_full(struct luo_spill *spill);

/* The same for the mapping, which did not fit into the main session. -EAGAIN or -ENOSPC. */
int luo_spill_main_full(struct luo_spill *spill);

int luo_spill_reopen(struct luo_spill *spill, size_t n_files);

/* Closes further sessions without files. */
void luo_spill_trim(struct luo_spill *spill);

/* Names of the further sessions, for the mapping. */
int luo_spill_list(const struct luo_spill *spill, char ***ret_names, size_t *ret_n);

void luo_spill_close(struct luo_spill *spill);

#endif
