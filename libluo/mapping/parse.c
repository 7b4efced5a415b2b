/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Reads a mapping from text. Any process that could write the session in the previous kernel could
 * write any text.
 *
 * The tree of json-c exists only inside luo_mapping_parse(). There are two kinds of failure: a
 * negative errno is returned at once, and the document is refused as a whole with a reason; an
 * issue is recorded, its subject is skipped, and reading continues.
 */

#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/json-scan.h"
#include "libluo/mapping/internal.h"
#include "libluo/mapping/own.h"
#include "libluo/store/internal.h"

/* Memory limit of the tree. 65,536 entries with all their keys take about half. */
#define TREE_MEMORY_MAX ((size_t)256 << 20)

/*
 * "position" is used for units with up to this many entries, because each use moves all entries
 * behind it.
 */
#define POSITIONS_MAX 8192

/* An alias, resolved when every token is known. */
struct alias {
	struct luo_entry *entry;
	size_t position; /* index in its array */
	bool spill;
};

struct parse {
	struct luo_mapping *mapping;
	size_t n_entries; /* in the document, skipped ones included */
	void *tokens;     /* tsearch(3) tree of the entries that defined a token */
	void *spills;     /* tsearch(3) tree of the places in mapping->spills */
	struct alias *aliases;
	size_t n_aliases;
	char *reason;
};

/* Where an array of entries is in the document. */
struct place {
	struct luo_unit *unit;
	const char *prefix; /* "units." */
	const char *key;    /* key of the unit, as in the document */
	const char *array;  /* ".fdstore" */
	bool spill;
};

static int refuse(struct parse *p, int r, const char *format, ...) _printf_(3, 4);

static int refuse(struct parse *p, int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	free(p->reason);
	if (vasprintf(&p->reason, format, args) < 0)
		p->reason = NULL;
	va_end(args);
	return r;
}

/* ---- tokens: each is defined once; only an alias names it again ---- */

static int token_compare(const void *a, const void *b)
{
	const struct luo_entry *x = a, *y = b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	return x->token < y->token ? -1 : x->token > y->token;
}

static bool token_is_defined(struct parse *p, unsigned session, uint64_t token)
{
	struct luo_entry key = { .session = session, .token = token };

	return tfind(&key, &p->tokens, token_compare);
}

static int token_define(struct parse *p, struct luo_entry *entry)
{
	return tsearch(entry, &p->tokens, token_compare) ? 0 : -ENOMEM;
}

static int alias_remember(struct parse *p, struct luo_entry *entry, size_t position, bool spill)
{
	struct alias *grown;

	/* grown at every power of two */
	if ((p->n_aliases & (p->n_aliases - 1)) == 0) {
		grown = reallocarray(p->aliases, MAX2(p->n_aliases * 2, (size_t)1), sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->aliases = grown;
	}
	p->aliases[p->n_aliases++] = (struct alias){ entry, position, spill };
	return 0;
}

static int alias_issue(struct parse *p, const struct alias *alias)
{
	static const char what[] = "an alias of a token that no entry has";
	const struct luo_unit *unit = alias->entry->unit;

	if (p->mapping->generation == LUO_MAPPING_V262)
		return mapping_issue(p->mapping, what, "units.%s.%s[%zu]", unit->name,
				     alias->spill ? "fdstoreSpill" : "fdstore", alias->position);
	return mapping_issue(p->mapping, what, "%s[%zu]", unit->cgroup ?: unit->name,
			     alias->position);
}

/*
 * Aliases may precede the entry that they refer to, because units are in no useful order, and the
 * entries of a unit are in the order in which it stored them.
 */
static int aliases_check(struct parse *p)
{
	struct luo_unit *u;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_aliases; i++) {
		struct luo_entry *e = p->aliases[i].entry;

		if (token_is_defined(p, e->session, e->token))
			continue;
		r = alias_issue(p, &p->aliases[i]);
		e->failed = -ENOENT;
	}
	LUO_FOREACH_UNIT (u, p->mapping->store)
		luo_unit_remove_failed(u);
	return r;
}

/* ---- the further sessions ---- */

static int spill_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The index of the session for entries, or -1. */
static int spill_find(struct parse *p, const char *name)
{
	char ***node = tfind(&name, &p->spills, spill_compare);

	return node ? (int)(*node - p->mapping->spills) + 1 : -1;
}

