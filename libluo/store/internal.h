/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_STORE_INTERNAL_H
#define LIBLUO_STORE_INTERNAL_H

/* What the rest of the library, but not an application, needs from the store. */

#include <luo/store.h>

/* Tokens are written as JSON integers; systemd and json-c both read them as signed 64-bit. */
#define LUO_TOKEN_MAX ((uint64_t)INT64_MAX)

/* Frees what the struct points to and zeroes it. */
void luo_entry_meta_clear(struct luo_entry_meta *meta);

/* Removes all entries that have failed set. */
void luo_unit_remove_failed(struct luo_unit *unit);

/* Reserves room for @n more entries, so that moving or adding them cannot fail. */
int luo_unit_reserve(struct luo_unit *unit, size_t more);

/* Moves an entry toward the front of its unit; the entries behind it close up. */
void luo_entry_move_forward(struct luo_entry *entry, size_t position);

/*
 * Puts an entry that belongs to another unit into a unit without taking ownership. Call
 * luo_unit_return_entries() before the unit is freed or changed in any other way.
 */
int luo_unit_borrow_entry(struct luo_unit *unit, struct luo_entry *entry);
void luo_unit_return_entries(struct luo_unit *unit);

/* An absolute path without empty, "." or ".." components: what /proc/PID/cgroup shows. */
bool luo_cgroup_is_valid(const char *cgroup);

#endif
