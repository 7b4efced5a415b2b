/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_HOOK_SAY_H
#define SHUTDOWN_HOOK_SAY_H

/*
 * One line for whoever looks at the console while the machine goes down. Nothing here waits: a
 * console may be a serial line that nobody reads.
 *
 * It goes to the kernel's log, and to /dev/console unless the kernel prints it there already.
 * $LUO_CONSOLE is a file that gets it instead, for tests.
 */

#include <syslog.h>

#include "common/util.h"

/* Opens what is needed, so that say_raw() can be used in a signal handler. */
void say_setup(void);

/* "luo: " is put before it, and a line feed behind; anything but printable ASCII becomes '?'. */
void say(int level, const char *format, ...) _printf_(2, 3);

/* Only write(2): a whole line, with the line feed. */
void say_raw(const char *line);

#endif
