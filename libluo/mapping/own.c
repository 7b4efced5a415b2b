/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A fast reader for documents that format.c of this version wrote.
 *
 * After a kexec every service waits until the mapping is read, and building a tree of JSON objects
 * takes ten times as long as retrieving the files. So a document is first compared with the one
 * form that our writer produces: no blanks, no escapes, the keys in its order, the tokens of each
 * session counted up from 1. At the first byte that differs, this reader gives up, and parse.c,
 * which understands every form and can say what is invalid, starts from the beginning. So this file
 * decides only that a document is ours, complete and valid. The unit test and the fuzzer check that
 * both readers give the same answer.
 *
 * Rare things are left to parse.c on purpose: LUO sessions, packed files, unknown keys.
 */

#include <fcntl.h>
#include <limits.h>

#include "libluo/mapping/own.h"

#define TEXT_MAX 255 /* of names; our writer makes no longer ones */

struct text {
	const char *at;
	const char *end;
};

struct own {
	struct text t;
	struct luo_mapping *mapping;
	uint64_t *last; /* highest token so far, by session */
	size_t n_entries;
};

/* A string inside the document, not terminated. */
struct piece {
	const char *s;
	size_t n;
};

/* ---- the smallest parts: true if the part matched; the position is then behind it ---- */

static bool is(struct text *t, const char *literal, size_t n)
{
	if ((size_t)(t->end - t->at) < n || memcmp(t->at, literal, n) != 0)
		return false;
	t->at += n;
	return true;
}
#define IS(t, literal) is((t), (literal), sizeof(literal) - 1)

/* Digits of a JSON number; 18 of them always fit. */
static bool number(struct text *t, uint64_t max, uint64_t *ret)
{
	const char *from = t->at;
	uint64_t value = 0;

	while (t->at < t->end && *t->at >= '0' && *t->at <= '9' && t->at - from < 18)
		value = value * 10 + (uint64_t)(*t->at++ - '0');
	if (t->at == from || (*from == '0' && t->at - from > 1) || value > max)
		return false;
	/* The caller checks what follows: none of its literals starts with a digit. */
	*ret = value;
	return true;
}

/* A string with its quotes: printable ASCII without escapes. */
static bool string(struct text *t, struct piece *ret)
{
	const char *s;

	if (!IS(t, "\""))
		return false;
	for (s = t->at; s < t->end && *s != '"'; s++)
		if (*s < ' ' || *s >= 127 || *s == '\\')
			return false;
	if (s == t->end || s == t->at || s - t->at > TEXT_MAX)
		return false;
	*ret = (struct piece){ t->at, (size_t)(s - t->at) };
	t->at = s + 1;
	return true;
}

/* Reads ,"key":N if it is present; false if the value is invalid. */
static bool maybe_number(struct text *t, const char *key, size_t n, uint64_t max, unsigned flag,
			 struct luo_entry_meta *m, uint64_t *ret)
{
	if (!is(t, key, n))
		return true;
	m->known |= flag;
	return number(t, max, ret);
}
#define MAYBE_NUMBER(t, key, max, flag, m, ret) \
	maybe_number((t), ",\"" key "\":", sizeof(",\"" key "\":") - 1, (max), (flag), (m), (ret))

/* ---- one entry ---- */

struct own_entry {
	char name[TEXT_MAX + 1];
	struct piece session, file_name;
	uint64_t token;
	bool alias, poll;
	struct luo_entry_meta meta;
};

static bool read_owner(struct text *t, struct luo_entry_meta *m)
{
	uint64_t uid, gid;

	if (!IS(t, ",\"uid\":"))
		return true;
	if (!number(t, UINT32_MAX - 1, &uid) || !IS(t, ",\"gid\":") ||
	    !number(t, UINT32_MAX - 1, &gid))
		return false;
	m->uid = (uid_t)uid;
	m->gid = (gid_t)gid;
	m->known |= LUO_META_OWNER;
	return true;
}

static void read_access(struct text *t, struct luo_entry_meta *m)
{
	bool said = true;

	m->open_flags = O_RDWR;
	if (IS(t, ",\"access\":\"ro\""))
		m->open_flags = O_RDONLY;
	else if (IS(t, ",\"access\":\"wo\""))
		m->open_flags = O_WRONLY;
	else
		said = false;
	if (IS(t, ",\"append\":true")) {
		m->open_flags |= O_APPEND;
		said = true;
	}
	if (said)
		m->known |= LUO_META_OPEN_FLAGS;
}

