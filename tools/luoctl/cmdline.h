/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_CMDLINE_H
#define LUOCTL_CMDLINE_H

#include <stdbool.h>

/* Whether a kernel command line switches something on: the last NAME=VALUE counts, as for the
 * kernel. @if_missing: what it is when it is not said. */
bool cmdline_is_on(const char *cmdline, const char *name, bool if_missing);

/* @base without BOOT_IMAGE= and the line feed, and @append (may be NULL); to be freed with free().
 */
char *cmdline_reuse(const char *base, const char *append);

#endif
