/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef MANAGER_INTERNAL_H
#define MANAGER_INTERNAL_H

/* Between the files of manager.h. */

#include "manager/manager.h"

#define MANAGER_NAME      "org.freedesktop.systemd1"
#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_INTERFACE    "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE "org.freedesktop.systemd1.Service"
#define UNIT_PATH(name)   MANAGER_PATH "/unit/" name

/* More than systemd and luod together would hold. */
#define MANAGER_UNITS_MAX ((size_t)65536)
#define MANAGER_FDS_MAX   ((size_t)65536)

/* The answer to DumpUnitFileDescriptorStore. An entry whose name is none is left out, and counted.
 */
int luo_manager_read_dump(sd_bus_message *reply, struct luo_manager_fd **ret_fds, size_t *ret_n,
			  size_t *ret_bad);

/* Until the job of a unit is done, has failed, or there is none. */
int luo_manager_wait(sd_bus *bus, const char *unit, uint64_t deadline);

#endif