static bool read_meta(struct text *t, struct luo_entry_meta *m)
{
	uint64_t mode = 0, seals = 0;

	if (!MAYBE_NUMBER(t, "mode", 07777, LUO_META_MODE, m, &mode) || !read_owner(t, m) ||
	    !MAYBE_NUMBER(t, "seals", 0x3f, LUO_META_SEALS, m, &seals))
		return false;
	m->mode = (mode_t)mode;
	m->seals = (unsigned)seals;
	read_access(t, m);
	return MAYBE_NUMBER(t, "size", INT64_MAX, LUO_META_SIZE, m, &m->size) &&
	       MAYBE_NUMBER(t, "offset", INT64_MAX, LUO_META_OFFSET, m, &m->offset) &&
	       MAYBE_NUMBER(t, "storedAt", INT64_MAX, LUO_META_STORED_AT, m, &m->stored_at);
}

static bool read_entry(struct text *t, bool spill, struct own_entry *e)
{
	struct piece name;

	memset(&e->session, 0, sizeof(*e) - offsetof(struct own_entry, session));
	e->poll = true;
	if (!IS(t, "{\"type\":\"fd\",\"name\":") || !string(t, &name) || !IS(t, ",\"token\":") ||
	    !number(t, LUO_TOKEN_MAX, &e->token))
		return false;
	memcpy(e->name, name.s, name.n);
	e->name[name.n] = '\0';
	if (spill && (!IS(t, ",\"session\":") || !string(t, &e->session)))
		return false;
	if (IS(t, ",\"fileName\":") && !string(t, &e->file_name))
		return false;
	if (!read_meta(t, &e->meta))
		return false;
	if (IS(t, ",\"poll\":false"))
		e->poll = false;
	if (IS(t, ",\"alias\":true"))
		e->alias = true;
	return IS(t, "}");
}

/*
 * Further sessions are named "NAME.1", "NAME.2" and so on, in their order; the number is the index.
 */
static bool find_session(const struct own *o, struct piece name, unsigned *ret)
{
	const struct luo_mapping *m = o->mapping;
	size_t index = 0, scale = 1;

	for (size_t i = name.n; i > 0 && name.s[i - 1] != '.' && scale < 100000; i--, scale *= 10) {
		if (name.s[i - 1] < '0' || name.s[i - 1] > '9')
			return false;
		index += (size_t)(name.s[i - 1] - '0') * scale;
	}
	if (index == 0 || index > m->n_spills || strlen(m->spills[index - 1]) != name.n ||
	    memcmp(m->spills[index - 1], name.s, name.n) != 0)
		return false;
	*ret = (unsigned)index;
	return true;
}

/* Returns 1, 0 for "not ours", or -ENOMEM, as all functions below. */
static int add_entry(struct own *o, struct luo_unit *unit, struct own_entry *e)
{
	struct luo_entry *entry;
	unsigned session = 0;
	int r;

	if (e->session.s && !find_session(o, e->session, &session))
		return 0;
	/* Tokens count up, so no token occurs twice. */
	if (!e->alias && e->token != ++o->last[session])
		return 0;
	r = luo_unit_add_lazy(unit, e->name, LUO_ENTRY_FD, session, e->token, &entry);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	entry->alias = e->alias;
	entry->poll = e->poll;
	entry->meta = e->meta;
	if (!e->file_name.s)
		return 1;
	entry->meta.file_name = strndup(e->file_name.s, e->file_name.n);
	if (!entry->meta.file_name)
		return -ENOMEM;
	entry->meta.known |= LUO_META_FILE_NAME;
	return 1;
}

static int read_entries(struct own *o, struct luo_unit *unit, bool spill)
{
	struct own_entry e;
	int r;

	if (IS(&o->t, "]"))
		return 1;
	do {
		if (++o->n_entries > LUO_MAPPING_ENTRIES_MAX || !read_entry(&o->t, spill, &e))
			return 0;
		r = add_entry(o, unit, &e);
		if (r <= 0)
			return r;
	} while (IS(&o->t, ","));
	return IS(&o->t, "]");
}

/* ---- units ---- */

static int read_cgroup(struct own *o, struct luo_unit *unit)
{
	char cgroup[TEXT_MAX + 1] = {};
	struct piece piece;
	int r;

	if (!IS(&o->t, ",\"cgroup\":"))
		return 1;
	if (!string(&o->t, &piece))
		return 0;
	memcpy(cgroup, piece.s, piece.n);
	r = luo_store_add_unit(unit->store, unit->name, cgroup, NULL);
	return r == -ENOMEM ? r : r >= 0;
}

static int read_unit(struct own *o)
{
	char name[TEXT_MAX + 1] = {};
	struct luo_unit *unit;
	struct piece piece;
	uint64_t max = 0;
	int r;

	if (!string(&o->t, &piece) || !IS(&o->t, ":{\"fdstore\":["))
		return 0;
	memcpy(name, piece.s, piece.n);
	/* The other reader uses the last one of two equal keys. */
	if (luo_store_find_unit(o->mapping->store, name))
		return 0;
	r = luo_store_add_unit(o->mapping->store, name, NULL, &unit);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = read_entries(o, unit, false);
	if (r > 0 && IS(&o->t, ",\"fdstoreSpill\":["))
		r = read_entries(o, unit, true);
	if (r > 0)
		r = read_cgroup(o, unit);
	if (r <= 0)
		return r;
	if (IS(&o->t, ",\"fdstoreMax\":") && !number(&o->t, UINT_MAX, &max))
		return 0;
	unit->fdstore_max = (unsigned)max;
	return IS(&o->t, "}");
}