static int parse_spill(struct parse *p, struct json_object *value, size_t i)
{
	struct luo_mapping *m = p->mapping;
	const char *name = json_object_get_string(value);
	char **slot = &m->spills[m->n_spills];

	if (!json_object_is_type(value, json_type_string) ||
	    strlen(name) != (size_t)json_object_get_string_len(value) ||
	    !mapping_session_name_is_valid(name))
		return mapping_issue(m, "not the name of a session", "spillSessions[%zu]", i);
	if (spill_find(p, name) >= 0)
		return mapping_issue(m, "named twice", "spillSessions[%zu]", i);
	*slot = strdup(name);
	if (!*slot)
		return -ENOMEM;
	m->n_spills++;
	return tsearch(slot, &p->spills, spill_compare) ? 0 : -ENOMEM;
}

static int parse_spills(struct parse *p, struct json_object *root)
{
	struct json_object *list = NULL;
	size_t n;
	int r = 0;

	if (!json_object_object_get_ex(root, "spillSessions", &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return mapping_issue(p->mapping, "not an array", "spillSessions");
	n = json_object_array_length(list);
	if (n > LUO_MAPPING_SPILLS_MAX)
		return refuse(p, -E2BIG, "%zu further sessions, more than %d", n,
			      LUO_MAPPING_SPILLS_MAX);
	p->mapping->spills = calloc(n + 1, sizeof(char *));
	if (!p->mapping->spills)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = parse_spill(p, json_object_array_get_idx(list, i), i);
	return r;
}

/* ---- entries ---- */

/* The session of the entry; -EBADMSG if it is invalid. */
static int entry_session(struct parse *p, const struct place *place, const struct parsed_entry *e,
			 unsigned *ret_session, const char **ret_what)
{
	int index = e->session ? spill_find(p, e->session) : 0;

	if (place->spill && e->type == LUO_ENTRY_SESSION)
		*ret_what = "a LUO session cannot be in another session";
	else if (!place->spill && e->session)
		*ret_what = "\"session\" outside of fdstoreSpill";
	else if (index < 0)
		*ret_what = "\"session\" is not in spillSessions";
	else if (e->type == LUO_ENTRY_FD && !e->alias &&
		 token_is_defined(p, (unsigned)index, e->token))
		*ret_what = "the token belongs to an earlier entry";
	if (*ret_what)
		return -EBADMSG;
	*ret_session = (unsigned)index;
	return 0;
}

static int add_entry(struct parse *p, const struct place *place, struct parsed_entry *e,
		     unsigned session, size_t position)
{
	struct luo_entry *entry;
	int r;

	r = luo_unit_add_lazy(place->unit, e->name, e->type, session, e->token, &entry);
	if (r < 0)
		return r;
	entry->alias = e->alias;
	entry->poll = e->poll;
	entry->session_name = TAKE_PTR(e->session_name);
	entry->extra = TAKE_PTR(e->extra);
	entry->meta = e->meta;
	memset(&e->meta, 0, sizeof(e->meta));
	/* Moving an entry moves all entries behind it; no honest document has so many. */
	if (place->spill && entry->index <= POSITIONS_MAX)
		luo_entry_move_forward(entry, e->position);
	if (entry->type == LUO_ENTRY_SESSION)
		return 0;
	return entry->alias ? alias_remember(p, entry, position, place->spill)
			    : token_define(p, entry);
}

static int parse_entry(struct parse *p, const struct place *place, struct json_object *value,
		       size_t i)
{
	_cleanup_(parsed_entry_clear) struct parsed_entry e = { .position = POSITION_NATURAL };
	const char *what = NULL;
	unsigned session = 0;
	int r;

	r = entry_from_json(value, p->mapping->generation, &e, &what);
	if (r == 0)
		r = entry_session(p, place, &e, &session, &what);
	if (r == -EBADMSG)
		return mapping_issue(p->mapping, what, "%s%s%s[%zu]", place->prefix, place->key,
				     place->array, i);
	if (r < 0)
		return r;
	return add_entry(p, place, &e, session, i);
}

static int parse_array(struct parse *p, const struct place *place, struct json_object *list)
{
	size_t n;
	int r = 0;

	if (!json_object_is_type(list, json_type_array))
		return mapping_issue(p->mapping, "not an array", "%s%s%s", place->prefix,
				     place->key, place->array);
	n = json_object_array_length(list);
	p->n_entries += n;
	if (p->n_entries > LUO_MAPPING_ENTRIES_MAX)
		return refuse(p, -E2BIG, "more than %d entries", LUO_MAPPING_ENTRIES_MAX);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = parse_entry(p, place, json_object_array_get_idx(list, i), i);
	return r;
}

static int check_n_units(struct parse *p, struct json_object *units)
{
	int n = json_object_object_length(units);

	if (n > LUO_MAPPING_UNITS_MAX)
		return refuse(p, -E2BIG, "%d units, more than %d", n, LUO_MAPPING_UNITS_MAX);
	return 0;
}

/* ---- v262 ---- */

static int parse_unit_cgroup(struct parse *p, struct luo_unit *unit, struct json_object *o)
{
	const char *cgroup = NULL;
	int r;

	r = member_string(o, "cgroup", PATH_MAX, &cgroup);
	if (r == 0)
		return 0;
	if (r < 0 || !luo_cgroup_is_valid(cgroup))
		return mapping_issue(p->mapping, "not the path of a cgroup", "units.%s.cgroup",
				     unit->name);
	return luo_store_add_unit(unit->store, unit->name, cgroup, NULL);
}

static int parse_unit_max(struct parse *p, struct luo_unit *unit, struct json_object *o)
{
	uint64_t max = 0;

	if (member_number(o, "fdstoreMax", UINT_MAX, &max) < 0)
		return mapping_issue(p->mapping, "not a number of fds", "units.%s.fdstoreMax",
				     unit->name);
	unit->fdstore_max = (unsigned)max;
	return 0;
}

static int parse_unit_array(struct parse *p, struct luo_unit *unit, struct json_object *o,
			    const char *key, bool spill)
{
	const struct place place = { unit, "units.", unit->name,
				     spill ? ".fdstoreSpill" : ".fdstore", spill };
	struct json_object *list = NULL;

	json_object_object_get_ex(o, key, &list);
	return list ? parse_array(p, &place, list) : 0;
}

static int parse_unit(struct parse *p, const char *name, struct json_object *o)
{
	static const char *const known[] = { "fdstore", "fdstoreSpill", "cgroup", "fdstoreMax",
					     NULL };
	struct luo_unit *unit;
	int r;

	if (!luo_unit_name_is_valid(name))
		return mapping_issue(p->mapping, "not the name of a unit", "units.%s", name);
	if (!json_object_is_type(o, json_type_object))
		return mapping_issue(p->mapping, "not an object", "units.%s", name);
	r = luo_store_add_unit(p->mapping->store, name, NULL, &unit);
	if (r == 0)
		r = parse_unit_cgroup(p, unit, o);
	if (r == 0)
		r = parse_unit_max(p, unit, o);
	if (r == 0)
		r = parse_unit_array(p, unit, o, "fdstore", false);
	if (r == 0)
		r = parse_unit_array(p, unit, o, "fdstoreSpill", true);
	if (r == 0)
		r = members_extra(o, known, &unit->extra);
	return r;
}

/* UINT64_MAX is systemd's "never", and json-c's value for every larger number. */
static int parse_moment(struct parse *p, struct json_object *state, const char *key,
			struct luo_timestamp *ret)
{
	struct luo_timestamp t = { 0 };
	struct json_object *o = NULL;

	json_object_object_get_ex(state, key, &o);
	if (!o)
		return 0;
	if (!json_object_is_type(o, json_type_object) ||
	    member_number(o, "realtime", UINT64_MAX - 1, &t.realtime) < 0 ||
	    member_number(o, "monotonic", UINT64_MAX - 1, &t.monotonic) < 0)
		return mapping_issue(p->mapping, "not a timestamp", "state.%s", key);
	*ret = t;
	return 0;
}

static int parse_kexec_count(struct parse *p, struct json_object *state)
{
	struct luo_mapping_state *s = &p->mapping->state;
	int r;

	r = member_number(state, "KExecCount", UINT64_MAX - 1, &s->kexec_count);
	if (r == 0)
		r = member_number(state, "kexecsCount", UINT64_MAX - 1, &s->kexec_count);
	if (r < 0)
		return mapping_issue(p->mapping, "not a number", "state.KExecCount");
	s->have_kexec_count = r > 0;
	return 0;
}

static int parse_state(struct parse *p, struct json_object *root)
{
	static const char *const known[] = { "KExecCount",
					     "kexecsCount",
					     "ShutdownStartTimestamp",
					     "ShutdownFinishTimestamp",
					     "ShutdownLateStartTimestamp",
					     "ShutdownLateFinishTimestamp",
					     NULL };
	struct luo_mapping_state *s = &p->mapping->state;
	struct luo_timestamp *moments[] = { &s->shutdown_start, &s->shutdown_finish,
					    &s->shutdown_late_start, &s->shutdown_late_finish };
	struct json_object *state = NULL;
	int r;

	json_object_object_get_ex(root, "state", &state);
	if (!state)
		return 0;
	if (!json_object_is_type(state, json_type_object))
		return mapping_issue(p->mapping, "not an object", "state");
	r = parse_kexec_count(p, state);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(moments); i++)
		r = parse_moment(p, state, known[2 + i], moments[i]);
	if (r == 0)
		r = members_extra(state, known, &p->mapping->state_extra);
	return r;
}

/*
 * The unknown keys of the top level. In a document for both versions, the arrays named after units
 * repeat what "units" says; the writer makes them again.
 */
static int parse_top_extra(struct parse *p, struct json_object *root, struct json_object *units)
{
	static const char *const fixed[] = { "version", "state", "units", "spillSessions" };
	size_t n = 0, max = (size_t)json_object_object_length(root);
	_cleanup_free_ const char **known = NULL;

	known = calloc(max + ELEMENTSOF(fixed) + 1, sizeof(*known));
	if (!known)
		return -ENOMEM;
	for (; n < ELEMENTSOF(fixed); n++)
		known[n] = fixed[n];
	json_object_object_foreach(
		root, key, value) if (json_object_is_type(value, json_type_array) &&
				      json_object_object_get_ex(units, key, NULL)) known[n++] = key;
	return members_extra(root, known, &p->mapping->extra);
}

static int parse_version(struct parse *p, struct json_object *root)
{
	uint64_t version = 0;

	if (member_number(root, "version", UINT64_MAX, &version) <= 0 || version < 1)
		return refuse(p, -EBADMSG, "the version is not a number from 1 on");
	if (version > MAPPING_VERSION)
		return refuse(p, -EPROTONOSUPPORT,
			      "version %ju is not supported; the newest supported version is %d",
			      (uintmax_t)version, MAPPING_VERSION);
	p->mapping->version = version;
	return 0;
}

static int parse_v262(struct parse *p, struct json_object *root)
{
	struct json_object *units = NULL;
	int r;

	r = parse_version(p, root);
	if (r < 0)
		return r;
	json_object_object_get_ex(root, "units", &units);
	if (!json_object_is_type(units, json_type_object))
		return refuse(p, -EBADMSG, "\"units\" is not an object");
	r = check_n_units(p, units);
	if (r == 0)
		r = parse_state(p, root);
	if (r == 0)
		r = parse_spills(p, root);
	json_object_object_foreach(units, name, unit) r = r < 0 ? r : parse_unit(p, name, unit);
	return r < 0 ? r : parse_top_extra(p, root, units);
}

/* ---- draft and v261: arrays of entries, by cgroup path or by unit name ---- */

/* Unit types that have processes; a slice only leads to them. */
static bool names_a_unit(const char *component)
{
	static const char *const suffixes[] = { ".service", ".socket", ".scope", ".mount",
						".swap" };
	const char *dot = strrchr(component, '.');

	for (size_t i = 0; dot && i < ELEMENTSOF(suffixes); i++)
		if (streq(dot, suffixes[i]))
			return dot != component;
	return false;
}

/*
 * The unit of a cgroup: the last component that looks like one, because a service may have cgroups
 * below its own; without systemd, the last component.
 */
static int unit_of_cgroup(const char *cgroup, char **ret_name)
{
	_cleanup_free_ char *copy = strdup(cgroup), *name = NULL;
	const char *best = strrchr(cgroup, '/') + 1;
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save))
		if (names_a_unit(c))
			best = c;
	name = strdup(best);
	if (!name)
		return -ENOMEM;
	*ret_name = TAKE_PTR(name);
	return 0;
}

