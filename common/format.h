/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_FORMAT_H
#define COMMON_FORMAT_H

#include <stdint.h>

/* Numbers for people. All return @buffer. */

#define FORMAT_MAX 32

/* "0 B", "1023 B", "1.5 KiB", "12 MiB" */
char *format_size(char buffer[FORMAT_MAX], uint64_t bytes);

/* "12 us", "1.5 ms", "340 ms", "2.1 s", "1min 5s", "3h 2min", "4d 1h" */
char *format_usec(char buffer[FORMAT_MAX], uint64_t usec);

/* How long ago a moment of CLOCK_REALTIME is, in whole units: "5s", "3min", "2h", "4d". */
char *format_age(char buffer[FORMAT_MAX], uint64_t usec);

#endif
