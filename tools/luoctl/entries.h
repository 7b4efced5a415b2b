/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_ENTRIES_H
#define LUOCTL_ENTRIES_H

#include "tools/luoctl/luoctl.h"

/* The parts that several verbs share in showing units and entries. */

/* The entries of a unit (NULL: all), in one state (NULL: any), as an array that the caller puts. */
int ask_entries(struct context *context, const char *what, const char *unit, const char *state,
		struct json_object **ret_entries);

/* Those in systemd's stores too. Either may not know the unit. */
int ask_all_entries(struct context *context, const char *what, const char *unit, const char *state,
		    struct json_object **ret_entries);

/* A table of them, with a line of totals. */
int print_entries(const struct context *context, struct json_object *entries);

/* Everything about each, one below the other. */
void print_entry_details(struct json_object *entry);

/* "stored", "held" or "lost"; anything else has been complained about. */
bool state_is_valid(const struct context *context, const char *state);

/* The same for names, which luod would refuse less clearly. */
bool unit_is_valid(const struct context *context, const char *unit);
bool name_is_valid(const struct context *context, const char *name);

/* The fd of an entry of luod's, or of systemd's. LUOCTL_OK, or the exit code after it has said why
 * not. */
int open_entry(struct context *context, const char *unit, const char *name, size_t nth,
	       int *ret_fd);

#endif