static int parse_flat_unit(struct parse *p, const char *key, const char *name, const char *cgroup,
			   struct json_object *list)
{
	struct place place = { .prefix = "", .key = key, .array = "" };
	int r;

	if (!luo_unit_name_is_valid(name) || (cgroup && !luo_cgroup_is_valid(cgroup)))
		return mapping_issue(p->mapping, "not the name of a unit", "%s", key);
	if (luo_store_find_unit(p->mapping->store, name))
		return mapping_issue(p->mapping, "the same unit twice", "%s", key);
	r = luo_store_add_unit(p->mapping->store, name, cgroup, &place.unit);
	return r < 0 ? r : parse_array(p, &place, list);
}

static int parse_draft_unit(struct parse *p, const char *path, struct json_object *list)
{
	_cleanup_free_ char *name = NULL;
	int r;

	r = unit_of_cgroup(path, &name);
	return r < 0 ? r : parse_flat_unit(p, path, name, path, list);
}

static int parse_flat(struct parse *p, struct json_object *root)
{
	bool draft = p->mapping->generation == LUO_MAPPING_DRAFT;
	int r;

	r = check_n_units(p, root);
	json_object_object_foreach(root, key, list)
	{
		if (r < 0)
			break;
		r = draft ? parse_draft_unit(p, key, list)
			  : parse_flat_unit(p, key, key, NULL, list);
	}
	return r;
}

