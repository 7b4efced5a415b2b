/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Converts one entry to and from a JSON object. docs/mapping.md has the table of the keys.
 *
 * Every known key is checked for type and range. One invalid key makes the whole entry invalid,
 * because half of an entry could give a service write access that it must not have.
 */

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

#include "libluo/mapping/internal.h"

#define FILE_NAME_MAX 255 /* NAME_MAX; the kernel allows 249 for a memfd */
#define MODE_MAX      07777
#define ID_MAX        (UINT32_MAX - 1) /* -1 means "no user" */
#define SEALS_MAX     0x3f             /* F_SEAL_SEAL to F_SEAL_EXEC */

/* The kernel restores these, so they need no key. */
#define MODE_DEFAULT 0777

/* The keys that this file writes, and the names that the draft format has for them. */
static const char *const known_keys[] = {
	"type",    "name",     "token",    "sessionName", "fd_index", "session_name",
	"session", "fileName", "mode",     "uid",         "gid",      "access",
	"append",  "seals",    "size",     "offset",      "storedAt", "poll",
	"alias",   "packed",   "position", NULL,
};

/* ---- members ---- */

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

/* json-c returns the nearest number for a number that does not fit. Such values are refused too. */
static int to_number(struct json_object *v, uint64_t max, uint64_t *ret)
{
	uint64_t n;

	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
		return -EBADMSG;
	n = json_object_get_uint64(v);
	if (n > max)
		return -EBADMSG;
	*ret = n;
	return 1;
}

int member_number(struct json_object *o, const char *key, uint64_t max, uint64_t *ret)
{
	struct json_object *v = member(o, key);

	return v ? to_number(v, max, ret) : 0;
}

/* A non-empty string without NUL. */
int member_string(struct json_object *o, const char *key, size_t max, const char **ret)
{
	struct json_object *v = member(o, key);
	size_t n;

	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_string))
		return -EBADMSG;
	n = (size_t)json_object_get_string_len(v);
	if (n == 0 || n > max || n != strlen(json_object_get_string(v)))
		return -EBADMSG;
	*ret = json_object_get_string(v);
	return 1;
}

int member_bool(struct json_object *o, const char *key, bool *ret)
{
	struct json_object *v = member(o, key);

	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_boolean))
		return -EBADMSG;
	*ret = json_object_get_boolean(v);
	return 1;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (streq(key, *known))
			return true;
	return false;
}

