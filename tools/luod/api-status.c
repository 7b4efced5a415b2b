/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Status and Monitor. */

#include "common/json.h"
#include "tools/luod/api.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <luo/handover.h>
#include <luo/session.h>
#include <luo/store.h>

#include "common/json-writer.h"
#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/connection.h"
#include "tools/luod/holdings.h"
#include "tools/luod/keeper.h"
#include "tools/luod/last-shutdown.h"
#include "tools/luod/luod.h"
#include "tools/luod/stores.h"

static const char *support_to_string(enum luo_support support)
{
	return support == LUO_SUPPORT_ON ? "on" : support == LUO_SUPPORT_OFF ? "off" : "none";
}

static void add_timestamp(struct json_object *o, const char *key, const struct luo_timestamp *t)
{
	struct json_object *v;

	if (t->realtime == 0 && t->monotonic == 0)
		return;
	v = json_object_new_object();
	json_add_number(v, "realtime", t->realtime);
	json_add_number(v, "monotonic", t->monotonic);
	json_add(o, key, v);
}

static struct json_object *new_session(const char *name, const char *direction, const char *state)
{
	struct json_object *o = json_object_new_object();

	json_add_utf8(o, "name", name ? name : "?");
	json_add_utf8(o, "direction", direction);
	json_add_utf8(o, "state", state);
	return o;
}

static void add_mapping(struct json_object *o, const struct luo_mapping *mapping, uint64_t gone)
{
	struct json_object *issues = json_object_new_array();
	uint64_t unclaimed = mapping ? luo_store_n_entries(mapping->store) : 0;

	if (mapping)
		json_add_utf8(o, "generation",
			      luo_mapping_generation_to_string(mapping->generation));
	json_add_number(o, "entries", unclaimed + gone);
	json_add_number(o, "unclaimed", unclaimed);
	for (size_t i = 0; mapping && i < mapping->n_issues; i++) {
		struct json_object *issue = json_object_new_object();

		json_add_utf8(issue, "where", mapping->issues[i].where);
		json_add_utf8(issue, "what", mapping->issues[i].what);
		json_append(issues, issue);
	}
	json_add(o, "issues", issues);
}

static void add_incoming(struct json_object *sessions, const struct luo_incoming *incoming,
			 uint64_t gone)
{
	const char *problem = luo_incoming_problem(incoming);
	struct json_object *o =
		new_session(luo_incoming_name(incoming), "incoming", problem ? "unreadable" : "ok");

	if (problem)
		json_add_utf8(o, "reason", problem);
	add_mapping(o, luo_incoming_mapping(incoming), gone);
	json_append(sessions, o);
}

static void add_sessions(struct json_object *status, const struct luod *l)
{
	struct json_object *sessions = json_object_new_array(), *o;

	if (l->incoming)
		add_incoming(sessions, l->incoming, l->state.n_gone);
	for (size_t i = 0; i < ELEMENTSOF(l->waiting); i++)
		if (l->waiting[i])
			add_incoming(sessions, l->waiting[i], 0);
	for (size_t i = 0; i < l->n_sessions; i++) {
		if (l->sessions[i].fd < 0)
			continue;
		o = new_session(l->sessions[i].name, "incoming", "unreadable");
		json_add_utf8(o, "reason", "luod does not know its name");
		add_mapping(o, NULL, 0);
		json_append(sessions, o);
	}
	for (size_t i = 0; i < l->outgoing.n; i++) {
		_cleanup_free_ char *name = NULL;

		(void)luo_session_get_name(l->outgoing.fds[i], &name);
		o = new_session(name, "outgoing", "ok");
		add_mapping(o, NULL, 0);
		json_append(sessions, o);
	}
	json_add(status, "sessions", sessions);
}

/* The memory of all entries; a file counts once, however many entries have it. */
struct file_size {
	dev_t device;
	ino_t inode;
	uint64_t size;
};

struct sizes {
	struct file_size *files;
	size_t n;
};

