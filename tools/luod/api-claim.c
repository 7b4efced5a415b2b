/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Claim and OpenEntry: fds go out to their unit. */

#include <fcntl.h>
#include <stdio.h>

#include "tools/luod/managed.h"
#include "tools/luod/server.h"

static int no_such_unit(struct call *call, const char *unit)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "unit", unit);
	return call_error(call, "io.luo.NoSuchUnit", o);
}

static int no_such_entry(struct call *call, const char *unit, const char *name)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "unit", unit);
	add_string(o, "name", name);
	return call_error(call, "io.luo.NoSuchEntry", o);
}

static int no_room(struct call *call, const char *unit)
{
	struct json_object *o = json_object_new_object();
	struct luo_store *store = holdings_store(call->luod);
	struct luo_unit *u = store ? luo_store_find_unit(store, unit) : NULL;
	/* The claimer's, if it was in his cgroup. */
	struct luo_memory_room room = call->luod->room;
	struct luo_entry *e;
	const char *limit = "memory.max";
	bool has_sizes = true;
	uint64_t needed = 0;
	char text[1024];

	if (u)
		LUO_FOREACH_ENTRY (e, u) {
			needed += e->alias ? 0 : e->meta.size;
			has_sizes = has_sizes && (e->type != LUO_ENTRY_FD || e->meta.packed ||
						  (e->meta.known & LUO_META_SIZE));
		}
	room.struct_size = sizeof(room);
	if (room.bytes == 0 && !room.limited_by[0])
		(void)luo_memory_room(&room);
	if (room.high_bytes < room.bytes) {
		room.bytes = room.high_bytes;
		snprintf(room.limited_by, sizeof(room.limited_by), "%s", room.slowed_by);
		limit = "memory.high";
	}
	snprintf(text, sizeof(text),
		 "There is no room to restore the holding of %s%s%s%s%.200s; nothing was touched. "
		 "%s and try again.",
		 unit, room.limited_by[0] ? " under " : "", room.limited_by[0] ? limit : "",
		 room.limited_by[0] ? " of cgroup " : "", room.limited_by,
		 has_sizes
			 ? "Raise the limit"
			 : "It is not known how large it is, because systemd has written it down: "
			   "take the limit away");
	add_string(o, "text", text);
	add_number(o, "needed", needed);
	add_number(o, "room", room.bytes == UINT64_MAX ? 0 : room.bytes);
	return call_error(call, "io.luo.NoRoom", o);
}

/* ---- sending the store in parts -------------------------------------------------------------- */

static struct luo_entry *find_entry(const struct luo_unit *unit, uint64_t id, size_t hint)
{
	struct luo_entry *e;

	if (hint < unit->n_entries && unit->entries[hint]->id == id)
		return unit->entries[hint];
	LUO_FOREACH_ENTRY (e, unit)
		if (e->id == id)
			return e;
	return NULL;
}

static int add_entry_with_fd(struct json_object *entries, const struct luo_entry *e, int *fds,
			     size_t *n)
{
	struct json_object *o = entry_to_object(e, ENTRY_STORED);
	int fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 3);

	if (!o || fd < 0) {
		int r = o ? -errno : -ENOMEM;

		json_object_put(o);
		safe_close(fd);
		return r;
	}
	add_number(o, "fileDescriptor", *n);
	fds[(*n)++] = fd;
	json_object_array_add(entries, o);
	return 0;
}

static void add_lost(struct luod *l, struct json_object *entries, const char *unit_name,
		     const char *name)
{
	struct luo_unit *unit = luo_store_find_unit(l->state.lost, unit_name);
	struct luo_entry *e;

	if (unit)
		LUO_FOREACH_ENTRY (e, unit)
			if (!name || streq(e->name, name))
				json_object_array_add(entries, entry_to_object(e, ENTRY_LOST));
}

