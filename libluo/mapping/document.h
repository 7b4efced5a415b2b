/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_MAPPING_DOCUMENT_H
#define LIBLUO_MAPPING_DOCUMENT_H

/* A mapping as the library and luod see it. An application has getters only. */

#include <luo/mapping.h>

/* One thing that was wrong and was skipped. */
struct luo_mapping_issue {
	char *where; /* "units.a.service.fdstore[3]" */
	char *what;  /* "token 0 is the mapping itself" */
};

struct luo_mapping {
	enum luo_mapping_generation generation;
	uint64_t version;
	struct luo_store *store; /* owned; units with lazy entries */
	struct luo_mapping_state state;
	char **spills; /* names of further sessions; entry->session is 1 + index of this */
	size_t n_spills;
	struct luo_mapping_issue *issues;
	size_t n_issues;     /* at most 100 are kept ... */
	size_t n_all_issues; /* ... of so many */
	char *extra;         /* unknown top-level keys, as the text of a JSON object; or NULL */
	char *state_extra;   /* unknown keys of "state" */
};

/* Copies a state that a caller allocated, of whatever size; see common/sized-struct.h. */
int luo_mapping_state_read(const struct luo_mapping_state *from, struct luo_mapping_state *to);

#endif
