/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_SMALL_FILE_H
#define SHUTDOWN_HOOK_SMALL_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* The file is the old one or the new one, at every moment. */
int small_file_replace(const char *path, mode_t mode, const char *text, size_t size);

#endif