/* What goes out with this part goes for good once it is out. */
static void note_forget(struct connection *c, const struct stream *s, const uint64_t *ids, size_t n)
{
	if (!s->forget || n == 0)
		return;
	free(c->forget);
	free(c->forget_unit);
	c->forget = calloc(n, sizeof(*ids));
	c->forget_unit = strdup(s->unit);
	c->n_forget = 0;
	if (!c->forget || !c->forget_unit)
		return;
	memcpy(c->forget, ids, n * sizeof(*ids));
	c->n_forget = n;
}

static int send_failed(struct connection *c, const char *name, int error)
{
	struct call call = { .luod = c->server->luod, .connection = c };
	int r;

	r = call_failed(&call, error, "Cannot send \"%s\": %s. It is safe; claim again.", name,
			strerror(-error));
	return r < 0 ? r : 0;
}

static int next_part(struct connection *c, struct stream *s)
{
	struct call call = { .luod = c->server->luod, .connection = c };
	struct luo_unit *unit = luo_store_find_unit(call.luod->state.stored, s->unit);
	struct json_object *o = json_object_new_object(), *entries = json_object_new_array();
	uint64_t ids[REPLY_FDS_MAX];
	int fds[REPLY_FDS_MAX];
	size_t n = 0;
	bool last;
	int r;

	while (s->at < s->n && n < REPLY_FDS_MAX) {
		struct luo_entry *e = unit ? find_entry(unit, s->ids[s->at], s->at) : NULL;

		/* Removed meanwhile. */
		if (!e) {
			s->at++;
			continue;
		}
		ids[n] = e->id;
		r = add_entry_with_fd(entries, e, fds, &n);
		if (r < 0) {
			close_many(fds, n);
			json_object_put(entries);
			json_object_put(o);
			return send_failed(c, e->name, r);
		}
		s->at++;
	}
	last = s->at >= s->n;
	if (last)
		add_lost(call.luod, entries, s->unit, s->name);
	add_object(o, "entries", entries);
	r = call_reply_fds(&call, o, fds, n, !last);
	if (r < 0)
		return r;
	note_forget(c, s, ids, n);
	return last ? 0 : 1;
}

static int start_stream(struct call *call, const char *unit_name, const char *name, bool keep)
{
	struct luo_unit *unit = luo_store_find_unit(call->luod->state.stored, unit_name);
	struct stream *s = calloc(1, sizeof(*s));
	struct luo_entry *e;

	if (s) {
		s->unit = strdup(unit_name);
		s->name = name ? strdup(name) : NULL;
		s->ids = calloc(unit ? unit->n_entries + 1 : 1, sizeof(*s->ids));
	}
	if (!s || !s->unit || !s->ids || (name && !s->name)) {
		stream_free(s);
		return -ENOMEM;
	}
	s->next = next_part;
	s->forget = !keep;
	if (unit)
		LUO_FOREACH_ENTRY (e, unit)
			if (!name || streq(e->name, name))
				s->ids[s->n++] = e->id;
	call->connection->stream = s;
	call->answered = true;
	return 0;
}

/* ---- Claim ----------------------------------------------------------------------------------- */

static uint64_t count_in(const struct luo_store *store, const char *unit_name, const char *name)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, unit_name) : NULL;
	struct luo_entry *e;
	uint64_t n = 0;

	if (unit)
		LUO_FOREACH_ENTRY (e, unit)
			n += !name || streq(e->name, name);
	return n;
}

/* The unit of the store, with what the previous kernel told of it. */
static int unit_for_claim(struct luod *l, const char *from, const char *to, struct luo_unit **ret)
{
	struct luo_store *incoming = holdings_store(l);
	struct luo_unit *like = incoming ? luo_store_find_unit(incoming, from) : NULL;

	if (!like)
		like = luo_store_find_unit(l->state.held, from);
	return vault_unit_like(l, to, streq(from, to) ? like : NULL, ret);
}

/*
 * Out of the kernel and into the store. 0: the reply can go out; 1: answered with an error.
 */
