/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_SAY_H
#define SHUTDOWN_HOOK_SAY_H

/*
 * Lines on the console while the machine shuts down. No function waits: a console can be a serial
 * line that nothing reads.
 *
 * A line goes to the kernel's log, and to /dev/console unless the kernel prints it there anyway.
 * For tests, $LUO_CONSOLE names a file that gets the lines instead.
 */

#include <syslog.h>

#include "common/util.h"

/* Opens the devices, so that console_write_raw() is safe in a signal handler. */
void say_setup(void);

/* Writes "luo: ", the text and a line feed. Replaces all but printable ASCII with '?'. */
void say(int level, const char *format, ...) _printf_(2, 3);

/* Writes a whole line, including its line feed, with write(2) only. */
void say_raw(const char *line);

#endif
