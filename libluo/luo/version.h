/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_VERSION_H
#define LUO_VERSION_H

/*
 * The version of libluo, for programs that must know. Thread-safe, and safe in a signal handler and
 * after a fork.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** The version of these headers. */
#define LUO_VERSION_MAJOR 0
#define LUO_VERSION_MINOR 1
#define LUO_VERSION_PATCH 0

/** luo_version() - the version of the library at run time, "0.1.0"; a static string. Since: 0.1 */
const char *luo_version(void);

#ifdef __cplusplus
}
#endif

#endif
