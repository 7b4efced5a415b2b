/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_RUNTIME_DIR_H
#define COMMON_RUNTIME_DIR_H

/*
 * The directory of luod's sockets: $LUO_RUNTIME_DIR, or /run/luo if that is unset or empty. A
 * program that runs with more privileges than its caller ignores the variable.
 */
const char *runtime_dir(void);

/* "/run/luo/NAME"; the caller frees it with free(). -ENOMEM. */
int runtime_path(const char *name, char **ret_path);

#endif
