/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_HELP_H
#define COMMON_HELP_H

#include <stdbool.h>

/*
 * For programs that another program calls, and that have no options of their own: answers --help,
 * -h, --version and -V when one of them is the only argument. Prints to stdout and returns true;
 * the caller then exits with 0.
 *
 * @program: its name, for the version
 * @help: the text, with a line feed at its end
 */
bool help_or_version(int argc, char *const argv[], const char *program, const char *help);

#endif