int members_extra(struct json_object *o, const char *const *known, char **ret_extra)
{
	struct json_writer w = { 0 };

	json_object_object_foreach(o, key, value)
	{
		const char *text;

		if (is_known(key, known))
			continue;
		text = json_object_to_json_string_ext(
			value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
		if (!text) {
			jw_clear(&w);
			return -ENOMEM;
		}
		if (!w.comma)
			jw_open(&w, '{');
		jw_key(&w, key);
		jw_raw(&w, text);
	}
	if (!w.comma) {
		*ret_extra = NULL;
		return 0;
	}
	jw_close(&w, '}');
	return jw_take(&w, ret_extra, NULL);
}

/* ---- reading ---- */

void parsed_entry_clear(struct parsed_entry *entry)
{
	luo_entry_meta_clear(&entry->meta);
	free(entry->session_name);
	free(entry->extra);
	memset(entry, 0, sizeof(*entry));
}

static int skip(const char **ret_what, const char *what)
{
	*ret_what = what;
	return -EBADMSG;
}

static int read_type(struct json_object *o, struct parsed_entry *e, const char **ret_what)
{
	const char *type = NULL;

	if (member_string(o, "type", SIZE_MAX, &type) <= 0)
		return skip(ret_what, "it has no type");
	if (streq(type, "fd"))
		e->type = LUO_ENTRY_FD;
	else if (streq(type, "luo_session"))
		e->type = LUO_ENTRY_SESSION;
	else
		return skip(ret_what, "a type that is not known");
	return 0;
}

static int read_name(struct json_object *o, struct parsed_entry *e, const char **ret_what)
{
	if (member_string(o, "name", LUO_FDNAME_MAX, &e->name) <= 0 ||
	    !luo_fdname_is_valid(e->name))
		return skip(ret_what, "the name is missing or not a valid FDNAME");
	return 0;
}

/* The kernel keeps a LUO session under its own name. */
static int read_session_name(struct json_object *o, const char *key, struct parsed_entry *e,
			     const char **ret_what)
{
	const char *name = NULL;

	if (member_string(o, key, LUO_SESSION_NAME_MAX, &name) <= 0)
		return skip(ret_what, "the name of the LUO session is missing or not valid");
	e->session_name = strdup(name);
	return e->session_name ? 0 : -ENOMEM;
}

static int read_place(struct json_object *o, enum luo_mapping_generation generation,
		      struct parsed_entry *e, const char **ret_what)
{
	bool draft = generation == LUO_MAPPING_DRAFT;

	if (e->type == LUO_ENTRY_SESSION)
		return read_session_name(o, draft ? "session_name" : "sessionName", e, ret_what);
	if (member_number(o, draft ? "fd_index" : "token", LUO_TOKEN_MAX, &e->token) <= 0)
		return skip(ret_what, "the token is missing or out of range");
	if (e->token == LUO_TOKEN_MAPPING)
		return skip(ret_what, "token 0 is the mapping itself");
	if (member_string(o, "session", LUO_SESSION_NAME_MAX, &e->session) < 0)
		return skip(ret_what, "\"session\" is not the name of a session");
	if (member_number(o, "position", LUO_MAPPING_ENTRIES_MAX, &e->position) < 0)
		return skip(ret_what, "\"position\" is not a place in a store");
	return 0;
}

static int read_file_name(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	const char *name = NULL;
	int r;

	r = member_string(o, "fileName", FILE_NAME_MAX, &name);
	if (r < 0)
		return skip(ret_what, "\"fileName\" is not a file name");
	if (r == 0)
		return 0;
	m->file_name = strdup(name);
	if (!m->file_name)
		return -ENOMEM;
	m->known |= LUO_META_FILE_NAME;
	return 0;
}

static int read_owner(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	uint64_t uid = 0, gid = 0;
	int u, g;

	u = member_number(o, "uid", ID_MAX, &uid);
	g = member_number(o, "gid", ID_MAX, &gid);
	if (u < 0 || g < 0 || u != g)
		return skip(ret_what, "\"uid\" and \"gid\" are not an owner");
	if (u == 0)
		return 0;
	m->uid = (uid_t)uid;
	m->gid = (gid_t)gid;
	m->known |= LUO_META_OWNER;
	return 0;
}

static int read_access(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	const char *access = "rw";
	bool append = false;
	int a, b;

	a = member_string(o, "access", 2, &access);
	b = member_bool(o, "append", &append);
	if (a < 0 || b < 0 || !(streq(access, "rw") || streq(access, "ro") || streq(access, "wo")))
		return skip(ret_what, "\"access\" or \"append\" is not valid");
	m->open_flags = streq(access, "rw") ? O_RDWR : streq(access, "ro") ? O_RDONLY : O_WRONLY;
	if (append)
		m->open_flags |= O_APPEND;
	if (a || b)
		m->known |= LUO_META_OPEN_FLAGS;
	return 0;
}

/* Reads a number into a field; sets @flag if the member is present. */
static int read_number(struct json_object *o, const char *key, uint64_t max, unsigned flag,
		       struct luo_entry_meta *m, uint64_t *ret)
{
	int r = member_number(o, key, max, ret);

	if (r > 0)
		m->known |= flag;
	return r;
}

static int read_numbers(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	uint64_t mode = 0, seals = 0;

	if (read_number(o, "mode", MODE_MAX, LUO_META_MODE, m, &mode) < 0)
		return skip(ret_what, "\"mode\" is not a file mode");
	if (read_number(o, "seals", SEALS_MAX, LUO_META_SEALS, m, &seals) < 0)
		return skip(ret_what, "\"seals\" is not a set of seals");
	if (read_number(o, "size", INT64_MAX, LUO_META_SIZE, m, &m->size) < 0)
		return skip(ret_what, "\"size\" is not a size");
	if (read_number(o, "offset", INT64_MAX, LUO_META_OFFSET, m, &m->offset) < 0)
		return skip(ret_what, "\"offset\" is not an offset");
	if (read_number(o, "storedAt", INT64_MAX, LUO_META_STORED_AT, m, &m->stored_at) < 0)
		return skip(ret_what, "\"storedAt\" is not a time");
	m->mode = (mode_t)mode;
	m->seals = (unsigned)seals;
	return 0;
}

/* [offset, length]: not empty, starts after @from, ends inside @size. */
static bool read_extent(struct json_object *pair, uint64_t from, uint64_t size,
			struct luo_extent *ret)
{
	struct luo_extent x;

	if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
		return false;
	if (to_number(json_object_array_get_idx(pair, 0), INT64_MAX, &x.offset) < 0 ||
	    to_number(json_object_array_get_idx(pair, 1), INT64_MAX, &x.length) < 0)
		return false;
	if (x.offset < from || x.length == 0 || x.offset > size || x.length > size - x.offset)
		return false;
	*ret = x;
	return true;
}

static int read_extents(struct json_object *list, struct luo_entry_meta *m, const char **ret_what)
{
	size_t n = json_object_array_length(list);
	uint64_t from = 0;

	if (n > LUO_MAPPING_EXTENTS_MAX)
		return skip(ret_what, "\"packed\" has too many extents");
	if (n > 0) {
		m->extents = calloc(n, sizeof(*m->extents));
		if (!m->extents)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (!read_extent(json_object_array_get_idx(list, i), from, m->size, &m->extents[i]))
			return skip(ret_what, "\"packed\" is not ascending inside \"size\"");
		from = m->extents[i].offset + m->extents[i].length;
	}
	m->n_extents = n;
	m->packed = true;
	return 0;
}

static int read_packed(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	struct json_object *list = member(o, "packed");

	if (!list)
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return skip(ret_what, "\"packed\" is not an array");
	if (!(m->known & LUO_META_SIZE))
		return skip(ret_what, "\"packed\" without \"size\"");
	return read_extents(list, m, ret_what);
}

static int read_meta(struct json_object *o, struct luo_entry_meta *m, const char **ret_what)
{
	static int (*const readers[])(struct json_object *, struct luo_entry_meta *,
				      const char **) = {
		read_file_name, read_owner, read_access, read_numbers, read_packed,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(readers); i++)
		r = readers[i](o, m, ret_what);
	return r;
}

static int read_flags(struct json_object *o, struct parsed_entry *e, const char **ret_what)
{
	e->poll = true;
	if (member_bool(o, "poll", &e->poll) < 0 || member_bool(o, "alias", &e->alias) < 0)
		return skip(ret_what, "\"poll\" or \"alias\" is not a boolean");
	return 0;
}

int entry_from_json(struct json_object *o, enum luo_mapping_generation generation,
		    struct parsed_entry *entry, const char **ret_what)
{
	int r;

	if (!json_object_is_type(o, json_type_object))
		return skip(ret_what, "not an object");
	r = read_type(o, entry, ret_what);
	if (r == 0)
		r = read_name(o, entry, ret_what);
	if (r == 0)
		r = read_place(o, generation, entry, ret_what);
	if (r == 0)
		r = read_flags(o, entry, ret_what);
	if (r == 0)
		r = read_meta(o, &entry->meta, ret_what);
	if (r == 0)
		r = members_extra(o, known_keys, &entry->extra);
	return r;
}

/* ---- writing: unknown values, and those that the kernel restores, have no key ---- */

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
	jw_plain_key(w, key);
	jw_number(w, value);
}

