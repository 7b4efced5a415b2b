/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_MANAGER_H
#define LUOCTL_MANAGER_H

/* What PID 1 has in the fd stores of its services, if it is systemd, and we are root. */

#include <json-c/json_object.h>

#include "manager/manager.h"

struct stores {
	unsigned version;
	struct luo_manager_unit *units;
	size_t n;
	struct luo_manager_table *table;
	int incomplete; /* negative errno: PID 1 did not tell everything */
};

/* -ENOENT: PID 1 is not systemd. -EPERM or -EACCES: not for us. */
int stores_open(struct stores *ret);
void stores_close(struct stores *stores);
#define _cleanup_stores_ __attribute__((__cleanup__(stores_close)))

/*
 * Appends the entries of a unit (NULL: all) to an array of luod's, in the same form, with "where"
 * "systemd". Quietly nothing where there is nothing, or nothing for us; luod.service's own store is
 * left out. How many they are.
 */
size_t manager_add_entries(struct json_object *entries, const char *unit);

/* A copy of the @nth fd of that name, the oldest first. -ENOENT if there is none for us. */
int manager_open_entry(const char *unit, const char *name, size_t nth, int *ret_fd);

#endif
