/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which unit is a process of?
 *
 *  1. it, or one of its ancestors, is registered as the main process of a unit;
 *  2. its cgroup is, or lies below, the cgroup of a unit that we know;
 *  3. its cgroup has the name of a unit in it, as systemd and OpenRC give them.
 *
 * All of it is read from /proc by pid, and holds only if the process is still there afterwards.
 */

#include "luod.h"

#define ANCESTORS_MAX 64

static const char *registered_unit(const struct luod *l, pid_t pid, uint64_t start)
{
	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (l->state.registrations[i].pid == pid &&
		    l->state.registrations[i].start == start)
			return l->state.registrations[i].unit;
	return NULL;
}

/* A process that was reaped has no /proc any more, but its pidfd still says which one it was. */
static const char *registered_pidfd(const struct luod *l, int pidfd)
{
	if (pidfd < 0)
		return NULL;
	for (const struct watcher *w = l->watchers; w; w = w->next)
		if (pidfd_same(w->pidfd, pidfd) == 1)
			return registered_unit(l, w->pid, w->start);
	return NULL;
}

static const char *registered_ancestor(const struct luod *l, pid_t pid)
{
	uint64_t child_start = UINT64_MAX;

	if (l->state.n_registrations == 0)
		return NULL;
	for (int i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		const char *unit;
		uint64_t start;
		pid_t parent;

		if (proc_stat(pid, &parent, &start) < 0)
			return NULL;
		/* Everybody descends from init: that says nothing. */
		if (pid == 1 && i > 0)
			return NULL;
		/* Nobody is younger than his child: this pid went to somebody else meanwhile. */
		if (start > child_start)
			return NULL;
		unit = registered_unit(l, pid, start);
		if (unit)
			return unit;
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
	known_cgroup_in(holdings_store(l), path, &best);
	if (!best)
		return cgroup_to_unit(path, ret_unit);
	*ret_unit = strdup(best->name);
	return *ret_unit ? 0 : -ENOMEM;
}

int resolve_unit(struct luod *l, const struct peer *peer, char **ret_unit, char **ret_cgroup)
{
	_cleanup_free_ char *unit = NULL, *cgroup = NULL;
	const char *registered;
	int r = 0;

	registered = registered_pidfd(l, peer->pidfd);
	if (!registered && peer->pid > 0)
		registered = registered_ancestor(l, peer->pid);
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
