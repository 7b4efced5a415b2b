/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_ENTRY_OBJECT_H
#define LUOD_ENTRY_OBJECT_H

/*
 * An entry as clients see it: type Entry of io.luo. If luod has the fd, the file says what it is;
 * if the entry is in the kernel, only the mapping can.
 */

#include <luo/store.h>

#include "tools/luod/stores.h"

struct json_object;

struct json_object *entry_to_object(const struct luo_entry *entry, enum entry_state state);

#endif
