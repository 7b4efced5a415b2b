/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The unit of a process, in this order:
 *
 *  1. it, or one of its ancestors, is registered as the main process of a unit;
 *  2. its cgroup is that of a known unit, or is below it;
 *  3. its cgroup has the name of a unit in it, as systemd and OpenRC give them.
 *
 * All sessions of users are below sshd, and a cgroup may have processes of several users in it. So
 * an ancestor or a cgroup counts only for a trusted process, or for one with the same uid as a
 * registered process of the unit. If no process is registered, the name of the cgroup counts: the
 * process that made the cgroup has put this process there.
 *
 * All of it is read from /proc by pid, and counts only if the process is still there afterwards.
 */

#include "tools/luod/resolve.h"

#include <luo/store.h>

#include "common/util.h"
#include "tools/luod/identity.h"
#include "tools/luod/luod.h"
#include "tools/luod/registration.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"

#define ANCESTORS_MAX 64

static const char *registered_unit(const struct luod *l, pid_t pid, uint64_t start)
{
	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (l->state.registrations[i].pid == pid &&
		    l->state.registrations[i].start == start)
			return l->state.registrations[i].unit;
	return NULL;
}

/* A process that was reaped is not in /proc, but its pidfd still identifies it. */
static const char *registered_pidfd(const struct luod *l, int pidfd)
{
	uint64_t inode;

	if (pidfd < 0 || !l->watchers || pidfd_inode(pidfd, &inode) < 0)
		return NULL;
	for (const struct watcher *w = l->watchers; w; w = w->next)
		if (w->inode == inode)
			return registered_unit(l, w->pid, w->start);
	return NULL;
}

static const struct watcher *find_watcher(const struct luod *l, pid_t pid, uint64_t start)
{
	for (const struct watcher *w = l->watchers; w; w = w->next)
		if (w->pid == pid && w->start == start)
			return w;
	return NULL;
}

static bool has_uid(const struct luod *l, pid_t pid, uint64_t start, uid_t uid)
{
	const struct watcher *w = find_watcher(l, pid, start);
	uid_t its;

	/* In this order: the pidfd says whether /proc described this process. */
	return w && proc_uid(pid, &its) >= 0 && pidfd_is_there(w->pidfd) && its == uid;
}

static const char *registered_ancestor(const struct luod *l, const struct peer *peer)
{
	pid_t pid = peer->pid;
	uint64_t child_start = UINT64_MAX;

	if (l->state.n_registrations == 0)
		return NULL;
	for (int i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		const char *unit;
		uint64_t start;
		pid_t parent;

		if (proc_stat(pid, &parent, &start) < 0)
			return NULL;
		/* Every process descends from init, so that says nothing. */
		if (pid == 1 && i > 0)
			return NULL;
		/* A parent is not younger than its child: another process has this pid now. */
		if (start > child_start)
			return NULL;
		unit = registered_unit(l, pid, start);
		if (unit) {
			if (i == 0 || peer_is_trusted(peer) || has_uid(l, pid, start, peer->uid))
				return unit;
			return NULL;
		}
		child_start = start;
		pid = parent;
	}
	return NULL;
}

/* The unit with the longest cgroup that @path is in. */
static void known_cgroup_in(const struct luo_store *store, const char *path,
			    const struct luo_unit **best)
{
	struct luo_unit *u;

	if (!store)
		return;
	LUO_FOREACH_UNIT (u, store)
		if (u->cgroup && cgroup_is_below(path, u->cgroup) &&
		    (!*best || strlen(u->cgroup) > strlen((*best)->cgroup)))
			*best = u;
}

static int unit_of_cgroup(struct luod *l, const char *path, char **ret_unit)
{
	const struct luo_unit *best = NULL;

	known_cgroup_in(l->state.stored, path, &best);
	known_cgroup_in(l->state.held, path, &best);
	known_cgroup_in(stores_incoming(l), path, &best);
	if (!best)
		return cgroup_to_unit(path, ret_unit);
	*ret_unit = strdup(best->name);
	return *ret_unit ? 0 : -ENOMEM;
}

/* @path is the cgroup of the peer, and @unit the unit that it was resolved to. */
static bool cgroup_counts(const struct luod *l, const struct peer *peer, const char *path,
			  const char *unit)
{
	_cleanup_free_ char *name = NULL;
	bool registered = false;

	if (peer_is_trusted(peer))
		return true;
	for (size_t i = 0; i < l->state.n_registrations; i++) {
		const struct state_registration *reg = &l->state.registrations[i];

		if (!streq(reg->unit, unit))
			continue;
		if (has_uid(l, reg->pid, reg->start, peer->uid))
			return true;
		registered = true;
	}
	return !registered && cgroup_to_unit(path, &name) >= 0 && streq(name, unit);
}

int resolve_unit(struct luod *l, const struct peer *peer, char **ret_unit, char **ret_cgroup)
{
	_cleanup_free_ char *unit = NULL, *cgroup = NULL;
	const char *registered;
	int r = 0;

	registered = registered_pidfd(l, peer->pidfd);
	if (!registered && peer->pid > 0)
		registered = registered_ancestor(l, peer);
	if (registered) {
		unit = strdup(registered);
		if (!unit)
			return -ENOMEM;
	} else {
		if (peer->pid <= 0)
			return -ESRCH;
		r = proc_cgroup(peer->pid, &cgroup);
		if (r >= 0)
			r = unit_of_cgroup(l, cgroup, &unit);
		if (r == -ENOMEM)
			return r;
		if (unit && !cgroup_counts(l, peer, cgroup, unit)) {
			free(unit);
			unit = NULL;
		}
	}
	if (!pidfd_is_there(peer->pidfd) && !(registered && registered_pidfd(l, peer->pidfd)))
		return -ESTALE;
	if (!unit)
		return -ESRCH;
	*ret_unit = TAKE_PTR(unit);
	if (ret_cgroup)
		*ret_cgroup = TAKE_PTR(cgroup);
	return 0;
}
