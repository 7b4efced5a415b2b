/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_MAPPING_COMPARE_H
#define TESTS_MAPPING_COMPARE_H

/* Whether two mappings say the same; for the unit test and the fuzzer. */

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <luo/mapping.h>

#include "libluo/mapping/document.h"
#include "libluo/store/internal.h"

static inline bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A default has no key, so that it is not known any more after a round trip. */
static inline bool same_inode(const struct luo_entry_meta *a, const struct luo_entry_meta *b)
{
	mode_t ma = a->known & LUO_META_MODE ? a->mode : 0777;
	mode_t mb = b->known & LUO_META_MODE ? b->mode : 0777;

	return ma == mb && a->uid == b->uid && a->gid == b->gid && a->seals == b->seals &&
	       same_text(a->file_name, b->file_name);
}

static inline int open_flags(const struct luo_entry_meta *m)
{
	return m->known & LUO_META_OPEN_FLAGS ? m->open_flags : O_RDWR;
}

static inline bool same_meta(const struct luo_entry_meta *a, const struct luo_entry_meta *b)
{
	const unsigned kept = LUO_META_SIZE | LUO_META_OFFSET | LUO_META_STORED_AT;

	return same_inode(a, b) && (a->known & kept) == (b->known & kept) && a->size == b->size &&
	       a->offset == b->offset && a->stored_at == b->stored_at &&
	       open_flags(a) == open_flags(b) && a->packed == b->packed &&
	       a->n_extents == b->n_extents &&
	       (a->n_extents == 0 ||
		memcmp(a->extents, b->extents, a->n_extents * sizeof(*a->extents)) == 0);
}

static inline bool same_entry(const struct luo_entry *a, const struct luo_entry *b)
{
	return strcmp(a->name, b->name) == 0 && a->type == b->type && a->session == b->session &&
	       a->token == b->token && a->alias == b->alias && a->poll == b->poll &&
	       same_text(a->session_name, b->session_name) && same_text(a->extra, b->extra) &&
	       same_meta(&a->meta, &b->meta);
}

/* By where they lie: writing may put those that systemd must not see behind the others. */
static inline int compare_place(const void *a, const void *b)
{
	const struct luo_entry *x = *(struct luo_entry *const *)a;
	const struct luo_entry *y = *(struct luo_entry *const *)b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static inline struct luo_entry **sorted_entries(const struct luo_unit *u)
{
	struct luo_entry **e = calloc(u->n_entries + 1, sizeof(*e));

	if (!e)
		abort();
	for (size_t i = 0; i < u->n_entries; i++)
		e[i] = u->entries[i];
	qsort(e, u->n_entries, sizeof(*e), compare_place);
	return e;
}

static inline bool same_unit(const struct luo_unit *a, const struct luo_unit *b)
{
	struct luo_entry **ea, **eb;
	bool same;

	same = strcmp(a->name, b->name) == 0 && same_text(a->cgroup, b->cgroup) &&
	       a->fdstore_max == b->fdstore_max && same_text(a->extra, b->extra) &&
	       a->n_entries == b->n_entries;
	if (!same)
		return false;
	ea = sorted_entries(a);
	eb = sorted_entries(b);
	for (size_t i = 0; i < a->n_entries; i++)
		same = same && same_entry(ea[i], eb[i]);
	free(ea);
	free(eb);
	return same;
}

static inline bool same_units(const struct luo_mapping *a, const struct luo_mapping *b)
{
	struct luo_unit *u;

	if (luo_store_n_units(a->store) != luo_store_n_units(b->store))
		return false;
	LUO_FOREACH_UNIT (u, a->store)
		if (!same_unit(u, luo_store_unit_at(b->store, u->index)))
			return false;
	return true;
}

/* Not the generation, and not the unknown keys of the top level, which format flags may thin out.
 */
static inline bool same_mapping(const struct luo_mapping *a, const struct luo_mapping *b)
{
	if (a->n_spills != b->n_spills || !same_text(a->state_extra, b->state_extra) ||
	    memcmp(&a->state, &b->state, sizeof(a->state)) != 0)
		return false;
	for (size_t i = 0; i < a->n_spills; i++)
		if (strcmp(a->spills[i], b->spills[i]) != 0)
			return false;
	return same_units(a, b);
}

#endif
