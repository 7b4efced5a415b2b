/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_TEXT_H
#define LUOCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a terminal would only print it: no control characters but line feed and tab. Bytes of
 * UTF-8 pass, except those of the C1 control characters. */
bool text_is_safe(const char *data, size_t size);

/* To be freed with free(); NULL if there is no memory. */
char *text_base64(const char *data, size_t size);

#endif
