/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_GENERATOR_PINS_H
#define SHUTDOWN_HOOK_GENERATOR_PINS_H

#include "shutdown-hook/generator.h"

/*
 * A systemd before 261 unloads a unit that has stopped as soon as nothing that is active refers to
 * it, also if it has an fd store that is to be preserved; in a shutdown this is before the harvest.
 * (unit_gc_sweep() of systemd: a reference from a unit that is not collected itself keeps a unit.)
 *
 * So luod.service, which is never stopped, refers to each service with
 * FileDescriptorStorePreserve=yes or on-success: as Before=, which is true as well. Found are those
 * with a unit file, and enabled instances of a template. Other instances, and transient services,
 * are pinned by luo-harvest when the shutdown begins.
 */
int generator_pin(const struct generator *g);

#endif
