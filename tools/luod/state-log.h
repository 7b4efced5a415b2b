/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STATE_LOG_H
#define LUOD_STATE_LOG_H

/*
 * The framing of the state log: what luod needs after a kill, as a list of records in a memfd that
 * the keeper has too. docs/luod-state.md has the format and the records.
 *
 * A record is one line, "CCCCCCCC {json}\n": the CRC-32 of the JSON text in hexadecimal, a blank,
 * the text without a line break. Records are only appended. A kill in the middle of a write leaves
 * a piece without a line break at the end: it was never acknowledged, and is cut off. An invalid
 * line with a line break is damage, at the end too: it is skipped, counted, and stays in the log,
 * so that a later reader finds it again.
 */

#include <json-c/json_object.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_LOG_VERSION    1
#define STATE_LOG_SIZE_MAX   (UINT64_C(256) << 20)
#define STATE_LOG_RECORD_MAX (64 * 1024)

struct state_log {
	int fd;
	uint64_t end; /* where the next record goes */
};

/* A new memfd. */
int state_log_create(struct state_log *ret);
/* Closes the fd. */
void state_log_close(struct state_log *log);

/*
 * Appends a record. A failed write leaves the end where it was. -EMSGSIZE over
 * STATE_LOG_RECORD_MAX.
 */
int state_log_append(struct state_log *log, const char *json, size_t size);

struct state_log_report {
	uint64_t records; /* valid records */
	uint64_t damaged; /* invalid lines */
	uint64_t end;     /* after the last line */
	uint64_t cut;     /* bytes after it, of an unfinished record */
};

/* A negative return value ends the reading. The record is valid only during the call. */
typedef int (*state_log_fn)(struct json_object *record, void *userdata);

/* Reads @size bytes of log. */
int state_log_parse(const char *data, size_t size, state_log_fn callback, void *userdata,
		    struct state_log_report *ret);
/* Reads a whole log from its memfd. Afterwards *ret_log appends after the last line. */
int state_log_open(int fd, state_log_fn callback, void *userdata, struct state_log *ret_log,
		   struct state_log_report *ret);

uint32_t state_log_crc(const void *data, size_t size);

#endif
