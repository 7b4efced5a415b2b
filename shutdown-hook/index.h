/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_INDEX_H
#define SHUTDOWN_HOOK_INDEX_H

/*
 * Which units have something to get back: the index that the previous kernel handed down, and the
 * list that luod publishes. Both are only read for the names; all else stays text.
 *
 * The index is a memfd at token 0 of the session "luo-index":
 *
 *   {"version":1,"units":[{"name":"a.service","native":true}, ...],"report":{...}}
 *
 * "native": the service manager, from systemd 261, restores this unit itself. Unknown keys are
 * allowed everywhere; another version is refused.
 */

#include <stdbool.h>
#include <stddef.h>

#define INDEX_SESSION   "luo-index"
#define INDEX_SIZE_MAX  ((size_t)1 << 20)
#define INDEX_UNITS_MAX 4096

struct index_unit {
	char *name;
	bool native;
};

struct index {
	struct index_unit *units;
	size_t n;
	size_t skipped; /* that were no names of services, said twice, or too many */
};

/*
 * @text has @size bytes and a NUL behind them.
 *  -EBADMSG, -E2BIG  it is damaged;  -EPROTONOSUPPORT  of another version;  -ENOMEM
 */
int index_parse(const char *text, size_t size, struct index *ret, const char **ret_reason);

/* One name a line, as luod publishes them. */
int index_parse_list(const char *text, size_t size, struct index *ret);

void index_done(struct index *index);

/*
 * Whether a drop-in for it may be written: NAME.d has to be a directory of this unit and no other.
 * So no template (its drop-ins are those of all instances), and nothing that ends in "-.service"
 * (those of "a-.service" are those of all "a-*.service").
 */
bool index_name_is_ok(const char *name);

#endif