static void write_string(struct json_writer *w, const char *key, const char *value)
{
	jw_plain_key(w, key);
	jw_string(w, value);
}

static void write_flag(struct json_writer *w, const char *key, bool value)
{
	jw_plain_key(w, key);
	jw_bool(w, value);
}

static void write_place(struct json_writer *w, const struct luo_entry *e)
{
	bool session = e->type == LUO_ENTRY_SESSION;

	write_string(w, "type", session ? "luo_session" : "fd");
	write_string(w, "name", e->name);
	if (session)
		write_string(w, "sessionName", e->session_name);
	else
		write_number(w, "token", e->token);
}

static void write_open_flags(struct json_writer *w, int flags)
{
	if ((flags & O_ACCMODE) == O_RDONLY)
		write_string(w, "access", "ro");
	else if ((flags & O_ACCMODE) == O_WRONLY)
		write_string(w, "access", "wo");
	if (flags & O_APPEND)
		write_flag(w, "append", true);
}

/* A value that the reader would refuse counts as unknown. */
static void write_known(struct json_writer *w, const struct luo_entry_meta *m, unsigned flag,
			const char *key, uint64_t value)
{
	if (m->known & flag && value <= INT64_MAX)
		write_number(w, key, value);
}

static void write_file_name(struct json_writer *w, const struct luo_entry_meta *m)
{
	size_t n = m->known & LUO_META_FILE_NAME && m->file_name ? strlen(m->file_name) : 0;

	if (n > 0 && n <= FILE_NAME_MAX)
		write_string(w, "fileName", m->file_name);
}

