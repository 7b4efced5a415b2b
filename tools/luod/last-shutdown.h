/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_LAST_SHUTDOWN_H
#define LUOD_LAST_SHUTDOWN_H

/*
 * What other programs wrote into the runtime directory about shutdowns: the generator about the
 * last one, luo-harvest about the current one. The files are optional; a damaged file counts as
 * missing.
 */

#include <stdint.h>

#include <luo/mapping.h>

struct json_object;
struct luod;

/* How the last shutdown went, type LastShutdown of io.luo; NULL if it is not known. */
struct json_object *last_shutdown(const struct luod *l);
/* When the current shutdown began; zero if it is not known. */
struct luo_timestamp shutdown_start(const struct luod *l);
/* When PID 1 had stopped all units; luo-harvest writes it at its end. */
struct luo_timestamp shutdown_finish(const struct luod *l);
/*
 * Live updates since the last cold boot. The mapping has the number of the kernel that wrote it;
 * the reader adds the live update that it has just seen, as systemd 262 does.
 */
uint64_t kexec_count(const struct luod *l);

#endif