static int read_units(struct own *o)
{
	int r;

	if (!IS(&o->t, ",\"units\":{"))
		return 0;
	if (IS(&o->t, "}"))
		return 1;
	do {
		if (luo_store_n_units(o->mapping->store) >= LUO_MAPPING_UNITS_MAX)
			return 0;
		r = read_unit(o);
		if (r <= 0)
			return r;
	} while (IS(&o->t, ","));
	return IS(&o->t, "}");
}

/* ---- the members before the units ---- */

static bool read_moment(struct text *t, struct luo_timestamp *ret)
{
	return IS(t, ":{\"realtime\":") && number(t, UINT64_MAX, &ret->realtime) &&
	       IS(t, ",\"monotonic\":") && number(t, UINT64_MAX, &ret->monotonic) && IS(t, "}");
}

static bool read_state(struct text *t, struct luo_mapping_state *s)
{
	bool comma = false;

	if (!IS(t, ",\"state\":{"))
		return false;
#define KEY(key) (comma ? IS(t, ",\"" key "\"") : IS(t, "\"" key "\""))
	if (KEY("KExecCount")) {
		comma = s->have_kexec_count = true;
		if (!IS(t, ":") || !number(t, UINT64_MAX, &s->kexec_count))
			return false;
	}
#define MOMENT(key, field)                      \
	if (KEY(key)) {                         \
		comma = true;                   \
		if (!read_moment(t, &s->field)) \
			return false;           \
	}
	MOMENT("ShutdownStartTimestamp", shutdown_start)
	MOMENT("ShutdownFinishTimestamp", shutdown_finish)
	MOMENT("ShutdownLateStartTimestamp", shutdown_late_start)
	MOMENT("ShutdownLateFinishTimestamp", shutdown_late_finish)
#undef MOMENT
#undef KEY
	return IS(t, "}");
}

static int add_spill(struct luo_mapping *m, struct piece name)
{
	if (m->n_spills == LUO_MAPPING_SPILLS_MAX || name.n > LUO_SESSION_NAME_MAX)
		return 0;
	m->spills[m->n_spills] = strndup(name.s, name.n);
	if (!m->spills[m->n_spills])
		return -ENOMEM;
	m->n_spills++;
	return 1;
}

/* Two equal names are impossible, because each must end in its own number. */
static bool spill_is_numbered(const struct own *o, struct piece name)
{
	unsigned index;

	return find_session(o, name, &index) && index == o->mapping->n_spills;
}

static int read_spills(struct own *o)
{
	struct piece name;
	int r;

	if (!IS(&o->t, ",\"spillSessions\":["))
		return 1;
	o->mapping->spills = calloc(LUO_MAPPING_SPILLS_MAX, sizeof(char *));
	if (!o->mapping->spills)
		return -ENOMEM;
	do {
		if (!string(&o->t, &name))
			return 0;
		r = add_spill(o->mapping, name);
		if (r <= 0)
			return r;
		if (!spill_is_numbered(o, name))
			return 0;
	} while (IS(&o->t, ","));
	return IS(&o->t, "]");
}

/* ---- the document ---- */

/* An alias may precede the entry that it refers to. */
static bool aliases_have_files(const struct own *o)
{
	struct luo_entry *e;
	struct luo_unit *u;

	LUO_FOREACH_UNIT (u, o->mapping->store)
		LUO_FOREACH_ENTRY (e, u)
			if (e->token > o->last[e->session])
				return false;
	return true;
}

static int read_document(struct own *o)
{
	int r;

	if (!IS(&o->t, "{\"version\":1") || !read_state(&o->t, &o->mapping->state))
		return 0;
	r = read_spills(o);
	if (r > 0) {
		o->last = calloc(o->mapping->n_spills + 1, sizeof(*o->last));
		r = o->last ? read_units(o) : -ENOMEM;
	}
	if (r <= 0)
		return r;
	return IS(&o->t, "}") && o->t.at == o->t.end && aliases_have_files(o);
}

int mapping_parse_own(const char *text, size_t size, struct luo_mapping **ret)
{
	struct own o = { .t = { text, text + size } };
	int r;

	if (size == 0 || size > LUO_MAPPING_SIZE_MAX)
		return 0;
	r = luo_mapping_new(&o.mapping);
	if (r < 0)
		return r;
	r = read_document(&o);
	free(o.last);
	if (r > 0)
		*ret = TAKE_PTR(o.mapping);
	luo_mapping_free(o.mapping);
	return r;
}
