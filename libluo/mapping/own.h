/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_MAPPING_OWN_H
#define LIBLUO_MAPPING_OWN_H

/* The fast and the complete reader of a mapping. Internal. */

#include "libluo/mapping/internal.h"

/* Returns 1 if our writer made the text and it is valid, 0 if that is unknown, or -ENOMEM. */
int mapping_parse_own(const char *text, size_t size, struct luo_mapping **ret);

/* luo_mapping_parse() without the fast reader. */
int mapping_parse_any(const char *text, size_t size, struct luo_mapping **ret_mapping,
		      char **ret_reason);

#endif