/* ---- the document ---- */

/*
 * Finds out which of the three forms the document has. A unit may be called "version"; its value is
 * then an array.
 */
static int find_generation(struct parse *p, struct json_object *root)
{
	struct json_object *version = NULL;
	size_t n = 0, n_paths = 0;

	if (json_object_object_get_ex(root, "version", &version) &&
	    !json_object_is_type(version, json_type_array)) {
		p->mapping->generation = LUO_MAPPING_V262;
		return 0;
	}
	json_object_object_foreach(root, key, value)
	{
		if (!json_object_is_type(value, json_type_array))
			return refuse(p, -EBADMSG, "neither a version nor only arrays by unit");
		n++;
		n_paths += key[0] == '/';
	}
	if (n_paths != 0 && n_paths != n)
		return refuse(p, -EBADMSG, "cgroup paths and unit names mixed");
	p->mapping->generation = n_paths ? LUO_MAPPING_DRAFT : LUO_MAPPING_V261;
	return 0;
}

static int parse_root(struct parse *p, struct json_object *root)
{
	int r;

	if (!json_object_is_type(root, json_type_object))
		return refuse(p, -EBADMSG, "not a JSON object");
	r = find_generation(p, root);
	if (r < 0)
		return r;
	return p->mapping->generation == LUO_MAPPING_V262 ? parse_v262(p, root)
							  : parse_flat(p, root);
}