static int take_holding(struct call *call, const char *from, const char *name, const char *to)
{
	struct luod *l = call->luod;
	struct luo_unit *unit;
	int r;

	r = unit_for_claim(l, from, to, &unit);
	if (r < 0)
		return r;
	r = holdings_claim(l, from, name, unit, &call->connection->peer);
	if (r < 0)
		vault_unit_release(l, to);
	if (r == -EDQUOT)
		r = no_room(call, from);
	else if (r < 0)
		r = call_failed(
			call, r,
			"Cannot take the holding of %s out of the kernel: %s. What was taken "
			"is safe, the rest too; claim again.",
			from, strerror(-r));
	else
		return 0;
	return r < 0 ? r : 1;
}

/*
 * It is not known yet what the previous kernel left for the unit: "nothing" would be a lie that
 * makes a service start empty.
 */
static int not_looked(struct call *call, const char *unit)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "What the previous kernel left for %s could not be looked for yet: %s. Try again.",
		 unit, strerror(-call->luod->look_error));
	return call_error_text(call, "io.luo.Busy", text);
}

static int needs_more(struct call *call, uint64_t entries)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "entries", entries);
	return call_error(call, "io.luo.NeedsMore", o);
}

static int claim(struct call *call, const char *from, const char *name, const char *to, bool keep)
{
	struct luod *l = call->luod;
	uint64_t held =
		count_in(holdings_store(l), from, name) + count_in(l->state.held, from, name);
	uint64_t stored = count_in(l->state.stored, to, name);
	int r;

	if (!call->more && held + stored > REPLY_FDS_MAX)
		return needs_more(call, held + stored);
	if (held > 0) {
		r = take_holding(call, from, name, to);
		if (r != 0)
			return r < 0 ? r : 0;
		log_info("%s: claimed %llu fds from the previous kernel.", to,
			 (unsigned long long)held);
		monitor_emit(l, "claimed", to, name, NULL);
	}
	return call->oneway ? 0 : start_stream(call, to, name, keep);
}

/* ---- giving to another unit of PID 1's ------------------------------------------------------- */

static bool is_managed_in(const struct luo_store *store, const char *name)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, name) : NULL;

	return unit && unit_is_managed(unit);
}

static bool holding_is_managed(const struct luod *l, const char *name)
{
	return is_managed_in(holdings_store(l), name) || is_managed_in(l->state.held, name);
}

static int give_from_kernel(struct luod *l, const char *from, const char *name, const char *to,
			    struct json_object *entries)
{
	struct luo_store *store = holdings_store(l);
	struct luo_unit *unit = store ? luo_store_find_unit(store, from) : NULL;
	size_t left = unit ? unit->n_entries : 0;

	for (size_t i = 0; left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];
		int r;

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = holdings_move(l, entry, to);
		if (r < 0)
			return r;
		json_object_array_add(entries, entry_to_object(entry, ENTRY_HELD));
	}
	return 0;
}

static int give_held(struct luod *l, const char *from, const char *name, const char *to,
		     struct json_object *entries)
{
	struct luo_unit *unit = luo_store_find_unit(l->state.held, from), *target;
	size_t left = unit ? unit->n_entries : 0;
	int r;

	if (left == 0)
		return 0;
	r = vault_unit_like(l, to, unit, &target);
	/* What else is known of it may have been told before. */
	if (r >= 0)
		r = unit_set_managed(target);
	if (r > 0)
		r = vault_unit_changed(l, target);
	for (size_t i = 0; r >= 0 && left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];

		if (name && !streq(entry->name, name)) {
			i++;
			continue;
		}
		r = vault_move(l, entry, target);
		if (r >= 0)
			json_object_array_add(entries, entry_to_object(entry, ENTRY_STORED));
	}
	return r;
}

/* Its memory stays where it is until the unit starts, which then pays for it. */
static int give(struct call *call, const char *from, const char *name, const char *to)
{
	struct json_object *o = json_object_new_object(), *entries = json_object_new_array();
	struct luod *l = call->luod;
	int r;

	add_object(o, "entries", entries);
	r = give_from_kernel(l, from, name, to, entries);
	if (r >= 0)
		r = give_held(l, from, name, to, entries);
	publish_now(l);
	if (r < 0) {
		json_object_put(o);
		return call_failed(call, r,
				   "Cannot give the holding of %s to %s: %s. Nothing was lost; try "
				   "again.",
				   from, to, strerror(-r));
	}
	log_info("%s: what the previous kernel left for it is now of %s.", from, to);
	monitor_emit(l, "claimed", to, name, NULL);
	return call_reply(call, o);
}

