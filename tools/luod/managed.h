/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_MANAGED_H
#define LUOD_MANAGED_H

/*
 * A *managed* unit has its fd store in the service manager: its entries were collected there, and
 * go back there after the kexec. The mapping says so with a key of the unit ("manager": true), so
 * that the luod of the next kernel knows it too.
 */

#include <stdbool.h>

#include <luo/store.h>

/* The session of a PID 1 that hands its fd stores over itself (systemd >= 261). */
#define MANAGER_SESSION "systemd"

bool unit_is_managed(const struct luo_unit *unit);
/* The same for the unit of that name; false if it is not in @store, which may be NULL. */
bool unit_is_managed_in(const struct luo_store *store, const char *name);
/* 1: it is managed from now on; 0: it was already. */
int unit_set_managed(struct luo_unit *unit);

#endif
