/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_SHUTDOWN_INDEX_H
#define SHUTDOWN_HOOK_SHUTDOWN_INDEX_H

#include <stdint.h>

#define INDEX_SESSION "luo-index"

/* What went wrong, for the next boot. */
struct index_report {
	uint64_t entries; /* that were to be preserved; all of them are lost */
	uint64_t usec;
	const char *problem;
};

/*
 * Makes the session INDEX_SESSION with nothing in it but this report, and a process that keeps it
 * until the kexec: its argv[0] is put in place of @argv0, which it overwrites. -EEXIST if luod has
 * made one that stands.
 */
int index_leave_report(const struct index_report *report, char *argv0);

#endif
