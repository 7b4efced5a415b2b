/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_STORE_INTERNAL_H
#define LIBLUO_STORE_INTERNAL_H

/* What the rest of the library needs of the store, and an application does not. */

#include <luo/store.h>

/* Tokens are written as JSON integers; systemd and json-c both read them as signed 64-bit. */
#define LUO_TOKEN_MAX ((uint64_t)INT64_MAX)

/* Frees what the struct points to and zeroes it. */
void luo_entry_meta_clear(struct luo_entry_meta *meta);

/* Removes the entries that have failed set, all at once. */
void luo_unit_remove_failed(struct luo_unit *unit);

/* Makes room for so many more entries: moving or adding these cannot fail. */
int luo_unit_reserve(struct luo_unit *unit, size_t more);

/* Moves an entry forward within its unit, the others close up behind it. */
void luo_entry_move_forward(struct luo_entry *entry, size_t position);

/*
 * Puts an entry that belongs to somebody else into a unit, as it is. luo_unit_return_entries() must
 * come before the unit is freed, or moved to anything else than reading.
 */
int luo_unit_borrow_entry(struct luo_unit *unit, struct luo_entry *entry);
void luo_unit_return_entries(struct luo_unit *unit);

/* An absolute path without empty, "." or ".." components: what /proc/PID/cgroup shows. */
bool luo_cgroup_is_valid(const char *cgroup);

#endif
