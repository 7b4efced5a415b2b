/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_MAPPING_INTERNAL_H
#define LIBLUO_MAPPING_INTERNAL_H

/* What the files of the mapping share: mapping, mapping-parse, mapping-format, entry-json. */

#include <json-c/json.h>

#include "common/json-writer.h"
#include <luo/session.h>
#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"
#include "common/util.h"

/* The newest version there is. */
#define MAPPING_VERSION 1

/* Of these every one is described; the rest are only counted. */
#define MAPPING_ISSUES_KEPT 100

static inline void json_object_putp(struct json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_object_putp)

/*
 * Records something that was skipped. Only -ENOMEM is an error. What is recorded is plain ASCII,
 * because names that were refused are in it, and it ends up on a terminal.
 */
int mapping_issue(struct luo_mapping *mapping, const char *what, const char *where_format, ...)
	_printf_(3, 4);
void mapping_issues_free(struct luo_mapping *mapping);

/* 1 to 63 bytes: any such name is one for the kernel. */
bool mapping_session_name_is_valid(const char *name);

/* ---- reading members of an object: 1 if it is there, 0 if not (or null), -EBADMSG if wrong ----
 */

int member_string(struct json_object *o, const char *key, size_t max, const char **ret);
int member_number(struct json_object *o, const char *key, uint64_t max, uint64_t *ret);
int member_bool(struct json_object *o, const char *key, bool *ret);

/* The members whose keys are not among @known (ends with NULL), as text; NULL if there are none. */
int members_extra(struct json_object *o, const char *const *known, char **ret_extra);

/* ---- one entry ---- */

#define POSITION_NATURAL SIZE_MAX

/* An entry as it stands in the document; the strings that are const are the JSON tree's. */
struct parsed_entry {
	const char *name;
	const char *session; /* NULL: the main one */
	enum luo_entry_type type;
	uint64_t token;
	uint64_t position; /* in the store of the unit; POSITION_NATURAL: at its end */
	bool alias;
	bool poll;
	char *session_name;
	struct luo_entry_meta meta;
	char *extra;
};

void parsed_entry_clear(struct parsed_entry *entry);

/* 0; -EBADMSG with the reason in *ret_what if it is to be skipped; -ENOMEM. */
int entry_from_json(struct json_object *o, enum luo_mapping_generation generation,
		    struct parsed_entry *entry, const char **ret_what);

/*
 * @session: the name of a further session; NULL: the main one, or none needs to be said
 * @position: where in the store it stood, if that is not what the order in the document says
 */
void entry_to_json(struct json_writer *w, const struct luo_entry *entry, const char *session,
		   size_t position);

/* Only type, name and where it lies: what v261 knows. */
void entry_to_json_v261(struct json_writer *w, const struct luo_entry *entry);

#endif
