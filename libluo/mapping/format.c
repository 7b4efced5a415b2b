/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Writes a mapping as text: v262 with keys of our own.
 *
 * systemd reads "fdstore" and passes the file behind each token to the unit unchanged. A packed
 * copy is not what the service stored, so systemd must not find it there. Such entries are in
 * "fdstoreSpill", which systemd ignores, without a "session", which means the main one. Their
 * aliases are there too, because they name the same token.
 */

#include <search.h>

#include "libluo/mapping/internal.h"

struct format {
	const struct luo_mapping *mapping;
	struct json_writer w;
	unsigned flags;
	void *packed; /* tsearch(3) tree of the packed entries of the main session */
};

/* ---- which array an entry belongs to ---- */

static int token_compare(const void *a, const void *b)
{
	const struct luo_entry *x = a, *y = b;

	return x->token < y->token ? -1 : x->token > y->token;
}

/* A copy that has every byte at its original offset is as good as the file. */
static bool lies_as_it_was(const struct luo_entry_meta *m)
{
	if (!m->packed)
		return true;
	if (m->size == 0)
		return true;
	return m->n_extents == 1 && m->extents[0].offset == 0 && m->extents[0].length == m->size;
}

static int find_packed(struct format *f)
{
	struct luo_unit *u;
	struct luo_entry *e;

	LUO_FOREACH_UNIT (u, f->mapping->store)
		LUO_FOREACH_ENTRY (e, u)
			if (e->type == LUO_ENTRY_FD && e->session == 0 &&
			    !lies_as_it_was(&e->meta) && !tsearch(e, &f->packed, token_compare))
				return -ENOMEM;
	return 0;
}

/* The session is not in the kernel, or JSON cannot express its name. */
static bool is_left_out(const struct luo_entry *e)
{
	if (e->type == LUO_ENTRY_FD)
		return e->token == LUO_TOKEN_MAPPING || e->token > LUO_TOKEN_MAX;
	return !mapping_session_name_is_valid(e->session_name) || !utf8_is_valid(e->session_name);
}

static bool is_for_systemd(struct format *f, const struct luo_entry *e)
{
	if (e->type == LUO_ENTRY_SESSION)
		return true;
	return e->session == 0 && !tfind(e, &f->packed, token_compare);
}

/* ---- units ---- */

static void write_main(struct format *f, const struct luo_unit *u, const char *key, bool v261)
{
	struct luo_entry *e;

	jw_key(&f->w, key);
	jw_open(&f->w, '[');
	LUO_FOREACH_ENTRY (e, u) {
		if (is_left_out(e) || !is_for_systemd(f, e))
			continue;
		if (v261)
			entry_to_json_v261(&f->w, e);
		else
			entry_to_json(&f->w, e, NULL, POSITION_NATURAL);
	}
	jw_close(&f->w, ']');
}

static size_t count_main(struct format *f, const struct luo_unit *u)
{
	struct luo_entry *e;
	size_t n = 0;

	LUO_FOREACH_ENTRY (e, u)
		n += !is_left_out(e) && is_for_systemd(f, e);
	return n;
}

/*
 * The order of a store matters, because a service may have several fds of one name. An entry that
 * the reader would place behind entries that it preceded says its position.
 */
static void write_spill(struct format *f, const struct luo_unit *u)
{
	size_t place = 0, natural = count_main(f, u);
	struct luo_entry *e;
	bool any = false;

	LUO_FOREACH_ENTRY (e, u) {
		if (is_left_out(e))
			continue;
		place++;
		if (is_for_systemd(f, e))
			continue;
		if (!any) {
			jw_key(&f->w, "fdstoreSpill");
			jw_open(&f->w, '[');
		}
		any = true;
		entry_to_json(&f->w, e, e->session ? f->mapping->spills[e->session - 1] : NULL,
			      place - 1 == natural ? POSITION_NATURAL : place - 1);
		natural++;
	}
	if (any)
		jw_close(&f->w, ']');
}

static void write_unit(struct format *f, const struct luo_unit *u)
{
	jw_key(&f->w, u->name);
	jw_open(&f->w, '{');
	write_main(f, u, "fdstore", false);
	write_spill(f, u);
	if (u->cgroup && utf8_is_valid(u->cgroup)) {
		jw_key(&f->w, "cgroup");
		jw_string(&f->w, u->cgroup);
	}
	if (u->fdstore_max) {
		jw_key(&f->w, "fdstoreMax");
		jw_number(&f->w, u->fdstore_max);
	}
	jw_members(&f->w, u->extra);
	jw_close(&f->w, '}');
}

static void write_units(struct format *f)
{
	struct luo_unit *u;

	jw_key(&f->w, "units");
	jw_open(&f->w, '{');
	LUO_FOREACH_UNIT (u, f->mapping->store)
		write_unit(f, u);
	jw_close(&f->w, '}');
}

/* ---- the rest of the top level ---- */

static void write_moment(struct json_writer *w, const char *key, const struct luo_timestamp *t)
{
	if (t->realtime == 0 && t->monotonic == 0)
		return;
	jw_key(w, key);
	jw_open(w, '{');
	jw_key(w, "realtime");
	jw_number(w, t->realtime);
	jw_key(w, "monotonic");
	jw_number(w, t->monotonic);
	jw_close(w, '}');
}

