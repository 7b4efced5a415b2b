/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_ABI_COMPARE_H
#define LUOCTL_ABI_COMPARE_H

#include "tools/luoctl/abi.h"

/* Will the kernel in an image understand what this one hands over? */

enum abi_answer {
	ABI_SAME,
	ABI_DIFFERS, /* it would panic, or forget everything: see the differences */
	ABI_NONE,    /* it has no LUO at all, and forgets everything */
	ABI_UNKNOWN, /* see the reason */
};

struct abi_difference {
	const char *here, *there; /* "luo-v5"; there may be NULL: nothing of that kind */
};

struct abi_comparison {
	enum abi_answer answer;
	struct abi here, there;
	size_t n_same, n_differences;
	struct abi_difference differences[ABI_MAX];
	char reason[ABI_REASON_MAX];
};

/* @image as it lies in a file. The answer points into itself: it cannot be copied. */
void abi_compare(const char *image, size_t size, struct abi_comparison *ret);

/* "here kho-v4, there kho-v5; here ...", to be freed with free(); NULL if there is no memory. */
char *abi_differences_text(const struct abi_comparison *c);

#endif