static void write_inode(struct json_writer *w, const struct luo_entry_meta *m)
{
	write_file_name(w, m);
	if (m->known & LUO_META_MODE && (m->mode & MODE_MAX) != MODE_DEFAULT)
		write_number(w, "mode", m->mode & MODE_MAX);
	if (m->known & LUO_META_OWNER && (m->uid != 0 || m->gid != 0) && m->uid <= ID_MAX &&
	    m->gid <= ID_MAX) {
		write_number(w, "uid", m->uid);
		write_number(w, "gid", m->gid);
	}
	if (m->known & LUO_META_SEALS && m->seals & SEALS_MAX)
		write_number(w, "seals", m->seals & SEALS_MAX);
}

static void write_packed(struct json_writer *w, const struct luo_entry_meta *m)
{
	jw_key(w, "packed");
	jw_open(w, '[');
	for (size_t i = 0; i < m->n_extents; i++) {
		jw_open(w, '[');
		jw_number(w, m->extents[i].offset);
		jw_number(w, m->extents[i].length);
		jw_close(w, ']');
	}
	jw_close(w, ']');
}

static void write_meta(struct json_writer *w, const struct luo_entry_meta *m)
{
	write_inode(w, m);
	if (m->known & LUO_META_OPEN_FLAGS)
		write_open_flags(w, m->open_flags);
	write_known(w, m, LUO_META_SIZE, "size", m->size);
	write_known(w, m, LUO_META_OFFSET, "offset", m->offset);
	write_known(w, m, LUO_META_STORED_AT, "storedAt", m->stored_at);
	if (m->packed)
		write_packed(w, m);
}

void entry_to_json(struct json_writer *w, const struct luo_entry *e, const char *session,
		   size_t position)
{
	jw_open(w, '{');
	write_place(w, e);
	if (session)
		write_string(w, "session", session);
	if (position != POSITION_NATURAL)
		write_number(w, "position", position);
	write_meta(w, &e->meta);
	if (!e->poll)
		write_flag(w, "poll", false);
	if (e->alias)
		write_flag(w, "alias", true);
	jw_members(w, e->extra);
	jw_close(w, '}');
}

void entry_to_json_v261(struct json_writer *w, const struct luo_entry *e)
{
	jw_open(w, '{');
	write_place(w, e);
	jw_close(w, '}');
}
