/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_STORES_H
#define LUOD_STORES_H

/*
 * Which stores luod has, and what an entry in each of them means to a client. A unit may be in
 * several. These functions only read; vault.h and holdings.h change the stores.
 */

#include <luo/store.h>

struct luod;

/* stored: in the store of the unit; held: came from the previous kernel and is not claimed; lost:
 * the kernel could not restore it */
enum entry_state { ENTRY_STORED, ENTRY_HELD, ENTRY_LOST };

/* The stores for i = 0, 1, ... until false. */
bool stores_at(const struct luod *l, size_t i, struct luo_store **ret, enum entry_state *ret_state);
/* The store of what is still in the kernel; NULL if nothing is. */
struct luo_store *stores_incoming(const struct luod *l);
/* One of the stores has the unit. */
bool unit_is_known(const struct luod *l, const char *name);
/* How many fds the unit may store. */
unsigned unit_max(const struct luod *l, const struct luo_unit *unit);

#endif
