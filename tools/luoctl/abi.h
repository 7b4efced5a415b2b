/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_ABI_H
#define LUOCTL_ABI_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What a kernel says to its successor is marked with strings such as "kho-v4", "luo-v5" and
 * "memfd-v2". A kernel that finds others panics at boot, or forgets everything.
 */

#define ABI_MAX        16
#define ABI_REASON_MAX 160

struct abi {
	char strings[ABI_MAX][32]; /* "luo-v5" */
	size_t n;
};

/* Adds the strings that stand in the text of an unpacked kernel, or of a device tree. */
void abi_scan(struct abi *abi, const char *data, size_t size);

bool abi_has(const struct abi *abi, const char *s);
void abi_add(struct abi *abi, const char *s);

/* From a bzImage, as it lies in a file. Returns 0, or negative errno with a reason for people. */
int abi_of_image(const char *data, size_t size, struct abi *ret, char ret_reason[ABI_REASON_MAX]);

/* The one of the same kind, "luo-v4" for "luo-v5"; NULL if there is none. */
const char *abi_find(const struct abi *abi, const char *like);

#endif
