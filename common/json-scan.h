/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_JSON_SCAN_H
#define COMMON_JSON_SCAN_H

#include <stddef.h>

#include <json-c/json_object.h>

struct json_limits {
	unsigned depth;
	size_t memory; /* bytes that the tree may take, estimated */
};

/*
 * Looks over a text before it is given to json-c, which would build whatever it is told to.
 *
 * 0 if json-c may have it; it then says whether it is JSON. -EBADMSG or -E2BIG with the reason and
 * the place otherwise.
 */
int json_scan(const char *text, size_t size, const struct json_limits *limits,
	      const char **ret_reason, size_t *ret_position);

/* json_scan(), then json-c: the tree of exactly one document, or a negative errno with the reason.
 */
int json_parse_limited(const char *text, size_t size, const struct json_limits *limits,
		       struct json_object **ret, const char **ret_reason, size_t *ret_position);

#endif