static int compare_files(const void *a, const void *b)
{
	const struct file_size *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static uint64_t add_up(struct sizes *sizes)
{
	uint64_t bytes = 0;

	if (sizes->n > 0)
		qsort(sizes->files, sizes->n, sizeof(*sizes->files), compare_files);
	for (size_t i = 0; i < sizes->n; i++)
		if (i == 0 || compare_files(&sizes->files[i - 1], &sizes->files[i]) != 0)
			bytes += sizes->files[i].size;
	free(sizes->files);
	return bytes;
}

static size_t count_entries(const struct luod *l)
{
	enum entry_state state;
	struct luo_store *store;
	size_t n = 0;

	for (size_t i = 0; stores_at(l, i, &store, &state); i++)
		n += luo_store_n_entries(store);
	return n;
}

static void add_numbers(struct json_object *status, const struct luod *l)
{
	struct sizes sizes = { .files = calloc(count_entries(l) + 1, sizeof(*sizes.files)) };
	uint64_t units = 0, stored = 0, held = 0, lost = 0, bytes = 0;
	enum entry_state state;
	struct luo_store *store;
	struct luo_entry *e;
	struct luo_unit *u;

	for (size_t i = 0; stores_at(l, i, &store, &state); i++)
		LUO_FOREACH_UNIT (u, store) {
			/* A unit counts at the first store that has it. */
			units += i == 0 || !luo_store_find_unit(l->state.stored, u->name);
			LUO_FOREACH_ENTRY (e, u) {
				struct stat st;

				if (state == ENTRY_LOST || e->failed < 0) {
					lost++;
					continue;
				}
				stored += state == ENTRY_STORED;
				held += state == ENTRY_HELD;
				if (e->fd < 0)
					bytes += e->alias ? 0 : e->meta.size;
				else if (sizes.files && fstat(e->fd, &st) >= 0 &&
					 S_ISREG(st.st_mode))
					sizes.files[sizes.n++] =
						(struct file_size){ st.st_dev, st.st_ino,
								    (uint64_t)st.st_size };
			}
		}
	bytes += add_up(&sizes);
	json_add_number(status, "units", units);
	json_add_number(status, "stored", stored);
	json_add_number(status, "held", held);
	json_add_number(status, "lost", lost);
	json_add_number(status, "bytes", bytes);
}

static void add_problems(struct json_object *status, const struct luod *l, bool root)
{
	struct json_object *problems = json_object_new_array();

	/* The problems name the units of other users. */
	for (size_t i = 0; root && i < l->n_problems; i++)
		json_append_string(problems, utf8_is_valid(l->problems[i]) ? l->problems[i] : "?");
	if (root && l->look_error < 0) {
		char text[200];

		snprintf(text, sizeof(text),
			 "It is not known yet what the previous kernel left: %s. luod tries again.",
			 strerror(-l->look_error));
		json_append_string(problems, text);
	}
	json_add(status, "problems", problems);
}

int api_status(struct call *call)
{
	struct luod *l = call->luod;
	struct json_object *o, *last;
	struct utsname u;
	int r;

	r = call_parameters(call, NULL, 0);
	if (r != 0)
		return r < 0 ? r : 0;
	o = json_object_new_object();
	json_add_utf8(o, "version", LUO_VERSION);
	json_add_number(o, "pid", (uint64_t)getpid());
	json_add_utf8(o, "kernel", uname(&u) < 0 ? "?" : u.release);
	json_add_number(o, "startedAt", l->state.started_at);
	json_add_number(o, "restarts", l->state.restarts);
	json_add_utf8(o, "keeper", keeper_to_string(&l->keeper));
	json_add_utf8(o, "liveUpdate", support_to_string(l->support));
	json_add_utf8(o, "sessionName", l->options.session);
	json_add_utf8(o, "commit", l->state.commit_name ? "committed" : "none");
	json_add_bool(o, "stale", l->state.commit_name && l->state.stale);
	add_numbers(o, l);
	json_add_number(o, "fdstoreMaxTotal", l->options.fdstore_max_total);
	if (call_is_root(call))
		add_sessions(o, l);
	else
		json_add(o, "sessions", json_object_new_array());
	if (l->manager_version > 0)
		json_add_number(o, "managerVersion", l->manager_version);
	last = call_is_root(call) ? last_shutdown(l) : NULL;
	if (last)
		json_add(o, "lastShutdown", last);
	if (kexec_count(l) > 0)
		json_add_number(o, "kexecCount", kexec_count(l));
	add_timestamp(o, "shutdownStart", &l->state.previous.shutdown_start);
	add_timestamp(o, "shutdownFinish", &l->state.previous.shutdown_finish);
	add_timestamp(o, "shutdownLateStart", &l->state.previous.shutdown_late_start);
	add_timestamp(o, "shutdownLateFinish", &l->state.previous.shutdown_late_finish);
	add_problems(o, l, call_is_root(call));
	return call_reply(call, o);
}

int api_monitor(struct call *call)
{
	struct connection *c = call->connection;
	_cleanup_free_ char *unit = NULL;
	struct json_object *o;
	int r;

	r = call_parameters(call, NULL, 0);
	if (r == 0)
		r = call_unit_or_all(call, NULL, &unit);
	if (r != 0)
		return r < 0 ? r : 0;
	free(c->monitor_unit);
	c->monitor_unit = TAKE_PTR(unit);
	c->monitoring = true;
	o = json_object_new_object();
	json_add_utf8(o, "event", "hello");
	json_add_number(o, "at", now_usec(CLOCK_REALTIME));
	return call_reply_fds(call, o, NULL, 0, true);
}
