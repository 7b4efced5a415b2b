/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_MAPPING_OWN_H
#define LIBLUO_MAPPING_OWN_H

/* The short way to read a mapping, and the long one. Internal. */

#include "libluo/mapping/internal.h"

/* 1 if the text is of our own writer and without a fault; 0 if that cannot be said; -ENOMEM. */
int mapping_parse_own(const char *text, size_t size, struct luo_mapping **ret);

/* luo_mapping_parse() without the short way. */
int mapping_parse_any(const char *text, size_t size, struct luo_mapping **ret_mapping,
		      char **ret_reason);

#endif
