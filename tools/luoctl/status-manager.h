/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_STATUS_MANAGER_H
#define LUOCTL_STATUS_MANAGER_H

/*
 * A systemd that hands over by itself also counts the kexecs, and knows how the last kernel went
 * down: luod has that only from a mapping of its own. What PID 1 says is put into @status, where it
 * answers.
 */

struct json_object;
void add_from_manager(struct json_object *status);

#endif
