/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_LUOD_H
#define LUOD_LUOD_H

/*
 * The state of one luod process: one event loop, no threads, one struct. Every module gets the
 * struct as its first argument. Each module has a header of its own, which says what it promises.
 *
 * A kill at any moment is harmless, because the order is always the same:
 *
 *   an fd comes    push it to the keeper, append the record, then tell the sender that it is safe
 *   an fd goes     append the record, remove it at the keeper, then answer
 *
 * After a kill the log is right: a file at the keeper that the log does not name was never
 * acknowledged, or was removed.
 */

#include <systemd/sd-event.h>

#include <luo/inspect.h>
#include <luo/session.h>

#include "tools/luod/keeper.h"
#include "tools/luod/options.h"
#include "tools/luod/outgoing.h"
#include "tools/luod/state.h"
#include "tools/luod/state-log.h"

struct kept_session;
struct luo_incoming;
struct server;
struct watcher;

struct luod {
	struct options options;
	sd_event *event;
	struct keeper keeper;
	struct state state;
	struct state_log log;
	uint64_t log_compact_at; /* bytes */
	bool log_broken;         /* a write failed, and no new log was written since */
	sd_event_source *compact_source;
	sd_event_source *trim_source;

	struct luo_incoming *incoming; /* the holdings; NULL: none came in, or it is finished */
	/* Other sessions that came in: unreadable ones, and readable ones that come next. */
	struct luo_incoming *waiting[3];
	struct luo_memory_room room;   /* of the memory limit at which the last claim failed */
	struct kept_session *sessions; /* all that came in, by their names at the keeper */
	size_t n_sessions;
	enum luo_support support;
	int look_error; /* < 0: why the sessions of the previous kernel are not retrieved yet */
	sd_event_source *look_source;
	unsigned manager_version;        /* of PID 1; 0: PID 1 is not systemd */
	sd_event_source *publish_source; /* the list of units may have changed */
	char *published;
	char **problems;
	size_t n_problems;

	struct outgoing outgoing;
	struct watcher *watchers;

	int notify_fd;
	sd_event_source *notify_source;
	int varlink_fd;
	struct server *server;
};

/* Runs luod until it is told to end. The exit status, or a negative errno. */
int luod_run(const struct options *options);

#endif
