/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Register, Store and Drop. Each is answered when its effect would survive a kill. */

#include "common/json.h"
#include "tools/luod/api.h"

#include <stdio.h>
#include <sys/stat.h>

#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/call.h"
#include "tools/luod/connection.h"
#include "tools/luod/holdings-take.h"
#include "tools/luod/holdings.h"
#include "tools/luod/identity.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/monitor.h"
#include "tools/luod/registration.h"
#include "tools/luod/stores.h"
#include "tools/luod/vault.h"

static int reply_no_such(struct call *call, const char *unit, const char *name)
{
	struct json_object *o = json_object_new_object();

	json_add_utf8(o, "unit", unit);
	if (!name)
		return call_error(call, "io.luo.NoSuchUnit", o);
	json_add_utf8(o, "name", name);
	return call_error(call, "io.luo.NoSuchEntry", o);
}

/* ---- Register -------------------------------------------------------------------------------- */

/*
 * A cgroup belongs to the unit only if it has the name of the unit: with the cgroup of a shell,
 * every process in it would belong to the unit.
 */
static void note_cgroup(struct luod *l, struct luo_unit *unit, const struct peer *peer)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	struct luo_unit *same;

	if (proc_cgroup(peer->pid, &path) < 0 || cgroup_to_unit(path, &name) < 0 ||
	    !streq(name, unit->name) || !pidfd_is_there(peer->pidfd))
		return;
	/* The cgroup of the unit itself, not one below it. */
	for (char *p = strstr(path, name); p; p = strstr(p + 1, name))
		if (p > path && p[-1] == '/' && (p[strlen(name)] == '/' || !p[strlen(name)])) {
			p[strlen(name)] = 0;
			break;
		}
	(void)luo_store_add_unit(l->state.stored, unit->name, path, &same);
}

static uint64_t count_held(const struct luod *l, const char *name)
{
	struct luo_store *store = stores_incoming(l);
	struct luo_unit *unit = store ? luo_store_find_unit(store, name) : NULL;
	uint64_t n = unit ? unit->n_entries : 0;

	unit = luo_store_find_unit(l->state.held, name);
	return n + (unit ? unit->n_entries : 0);
}

/*
 * A caller that is not root may register only as the unit of its cgroup, or as the unit that it is
 * registered as already.
 */
static int may_register(struct call *call, const char *unit)
{
	_cleanup_free_ char *own = NULL;

	return call_unit(call, unit, &own);
}

int api_register(struct call *call)
{
	const char *name = NULL;
	uint64_t max = 0;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, true, &name, NULL, true },
		{ "fdstoreMax", PARAMETER_NUMBER, false, &max, NULL, true },
	};
	struct luod *l = call->luod;
	struct json_object *o;
	struct luo_unit *unit;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = may_register(call, name);
	if (r != 0)
		return r < 0 ? r : 0;
	if (max > l->options.fdstore_max_total ||
	    (max > l->options.fdstore_max && !call_is_root(call)))
		return call_invalid(call, "fdstoreMax");
	r = vault_unit(l, name, &unit);
	if (r < 0)
		return r;
	if (max > 0)
		unit->fdstore_max = (unsigned)max;
	note_cgroup(l, unit, &call->connection->peer);
	r = vault_unit_changed(l, unit);
	if (r >= 0)
		r = registration_add_caller(l, name, &call->connection->peer);
	if (r < 0) {
		vault_unit_release(l, name);
		return call_failed(call, r, "Cannot register process %d as %s: %s.",
				   (int)call->connection->peer.pid, name, strerror(-r));
	}
	log_info("%s: process %d is registered.", name, (int)call->connection->peer.pid);
	monitor_emit(l, "registered", name, NULL, NULL);
	o = json_object_new_object();
	json_add_utf8(o, "unit", name);
	json_add_number(o, "stored", unit->n_entries);
	json_add_number(o, "held", count_held(l, name));
	return call_reply(call, o);
}

/* ---- Store ----------------------------------------------------------------------------------- */

static int reply_store_failed(struct call *call, const char *unit, const char *name, int error)
{
	monitor_emit(call->luod, "refused", unit, name, strerror(-error));
	if (error == -EDQUOT)
		return call_failed(
			call, error,
			"The store of %s is full: \"%s\" and the fds after it were not stored.",
			unit, name);
	if (error == -ENOSPC)
		return call_failed(
			call, error,
			"luod is full (--fdstore-max-total=%u): \"%s\" and the fds after it were not stored.",
			call->luod->options.fdstore_max_total, name);
	return call_failed(call, error, "Cannot store \"%s\" of %s: %s.", name, unit,
			   strerror(-error));
}

static int store_all(struct call *call, struct luo_unit *unit, struct json_object *names, bool poll,
		     bool manager)
{
	struct json_object *o;
	uint64_t stored = 0;

	for (size_t i = 0; i < call->n_fds; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		int fd = TAKE_FD(call->fds[i]), r;

		if (manager)
			r = vault_add_manager_fd(call->luod, unit, name, fd, poll);
		else
			r = vault_add_fd(call->luod, unit, name, fd, poll);
		if (r < 0)
			return reply_store_failed(call, unit->name, name, r);
		stored += r == VAULT_ADDED;
	}
	o = json_object_new_object();
	json_add_number(o, "stored", stored);
	return call_reply(call, o);
}

