/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_PROBLEM_H
#define LUOD_PROBLEM_H

/*
 * Problems that an administrator must know of. A problem is logged as an error once, and Status
 * shows it until luod ends.
 */

#include "common/util.h"

struct luod;

void problem_report(struct luod *l, const char *format, ...) _printf_(2, 3);
void problems_free(struct luod *l);

#endif
