/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Sets luod up, and handles the signals that end it. */

#include "tools/luod/luod.h"

#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <luo/session.h>
#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "manager/manager.h"
#include "tools/luod/holdings-look.h"
#include "tools/luod/holdings.h"
#include "tools/luod/keeper.h"
#include "tools/luod/notify.h"
#include "tools/luod/options.h"
#include "tools/luod/outgoing.h"
#include "tools/luod/problem.h"
#include "tools/luod/publish.h"
#include "tools/luod/recover.h"
#include "tools/luod/registration.h"
#include "tools/luod/server.h"
#include "tools/luod/sockets.h"
#include "tools/luod/state-log.h"
#include "tools/luod/state.h"
#include "tools/luod/stores.h"
#include "tools/luod/vault.h"

/* For RestartForceExitStatus= in luod.service. The supervisor starts luod again in any case. */
#define EXIT_RESTART 133
/* Fds beside the store: sockets, connections, fds on their way through them, sessions. */
#define FDS_BESIDE 65536
#define FDS_LEAST  1024

/* luod has one fd for each stored fd, and briefly a second one that goes out to a client. */
static void raise_fd_limit(struct luod *l)
{
	rlim_t want = 2 * (rlim_t)l->options.fdstore_max_total + FDS_BESIDE;
	struct rlimit limit, more = { want, want };
	rlim_t room;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max >= want || setrlimit(RLIMIT_NOFILE, &more) < 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	} else
		limit = more;
	/* A full luod is better than one that is out of fds. */
	room = limit.rlim_cur > 2 * FDS_LEAST ? limit.rlim_cur - FDS_LEAST : limit.rlim_cur / 2;
	if (l->options.fdstore_max_total <= room)
		return;
	log_warning(
		"Only %llu fds can be open (RLIMIT_NOFILE): luod stores at most %llu, not %u (--fdstore-max-total).",
		(unsigned long long)limit.rlim_cur, (unsigned long long)room,
		l->options.fdstore_max_total);
	l->options.fdstore_max_total = (unsigned)room;
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct luod *l = userdata;
	struct luo_store *incoming = stores_incoming(l);
	size_t n = luo_store_n_entries(l->state.stored) + luo_store_n_entries(l->state.held);

	/*
	 * Under systemd, systemd decides what happens to the fds; the supervisor ends together with
	 * luod.
	 */
	if (l->keeper.kind == KEEPER_NONE && (n > 0 || incoming))
		log_warning("Ending. There is no keeper: freeing %zu stored %s.", n,
			    plural(n, "fd", "fds"));
	else
		log_info("Ending.");
	return sd_event_exit(l->event, 0);
}

/* SIGHUP restarts luod with the program that is on disk now. That needs a keeper. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct luod *l = userdata;

	if (l->keeper.kind == KEEPER_NONE) {
		log_warning("Ignoring SIGHUP: there is no keeper that starts luod again.");
		return 0;
	}
	log_info("Starting again.");
	return sd_event_exit(l->event, l->keeper.kind == KEEPER_SYSTEMD ? EXIT_RESTART : 0);
}

/* luod continues, and still has every fd, but no process would start it again. */
static int on_keeper_gone(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct luod *l = userdata;

	l->keeper.kind = KEEPER_NONE;
	problem_report(
		l,
		"The supervisor is gone. luod still has every fd, but they are lost if luod ends. Commit, or start a new luod and let the services store them again.");
	return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* Gives memory that a large message needed back to the system. */
static void trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static int on_trim(sd_event_source *source, void *userdata)
{
	trim();
	return 0;
}

static int setup_events(struct luod *l)
{
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);

	r = sd_event_new(&l->event);
	if (r >= 0)
		r = sd_event_add_signal(l->event, NULL, SIGTERM, on_terminate, l);
	if (r >= 0)
		r = sd_event_add_signal(l->event, NULL, SIGINT, on_terminate, l);
	if (r >= 0)
		r = sd_event_add_signal(l->event, NULL, SIGHUP, on_hangup, l);
	if (r >= 0)
		r = sd_event_add_defer(l->event, &l->trim_source, on_trim, l);
	if (r >= 0)
		r = sd_event_source_set_priority(l->trim_source, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->trim_source, SD_EVENT_OFF);
	return r;
}

