/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_MAPPING_INTERNAL_H
#define LIBLUO_MAPPING_INTERNAL_H

/* Shared by the files of this folder: mapping, parse, format, entry, own, issue. */

#include <json-c/json.h>

#include "common/json-writer.h"
#include <luo/session.h>
#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"
#include "common/util.h"

/* The newest version that exists. */
#define MAPPING_VERSION 1

/* The number of issues that are described; further ones are only counted. */
#define MAPPING_ISSUES_KEPT 100

static inline void json_object_putp(struct json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_object_putp)

/*
 * Records something that was skipped. Only -ENOMEM is an error. The text is plain ASCII, because it
 * contains refused names and may be printed to a terminal.
 */
int mapping_issue(struct luo_mapping *mapping, const char *what, const char *where_format, ...)
	_printf_(3, 4);
void mapping_issues_free(struct luo_mapping *mapping);

/* The kernel accepts any name of 1 to 63 bytes. */
bool mapping_session_name_is_valid(const char *name);

/* ---- reading members of an object: 1 if present, 0 if absent or null, -EBADMSG if invalid ---- */

int member_string(struct json_object *o, const char *key, size_t max, const char **ret);
int member_number(struct json_object *o, const char *key, uint64_t max, uint64_t *ret);
int member_bool(struct json_object *o, const char *key, bool *ret);

/* The members whose keys are not in @known (ends with NULL), as text; NULL if there are none. */
int members_extra(struct json_object *o, const char *const *known, char **ret_extra);

/* ---- one entry ---- */

#define POSITION_NATURAL SIZE_MAX

/* An entry as the document has it. The JSON tree owns the const strings. */
struct parsed_entry {
	const char *name;
	const char *session; /* NULL: the main one */
	enum luo_entry_type type;
	uint64_t token;
	uint64_t position; /* index in the store of the unit; POSITION_NATURAL: the end */
	bool alias;
	bool poll;
	char *session_name;
	struct luo_entry_meta meta;
	char *extra;
};

void parsed_entry_clear(struct parsed_entry *entry);

/* Returns 0, -EBADMSG with a reason in *ret_what if the entry is to be skipped, or -ENOMEM. */
int entry_from_json(struct json_object *o, enum luo_mapping_generation generation,
		    struct parsed_entry *entry, const char **ret_what);

/*
 * @session: name of a further session; NULL for the main one, or if no session is named @position:
 * index in the store, if the order of the document does not say it
 */
void entry_to_json(struct json_writer *w, const struct luo_entry *entry, const char *session,
		   size_t position);

/* Only type, name and place: the keys that v261 knows. */
void entry_to_json_v261(struct json_writer *w, const struct luo_entry *entry);

#endif
