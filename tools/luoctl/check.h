/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_CHECK_H
#define LUOCTL_CHECK_H

#include "tools/luoctl/luoctl.h"

/* One verb, several files: each looks at one side of the machine and adds what it finds. */

enum level {
	CHECK_OK,
	CHECK_UNKNOWN, /* could not be looked at */
	CHECK_WARNING, /* works, and something will be lost or slow */
	CHECK_FAILED,  /* a live update will not work */
};

struct check {
	struct context *context;
	const char *kernel; /* that is to come; may be NULL */
	struct json_object *items;
	size_t n[CHECK_FAILED + 1];
};

/*
 * One finding. @advice says what to do, or is NULL. Gives back the item, for check_detail() and for
 * numbers that programs want; it belongs to the check.
 */
struct json_object *check_add(struct check *check, enum level level, const char *what,
			      const char *advice, const char *format, ...)
	__attribute__((__format__(__printf__, 5, 6)));

/* A line below a finding. */
void check_detail(struct json_object *item, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

void check_kernel(struct check *check); /* configuration, command line, device */
void check_kexec(struct check *check);  /* image, permission */
void check_luod(struct check *check);   /* luod and its sessions; units, memory, runs */
void check_store(struct check *check, struct json_object *entries);
void check_systemd(struct check *check); /* its units, the hook */
void check_abi(struct check *check);     /* the kernel that is to come */

#endif