int api_claim(struct call *call)
{
	_cleanup_free_ char *from = NULL, *to = NULL;
	const char *asked = NULL, *name = NULL, *asked_to = NULL;
	bool keep = true;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL },
		{ "name", PARAMETER_STRING, false, &name, NULL },
		{ "to", PARAMETER_STRING, false, &asked_to, NULL },
		{ "keep", PARAMETER_BOOL, false, &keep, NULL },
	};
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &from);
	if (r == 0)
		r = call_unit_to_change(call, asked_to ? asked_to : from, &to);
	if (r != 0)
		return r < 0 ? r : 0;
	if (holdings_look(call->luod, 0) < 0 && count_in(call->luod->state.stored, to, name) == 0)
		return not_looked(call, from);
	if (!unit_is_known(call->luod, from))
		return no_such_unit(call, from);
	if (name && count_in(call->luod->state.stored, to, name) == 0 &&
	    count_in(call->luod->state.held, from, name) == 0 &&
	    count_in(holdings_store(call->luod), from, name) == 0)
		return no_such_entry(call, from, name);
	if (!streq(from, to) && holding_is_managed(call->luod, from))
		return give(call, from, name, to);
	return claim(call, from, name, to, keep);
}

/* ---- OpenEntry ------------------------------------------------------------------------------- */

/* The nth of that name: what is stored, then what is held. */
static struct luo_entry *find_nth(struct luod *l, const char *unit_name, const char *name,
				  uint64_t nth, enum entry_state *ret_state)
{
	struct luo_store *store;

	for (size_t i = 0; luod_store_at(l, i, &store, ret_state); i++) {
		struct luo_unit *unit = luo_store_find_unit(store, unit_name);
		struct luo_entry *e;

		if (unit)
			LUO_FOREACH_ENTRY (e, unit)
				if (streq(e->name, name) && nth-- == 0)
					return e;
	}
	return NULL;
}

static int open_failed(struct call *call, const struct luo_entry *e, int error)
{
	struct json_object *o;

	if (error == -EDQUOT)
		return no_room(call, e->unit->name);
	if (e->failed == 0)
		return call_failed(call, error,
				   "Cannot open \"%s\" of %s: %s. It may be tried again.", e->name,
				   e->unit->name, strerror(-error));
	o = json_object_new_object();
	add_string(o, "unit", e->unit->name);
	add_string(o, "name", e->name);
	add_number(o, "errno", (uint64_t)-e->failed);
	return call_error(call, "io.luo.Lost", o);
}

int api_open_entry(struct call *call)
{
	_cleanup_free_ char *unit = NULL;
	const char *asked = NULL, *name = NULL;
	uint64_t nth = 0;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL },
		{ "name", PARAMETER_STRING, true, &name, NULL },
		{ "nth", PARAMETER_NUMBER, false, &nth, NULL },
	};
	struct json_object *o, *entry;
	enum entry_state state;
	struct luo_entry *e;
	int fd = -EBADF, r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &unit);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!unit_is_known(call->luod, unit))
		return no_such_unit(call, unit);
	e = find_nth(call->luod, unit, name, nth, &state);
	if (!e)
		return no_such_entry(call, unit, name);
	if (e->failed < 0)
		return open_failed(call, e, e->failed);
	/* Nothing is claimed: what lies in the kernel stays there, and can be had again. */
	if (e->fd < 0)
		r = holdings_open(call->luod, e, &call->connection->peer, &fd);
	else {
		fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 3);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return open_failed(call, e, r);
	entry = entry_to_object(e, state);
	add_number(entry, "fileDescriptor", 0);
	o = json_object_new_object();
	add_object(o, "entry", entry);
	return call_reply_fds(call, o, &fd, 1, false);
}
