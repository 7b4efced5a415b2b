/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_STATE_LOG_H
#define LUOD_STATE_LOG_H

/*
 * What luod must remember when it is killed, as a list of records in a memfd that the keeper holds
 * too. docs/luod-state.md has the format and the records; this is the framing.
 *
 * A record is one line, "CCCCCCCC {json}\n": the CRC-32 of the JSON text in hexadecimal, a blank,
 * the text without a line break. Records are only ever appended. A kill in the middle of a write
 * leaves a piece without a line break at the very end: it is cut off, it was never acknowledged.
 * A line that has its line break and makes no sense is damage, at the end too: it is skipped,
 * counted, and left where it is, so that whoever reads the log again learns of it again.
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

/* Appends; a failed write leaves the end where it was. -EMSGSIZE over STATE_LOG_RECORD_MAX. */
int state_log_append(struct state_log *log, const char *json, size_t size);

struct state_log_report {
	uint64_t records; /* good ones */
	uint64_t damaged; /* lines that make no sense */
	uint64_t end;     /* behind the last line */
	uint64_t cut;     /* bytes behind it, of a record that was not finished */
};

/* A negative return ends the reading with it. The record is the caller's only during the call. */
typedef int (*state_log_fn)(struct json_object *record, void *userdata);

/* Reads @size bytes of log. */
int state_log_parse(const char *data, size_t size, state_log_fn callback, void *userdata,
		    struct state_log_report *ret);
/* Reads a whole log from its memfd; afterwards *ret_log appends behind the last line. */
int state_log_open(int fd, state_log_fn callback, void *userdata, struct state_log *ret_log,
		   struct state_log_report *ret);

uint32_t state_log_crc(const void *data, size_t size);

#endif