static int text_to_tree(struct parse *p, const char *text, size_t size,
			struct json_object **ret_root)
{
	static const struct json_limits limits = { LUO_MAPPING_DEPTH_MAX, TREE_MEMORY_MAX };
	const char *reason;
	size_t at;
	int r;

	if (size > LUO_MAPPING_SIZE_MAX)
		return refuse(p, -E2BIG, "larger than 64 MiB");
	r = json_parse_limited(text, size, &limits, ret_root, &reason, &at);
	if (r == -ENOMEM)
		return r;
	return r < 0 ? refuse(p, r, "%s, at byte %zu", reason, at) : 0;
}

static void keep_node(void *node)
{
	/* the mapping owns what the trees point to */
}

static int parse_text(struct parse *p, const char *text, size_t size)
{
	_cleanup_json_ struct json_object *root = NULL;
	int r;

	r = luo_mapping_new(&p->mapping);
	if (r == 0)
		r = text_to_tree(p, text, size, &root);
	if (r == 0)
		r = parse_root(p, root);
	if (r == 0)
		r = aliases_check(p);
	free(p->aliases);
	tdestroy(p->tokens, keep_node);
	tdestroy(p->spills, keep_node);
	return r;
}

int mapping_parse_any(const char *text, size_t size, struct luo_mapping **ret_mapping,
		      char **ret_reason)
{
	struct parse p = { 0 };
	int r;

	r = parse_text(&p, text, size);
	if (r == 0) {
		*ret_mapping = p.mapping;
		free(p.reason);
		return 0;
	}
	luo_mapping_free(p.mapping);
	if (ret_reason)
		*ret_reason = p.reason ?: strdup(r == -ENOMEM ? "out of memory" : "not valid");
	else
		free(p.reason);
	return r;
}

_public_ int luo_mapping_parse(const char *text, size_t size, struct luo_mapping **ret_mapping,
			       char **ret_reason)
{
	int r;

	if ((!text && size) || !ret_mapping)
		return -EINVAL;
	r = mapping_parse_own(text, size, ret_mapping);
	if (r > 0)
		return 0;
	/* The caller reports out of memory, because it has the text for it. */
	return mapping_parse_any(text, size, ret_mapping, ret_reason);
}
