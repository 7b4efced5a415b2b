/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/stream.h"

#include <fcntl.h>
#include <json-c/json.h>

#include <luo/store.h>

#include "common/json.h"
#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/connection.h"
#include "tools/luod/entry-object.h"
#include "tools/luod/luod.h"
#include "tools/luod/server.h"
#include "tools/luod/stores.h"

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
	json_add_number(o, "fileDescriptor", *n);
	fds[(*n)++] = fd;
	json_append(entries, o);
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
				json_append(entries, entry_to_object(e, ENTRY_LOST));
}

/* Entries of this part leave the store when the part is out. */
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

		/* The entry was removed meanwhile. */
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
	json_add(o, "entries", entries);
	r = call_reply_fds(&call, o, fds, n, !last);
	if (r < 0)
		return r;
	note_forget(c, s, ids, n);
	return last ? 0 : 1;
}

int stream_start(struct call *call, const char *unit_name, const char *name, bool keep)
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

struct stream *stream_free(struct stream *stream)
{
	if (!stream)
		return NULL;
	free(stream->unit);
	free(stream->name);
	free(stream->ids);
	free(stream);
	return NULL;
}
