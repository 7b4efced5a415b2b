/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef KVD_PROTOCOL_H
#define KVD_PROTOCOL_H

/*
 * memcached's text protocol, as memcached/doc/protocol.txt describes it and memcached 1.6 does it.
 * A command is a line; some have a value behind it, whose size the line says.
 */

#include "kvd.h"

#define ARGS_MAX 8

struct request {
	struct connection *c;
	struct slice args[ARGS_MAX]; /* the first is the name of the command */
	unsigned n_args;
	bool noreply;
	struct slice value;
};

enum command_kind {
	COMMAND_LINE,      /* a line and nothing else */
	COMMAND_VALUE,     /* a value follows */
	COMMAND_GET,       /* get, gets */
	COMMAND_GET_TOUCH, /* gat, gats: a time before the keys */
};

struct command {
	const char *name;
	enum command_kind kind;
	unsigned min, max; /* arguments after the name; the most includes noreply */
	bool noreply;      /* may be the last argument */
	void (*run)(struct request *request);
};

/* commands.c */
extern const struct command commands[];
/* One key of a get. Negative if there is no room for the answer. */
int command_get_key(struct connection *c, struct slice key);
/* exptime, as the protocol has it, as a time; -EINVAL. */
int parse_exptime(const struct store *s, struct slice text, int64_t *ret);

/* stats.c */
void command_stats(struct request *request);

/* protocol.c */
void reply(struct connection *c, const char *text);
/* Not if the client does not want to hear it: errors, too, which it would take for the answer to
 * something else. */
void answer(const struct request *request, const char *text);
void reply_format(struct connection *c, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));
/* Digits and nothing else, up to @max; -EINVAL. */
int parse_number(struct slice text, uint64_t max, uint64_t *ret);
static inline bool slice_is(struct slice slice, const char *text)
{
	return slice.size == __builtin_strlen(text) &&
	       __builtin_memcmp(slice.data, text, slice.size) == 0;
}

#define BAD_FORMAT "CLIENT_ERROR bad command line format\r\n"
#define NO_MEMORY  "SERVER_ERROR out of memory storing object\r\n"

#endif
