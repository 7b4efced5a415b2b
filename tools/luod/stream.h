/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STREAM_H
#define LUOD_STREAM_H

/*
 * The store of a unit as the reply to Claim, in as many parts as its fds need. A part is queued
 * when the client has taken the one before, so that a large store needs little memory. An entry
 * that is removed meanwhile is left out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct connection;

struct stream {
	/* Queues one part. 1: more follow; 0: it was the last; negative: the connection ends. */
	int (*next)(struct connection *c, struct stream *s);
	char *unit, *name;
	uint64_t *ids; /* entries of the store */
	size_t n, at;
	bool forget; /* entries leave the store when they are sent */
};

/* Answers the call with the entries of the unit. @name: only those of that name; NULL: all */
int stream_start(struct call *call, const char *unit, const char *name, bool keep);
/* Returns NULL. */
struct stream *stream_free(struct stream *stream);

#endif