static void check_kernel(struct luod *l)
{
	l->support = l->options.no_live_update ? LUO_SUPPORT_NONE : luo_support();
	if (l->support == LUO_SUPPORT_ON)
		holdings_look_start(l);
	if (l->state.restarts > 0)
		return;
	if (l->options.no_live_update)
		log_info(
			"Live update is switched off (--no-live-update): luod is a plain fd store.");
	else if (l->support == LUO_SUPPORT_NONE)
		log_notice(
			"This kernel has no live update (CONFIG_LIVEUPDATE): luod is a plain fd store, and nothing survives a reboot.");
	else if (l->support == LUO_SUPPORT_OFF)
		log_notice(
			"Live update is off in this kernel (it needs kho=on liveupdate=on on its command line): luod is a plain fd store, and nothing survives a reboot.");
}

static int setup(struct luod *l)
{
	int r;

	if (luo_manager_version(&l->manager_version) < 0)
		l->manager_version = 0;
	r = keeper_open(&l->keeper);
	if (r < 0)
		log_warning("Cannot talk to the keeper: %s.", strerror(-r));
	if (l->keeper.kind == KEEPER_NONE)
		log_warning(
			"There is no keeper: if luod is killed, all fds are lost. Start it with --supervise, or from systemd with FileDescriptorStoreMax=.");
	raise_fd_limit(l);
	r = setup_events(l);
	if (r >= 0)
		r = state_init(&l->state);
	if (r < 0) {
		log_error("Cannot set up: %s.", strerror(-r));
		return r;
	}
	r = recover(l);
	if (r < 0)
		return r;
	if (l->keeper.kind == KEEPER_SUPERVISOR)
		(void)sd_event_add_io(l->event, NULL, l->keeper.fd, 0, on_keeper_gone, l);
	check_kernel(l);
	r = publish_start(l);
	if (r >= 0)
		r = notify_start(l);
	if (r >= 0)
		r = server_start(l);
	if (r < 0)
		log_error("Cannot start: %s.", strerror(-r));
	return r;
}

static void free_all(struct luod *l)
{
	struct luo_unit *unit;
	struct luo_entry *entry;

	server_free(l->server);
	registrations_free(l);
	sockets_close(l);
	if (l->state.stored)
		LUO_FOREACH_UNIT (unit, l->state.stored)
			LUO_FOREACH_ENTRY (entry, unit)
				vault_unwatch(entry);
	holdings_free(l);
	outgoing_free(l);
	state_log_close(&l->log);
	state_clear(&l->state);
	problems_free(l);
	free(l->published);
	sd_event_source_disable_unref(l->publish_source);
	sd_event_source_disable_unref(l->look_source);
	sd_event_source_disable_unref(l->compact_source);
	sd_event_source_disable_unref(l->trim_source);
	sd_event_unref(l->event);
	safe_close(l->keeper.fd);
}

int luod_run(const struct options *options)
{
	struct luod l = {
		.options = *options,
		.keeper.fd = -EBADF,
		.log.fd = -EBADF,
		.notify_fd = -EBADF,
		.varlink_fd = -EBADF,
		.outgoing.mapping_fd = -EBADF,
		.outgoing.manager_mapping_fd = -EBADF,
	};
	int r;

	r = setup(&l);
	if (r >= 0) {
		(void)keeper_notify(&l.keeper, "READY=1");
		trim();
		r = sd_event_loop(l.event);
		if (r < 0)
			log_error("The event loop failed: %s.", strerror(-r));
	}
	free_all(&l);
	return r;
}
