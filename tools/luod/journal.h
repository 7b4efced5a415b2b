/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_JOURNAL_H
#define LUOD_JOURNAL_H

/*
 * The state log of the running luod. A change is safe when its record is written. The log is
 * written anew when most of it is history; the keeper has a complete log at any moment.
 */

struct json_writer;
struct luod;

/* Writes a record. If that fails, the caller undoes the change that the record is about. */
int journal_write(struct luod *l, struct json_writer *w);
/* The same for a change that cannot be undone: a failure is reported as a problem. */
void journal_must_write(struct luod *l, struct json_writer *w);
int journal_start(struct luod *l);
int journal_compact(struct luod *l);

#endif
