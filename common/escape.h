/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_ESCAPE_H
#define COMMON_ESCAPE_H

#include <stddef.h>

/*
 * Text that came from somewhere else, made fit for a terminal: everything but printable ASCII
 * becomes \n, \t, \r or \xHH. To be freed with free(); NULL if there is no memory.
 */
char *escape(const char *text);

#endif
