/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* A registration is a record in the state and a watcher of the pidfd. */

#include "tools/luod/registration.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "tools/luod/identity.h"
#include "tools/luod/journal.h"
#include "tools/luod/luod.h"
#include "tools/luod/monitor.h"
#include "tools/luod/state-record.h"
#include "tools/luod/state.h"
#include "tools/luod/vault.h"

/* Lower than that of the sockets: what a process sent last is read before it is removed. */
#define PRIORITY_EXIT (SD_EVENT_PRIORITY_NORMAL + 10)
#define WATCHERS_MAX  4096
#define PER_UNIT_MAX  16 /* root may have more */

static void watcher_free(struct watcher *watcher)
{
	sd_event_source_disable_unref(watcher->source);
	safe_close(watcher->pidfd);
	free(watcher);
}

static void watcher_unlink(struct watcher *watcher)
{
	struct watcher **p = &watcher->luod->watchers;

	while (*p && *p != watcher)
		p = &(*p)->next;
	if (*p)
		*p = watcher->next;
}

static const char *unit_of(const struct luod *l, const struct watcher *watcher)
{
	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (l->state.registrations[i].pid == watcher->pid &&
		    l->state.registrations[i].start == watcher->start)
			return l->state.registrations[i].unit;
	return NULL;
}

static void remove_registration(struct luod *l, pid_t pid, uint64_t start)
{
	struct json_writer w = { 0 };

	state_remove_registration(&l->state, pid, start);
	record_unregistered(&w, pid, start);
	journal_must_write(l, &w);
}

static int on_process_exit(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct watcher *watcher = userdata;
	struct luod *l = watcher->luod;
	const char *known = unit_of(l, watcher);
	_cleanup_free_ char *unit = known ? strdup(known) : NULL;

	remove_registration(l, watcher->pid, watcher->start);
	if (unit) {
		log_info("%s: process %d has exited, the store stays.", unit, (int)watcher->pid);
		monitor_emit(l, "gone", unit, NULL, NULL);
		vault_unit_release(l, unit);
	}
	watcher_unlink(watcher);
	watcher_free(watcher);
	return 0;
}

/* Takes over the pidfd. */
static int watch_process(struct luod *l, pid_t pid, uint64_t start, int pidfd, bool named)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));
	int r;

	if (!watcher) {
		safe_close(pidfd);
		return -ENOMEM;
	}
	*watcher = (struct watcher){
		.luod = l, .pid = pid, .start = start, .pidfd = pidfd, .named = named
	};
	if (pidfd_inode(pidfd, &watcher->inode) < 0)
		watcher->inode = 0;
	r = sd_event_add_io(l->event, &watcher->source, pidfd, EPOLLIN, on_process_exit, watcher);
	if (r >= 0)
		r = sd_event_source_set_priority(watcher->source, PRIORITY_EXIT);
	if (r < 0) {
		watcher_free(watcher);
		return r;
	}
	watcher->next = l->watchers;
	l->watchers = watcher;
	return 0;
}

static struct watcher *find_watcher(struct luod *l, pid_t pid, uint64_t start, size_t *ret_n)
{
	struct watcher *found = NULL;

	*ret_n = 0;
	for (struct watcher *w = l->watchers; w; w = w->next, (*ret_n)++)
		if (w->pid == pid && w->start == start)
			found = w;
	return found;
}

/* The process that is removed first if the unit has too many. */
static struct watcher *oldest_named(struct luod *l, const char *unit, size_t *ret_n)
{
	struct watcher *oldest = NULL;

	*ret_n = 0;
	for (struct watcher *w = l->watchers; w; w = w->next) {
		const char *its = unit_of(l, w);

		if (!its || !streq(its, unit))
			continue;
		(*ret_n)++;
		if (w->named)
			oldest = w;
	}
	return oldest;
}

static int make_room(struct luod *l, const char *unit)
{
	struct watcher *oldest;
	size_t n;

	while ((oldest = oldest_named(l, unit, &n)) && n >= PER_UNIT_MAX) {
		log_debug("%s: process %d is no longer registered: newer ones took its place.",
			  unit, (int)oldest->pid);
		remove_registration(l, oldest->pid, oldest->start);
		watcher_unlink(oldest);
		watcher_free(oldest);
	}
	return n >= PER_UNIT_MAX ? -ENOSPC : 0;
}

static int add_registration(struct luod *l, const char *unit, const struct peer *peer, bool named,
			    bool limited)
{
	struct state_registration record = { .unit = (char *)unit, .pid = peer->pid };
	struct json_writer w = { 0 };
	struct watcher *watcher;
	const char *its;
	int pidfd, r;
	pid_t parent;
	size_t n;

	r = proc_stat(peer->pid, &parent, &record.start);
	if (r < 0)
		return r;
	/* Only now it is known that /proc described this process. */
	if (!pidfd_is_running(peer->pidfd))
		return -ESRCH;
	watcher = find_watcher(l, peer->pid, record.start, &n);
	its = watcher ? unit_of(l, watcher) : NULL;
	/* Nothing changes, so nothing is recorded. */
	if (its && streq(its, unit)) {
		watcher->named = watcher->named && named;
		return 0;
	}
	if (limited) {
		r = make_room(l, unit);
		if (r < 0)
			return r;
	}
	if (!watcher) {
		if (n >= WATCHERS_MAX)
			return -ENOSPC;
		pidfd = fcntl(peer->pidfd, F_DUPFD_CLOEXEC, 3);
		if (pidfd < 0)
			return -errno;
		r = watch_process(l, peer->pid, record.start, pidfd, named);
		if (r < 0)
			return r;
	}
	r = state_add_registration(&l->state, unit, record.pid, record.start);
	if (r < 0)
		return r;
	record_registered(&w, &record);
	return journal_write(l, &w);
}

int registration_add_caller(struct luod *l, const char *unit, const struct peer *caller)
{
	return add_registration(l, unit, caller, false, !peer_is_trusted(caller));
}

int registration_add(struct luod *l, const char *unit, const struct peer *process)
{
	return add_registration(l, unit, process, true, true);
}

/*
 * The log does not say which process was named. The oldest process of a unit probably registered
 * itself.
 */
static bool is_oldest(const struct luod *l, const struct state_registration *one)
{
	for (size_t i = 0; i < l->state.n_registrations; i++)
		if (streq(l->state.registrations[i].unit, one->unit) &&
		    l->state.registrations[i].start < one->start)
			return false;
	return true;
}

void registrations_resume(struct luod *l)
{
	for (size_t i = 0; i < l->state.n_registrations;) {
		pid_t pid = l->state.registrations[i].pid, parent;
		uint64_t start = l->state.registrations[i].start, now;
		int pidfd = pidfd_open_process(pid), r;

		r = pidfd < 0 ? pidfd : proc_stat(pid, &parent, &now);
		if (r >= 0 && now == start &&
		    watch_process(l, pid, start, TAKE_FD(pidfd),
				  !is_oldest(l, &l->state.registrations[i])) >= 0) {
			i++;
			continue;
		}
		safe_close(pidfd);
		log_debug("%s: process %d exited while luod was not running.",
			  l->state.registrations[i].unit, (int)pid);
		state_remove_registration(&l->state, pid, start);
	}
}

void registrations_free(struct luod *l)
{
	while (l->watchers) {
		struct watcher *watcher = l->watchers;

		l->watchers = watcher->next;
		watcher_free(watcher);
	}
}