/*
 * This is in the blackout, and PID 1 still has all of the fds: so the keeper is waited for once, at
 * the end. A client without an answer, because luod was killed, sends them again.
 */
static int store_from_manager(struct call *call, struct luo_unit *unit, struct json_object *names,
			      bool poll)
{
	struct luod *l = call->luod;
	int r, settled;

	r = unit_set_managed(unit);
	if (r > 0)
		r = vault_unit_changed(l, unit);
	if (r < 0)
		return r;
	l->keeper.lazy = true;
	r = store_all(call, unit, names, poll, true);
	l->keeper.lazy = false;
	settled = keeper_settle(&l->keeper);
	if (settled < 0)
		log_warning("The keeper (%s) does not answer: %s.", keeper_to_string(&l->keeper),
			    strerror(-settled));
	return r;
}

int api_store(struct call *call)
{
	struct json_object *names = NULL;
	_cleanup_free_ char *unit_name = NULL;
	const char *asked = NULL;
	bool poll = true, manager = false;
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL, true },
		{ "names", PARAMETER_STRINGS, true, &names, NULL, true },
		{ "poll", PARAMETER_BOOL, false, &poll, NULL, true },
		{ "manager", PARAMETER_BOOL, false, &manager, NULL, true },
	};
	struct luo_unit *unit;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &unit_name);
	if (r != 0)
		return r < 0 ? r : 0;
	/* If anything is wrong, nothing is stored. */
	if (json_object_array_length(names) != call->n_fds)
		return call_invalid(call, "names");
	for (size_t i = 0; i < call->n_fds; i++)
		if (!luo_fdname_is_valid(
			    json_object_get_string(json_object_array_get_idx(names, i))))
			return call_invalid(call, "names");
	if (manager && !call_is_root(call))
		return call_error_text(call, "io.luo.NotPermitted",
				       "Only root may store fds of the service manager.");
	r = vault_unit(call->luod, unit_name, &unit);
	if (r < 0)
		return r;
	if (manager)
		r = store_from_manager(call, unit, names, poll);
	else
		r = store_all(call, unit, names, poll, false);
	vault_unit_release(call->luod, unit_name);
	return r;
}

/* ---- Drop ------------------------------------------------------------------------------------ */

struct drop {
	const char *name;
	uint64_t dropped, bytes;
};

static uint64_t bytes_of(const struct luo_entry *e)
{
	struct stat st;

	if (e->fd >= 0 && fstat(e->fd, &st) >= 0 && S_ISREG(st.st_mode))
		return (uint64_t)st.st_size;
	return 0;
}

/* The unit may be freed with its last entry, so its entries are counted first. */
static int drop_from(struct luod *l, struct luo_store *store, const char *unit_name,
		     struct drop *drop)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, unit_name) : NULL;
	size_t left = unit ? unit->n_entries : 0;

	for (size_t i = 0; left-- > 0;) {
		struct luo_entry *entry = unit->entries[i];
		uint64_t bytes = bytes_of(entry);
		int r;

		if (drop->name && !streq(entry->name, drop->name)) {
			i++;
			continue;
		}
		r = store == stores_incoming(l) ? holdings_drop(l, entry, &bytes)
						: vault_remove(l, entry);
		if (r < 0)
			return r;
		drop->dropped++;
		drop->bytes += bytes;
	}
	return 0;
}

int api_drop(struct call *call)
{
	_cleanup_free_ char *unit = NULL;
	const char *asked = NULL, *state = NULL;
	struct drop drop = { 0 };
	struct parameter table[] = {
		{ "unit", PARAMETER_STRING, false, &asked, NULL, true },
		{ "name", PARAMETER_STRING, false, &drop.name, NULL, true },
		{ "state", PARAMETER_STRING, false, &state, NULL, true },
	};
	struct luod *l = call->luod;
	struct json_object *o;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r == 0)
		r = call_unit_to_change(call, asked, &unit);
	if (r != 0)
		return r < 0 ? r : 0;
	if (state && !streq(state, "stored") && !streq(state, "held") && !streq(state, "lost"))
		return call_invalid(call, "state");
	if (!unit_is_known(l, unit))
		return reply_no_such(call, unit, NULL);
	if (!state || streq(state, "stored"))
		r = drop_from(l, l->state.stored, unit, &drop);
	if (r >= 0 && (!state || streq(state, "held")))
		r = drop_from(l, l->state.held, unit, &drop);
	if (r >= 0 && (!state || streq(state, "held")))
		r = drop_from(l, stores_incoming(l), unit, &drop);
	if (r >= 0 && (!state || streq(state, "lost")))
		r = drop_from(l, l->state.lost, unit, &drop);
	holdings_settle(l);
	vault_unit_release(l, unit);
	if (r < 0)
		return r;
	if (drop.dropped == 0 && drop.name)
		return reply_no_such(call, unit, drop.name);
	if (drop.dropped > 0)
		monitor_emit(l, "dropped", unit, drop.name, NULL);
	o = json_object_new_object();
	json_add_number(o, "dropped", drop.dropped);
	json_add_number(o, "bytes", drop.bytes);
	return call_reply(call, o);
}
