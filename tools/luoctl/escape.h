/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOCTL_ESCAPE_H
#define LUOCTL_ESCAPE_H

#include <stddef.h>

/*
 * Text that came from somewhere else, made fit for a terminal: everything but printable ASCII
 * becomes \n, \t, \r or \xHH. To be freed with free(); NULL if there is no memory.
 */
char *escape(const char *text);

#endif