static void write_state(struct format *f)
{
	const struct luo_mapping_state *s = &f->mapping->state;
	struct json_writer *w = &f->w;

	jw_key(w, "state");
	jw_open(w, '{');
	if (s->have_kexec_count) {
		jw_key(w, "KExecCount");
		jw_number(w, s->kexec_count);
	}
	write_moment(w, "ShutdownStartTimestamp", &s->shutdown_start);
	write_moment(w, "ShutdownFinishTimestamp", &s->shutdown_finish);
	write_moment(w, "ShutdownLateStartTimestamp", &s->shutdown_late_start);
	write_moment(w, "ShutdownLateFinishTimestamp", &s->shutdown_late_finish);
	jw_members(w, f->mapping->state_extra);
	jw_close(w, '}');
}

static void write_spills(struct format *f)
{
	if (f->mapping->n_spills == 0)
		return;
	jw_key(&f->w, "spillSessions");
	jw_open(&f->w, '[');
	for (size_t i = 0; i < f->mapping->n_spills; i++)
		jw_string(&f->w, f->mapping->spills[i]);
	jw_close(&f->w, ']');
}

/* Keys of the top level that a unit's name could equal. */
static bool is_reserved(const char *name)
{
	return streq(name, "version") || streq(name, "state") || streq(name, "units") ||
	       streq(name, "spillSessions");
}

/* v261 has its units at the top level, so an unknown key with the name of a unit is dropped. */
static int write_extra_beside_units(struct format *f)
{
	_cleanup_json_ struct json_object *extra = NULL;
	const char *text;

	if (!f->mapping->extra)
		return 0;
	extra = json_tokener_parse(f->mapping->extra);
	if (!extra)
		return -ENOMEM;
	json_object_object_foreach(extra, key, value)
	{
		if (luo_store_find_unit(f->mapping->store, key))
			continue;
		text = json_object_to_json_string_ext(
			value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
		if (!text)
			return -ENOMEM;
		jw_key(&f->w, key);
		jw_raw(&f->w, text);
	}
	return 0;
}

static int write_v261(struct format *f)
{
	struct luo_unit *u;
	int r;

	r = write_extra_beside_units(f);
	LUO_FOREACH_UNIT (u, f->mapping->store)
		if (r == 0 && !is_reserved(u->name))
			write_main(f, u, u->name, true);
	return r;
}

static int write_document(struct format *f)
{
	int r = 0;

	jw_open(&f->w, '{');
	jw_key(&f->w, "version");
	jw_number(&f->w, MAPPING_VERSION);
	write_state(f);
	write_spills(f);
	write_units(f);
	if (f->flags & LUO_MAPPING_FORMAT_V261)
		r = write_v261(f);
	else
		jw_members(&f->w, f->mapping->extra);
	jw_close(&f->w, '}');
	return r;
}

/* ---- for people ---- */

static int make_pretty(char **text, size_t *size)
{
	_cleanup_json_ struct json_object *root = NULL;
	struct json_tokener *tokener;
	const char *pretty;
	char *copy;

	tokener = json_tokener_new_ex(2 * LUO_MAPPING_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	root = json_tokener_parse_ex(tokener, *text, (int)*size);
	json_tokener_free(tokener);
	pretty = root ? json_object_to_json_string_length(root,
							  JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_SPACED |
								  JSON_C_TO_STRING_NOSLASHESCAPE,
							  size)
		      : NULL;
	copy = pretty ? strdup(pretty) : NULL;
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

/* ---- the entry point ---- */

/* A packed copy without its description must not be written as if it were the file. */
static bool entry_is_consistent(const struct luo_mapping *m, const struct luo_entry *e)
{
	if (e->type == LUO_ENTRY_FD && e->session > m->n_spills)
		return false;
	return !e->meta.packed || (e->meta.known & LUO_META_SIZE && e->meta.size <= INT64_MAX &&
				   e->meta.n_extents <= LUO_MAPPING_EXTENTS_MAX);
}

static bool is_consistent(const struct luo_mapping *m)
{
	struct luo_unit *u;
	struct luo_entry *e;

	for (size_t i = 0; i < m->n_spills; i++)
		if (!mapping_session_name_is_valid(m->spills[i]) || !utf8_is_valid(m->spills[i]))
			return false;
	LUO_FOREACH_UNIT (u, m->store)
		LUO_FOREACH_ENTRY (e, u)
			if (!entry_is_consistent(m, e))
				return false;
	return true;
}

static void keep_node(void *node)
{
	/* the entries belong to the store */
}

_public_ int luo_mapping_format(const struct luo_mapping *mapping, unsigned flags, char **ret_text,
				size_t *ret_size)
{
	struct format f = { .mapping = mapping, .flags = flags };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!mapping || !ret_text || !is_consistent(mapping) ||
	    (flags & ~(unsigned)(LUO_MAPPING_FORMAT_PRETTY | LUO_MAPPING_FORMAT_V261)))
		return -EINVAL;
	r = find_packed(&f);
	if (r == 0)
		r = write_document(&f);
	tdestroy(f.packed, keep_node);
	if (r == 0)
		r = jw_take(&f.w, &text, &size);
	if (r == 0 && flags & LUO_MAPPING_FORMAT_PRETTY)
		r = make_pretty(&text, &size);
	jw_clear(&f.w);
	if (r < 0)
		return r;
	*ret_text = TAKE_PTR(text);
	if (ret_size)
		*ret_size = size;
	return 0;
}
