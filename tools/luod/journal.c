/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Appends to the state log, and writes it anew when most of it is history. */

#include "tools/luod/journal.h"

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/problem.h"
#include "tools/luod/state-log.h"
#include "tools/luod/state-record.h"
#include "tools/luod/state.h"

#define COMPACT_MIN (256 * 1024)

static int push_log(struct luod *l, int fd, uint64_t generation)
{
	char name[KEEPER_NAME_SIZE];

	return keeper_push(&l->keeper, keeper_name('L', generation, name), fd);
}

/*
 * The new log is complete before the keeper gets it, and the old one is removed after that: the
 * keeper has a correct log at any moment. If it has both, they say the same, and the newer one
 * counts.
 */
int journal_compact(struct luod *l)
{
	struct state_log fresh = { .fd = -EBADF };
	uint64_t old = l->state.generation;
	char name[KEEPER_NAME_SIZE];
	int r;

	r = state_log_create(&fresh);
	if (r < 0)
		return r;
	l->state.generation = old + 1;
	r = state_snapshot(&l->state, l->options.session, &fresh);
	if (r >= 0)
		r = push_log(l, fresh.fd, l->state.generation);
	if (r >= 0)
		r = keeper_settle(&l->keeper);
	if (r < 0) {
		/* The keeper may have it already, and it must not count as the newest log later. */
		(void)keeper_remove(&l->keeper, keeper_name('L', l->state.generation, name));
		l->state.generation = old;
		state_log_close(&fresh);
		return r;
	}
	if (l->log.fd >= 0)
		(void)keeper_remove(&l->keeper, keeper_name('L', old, name));
	state_log_close(&l->log);
	l->log = fresh;
	l->log_compact_at = 2 * fresh.end + COMPACT_MIN;
	l->log_broken = false;
	return 0;
}

/* Called by the loop, so never in the middle of a change. */
static int on_compact(sd_event_source *source, void *userdata)
{
	struct luod *l = userdata;
	int r;

	/* PID 1 would bring the new log into the next kernel, where it means nothing. */
	if (l->outgoing.handed_over)
		return 0;
	r = journal_compact(l);
	if (r < 0)
		log_limited(LOG_WARNING, "Cannot rewrite the state log: %s. It continues to grow.",
			    strerror(-r));
	return 0;
}

int journal_start(struct luod *l)
{
	int r;

	r = journal_compact(l);
	if (r < 0)
		return r;
	r = sd_event_add_defer(l->event, &l->compact_source, on_compact, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->compact_source, SD_EVENT_OFF);
	return r;
}

/* publish.c writes the list of units when the loop comes to its source. */
static void wake_publish(struct luod *l)
{
	if (l->publish_source)
		(void)sd_event_source_set_enabled(l->publish_source, SD_EVENT_ONESHOT);
}

int journal_write(struct luod *l, struct json_writer *w)
{
	int r = state_write(&l->log, w);

	if (r < 0) {
		log_error("Cannot write to the state log: %s. The change is refused.",
			  strerror(-r));
		return r;
	}
	l->state.stale = true;
	wake_publish(l);
	if (l->log.end >= l->log_compact_at && l->compact_source)
		(void)sd_event_source_set_enabled(l->compact_source, SD_EVENT_ONESHOT);
	return 0;
}

void journal_must_write(struct luod *l, struct json_writer *w)
{
	int r = state_write(&l->log, w);

	wake_publish(l);
	if (r < 0 && !l->log_broken) {
		l->log_broken = true;
		problem_report(
			l,
			"Cannot write to the state log: %s. After a kill, luod would start with an older state. luod tries to rewrite the log.",
			strerror(-r));
	}
	if ((r < 0 || l->log.end >= l->log_compact_at) && l->compact_source)
		(void)sd_event_source_set_enabled(l->compact_source, SD_EVENT_ONESHOT);
}
