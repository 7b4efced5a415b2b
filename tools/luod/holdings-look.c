/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Looking for what the previous kernel left. Only one process can have the device, so it may be
 * that it cannot be done at once. Until it is, luod does not know what there is: who has nothing
 * stored is told to come back, and nothing is committed, because the next kexec frees what stays
 * behind.
 */

#include "tools/luod/holdings-look.h"

#include <luo/handover.h>

#include "common/json-writer.h"
#include "common/log.h"
#include "common/util.h"
#include "tools/luod/holdings.h"
#include "tools/luod/journal.h"
#include "tools/luod/keeper.h"
#include "tools/luod/luod.h"
#include "tools/luod/problem.h"
#include "tools/luod/retrieve.h"
#include "tools/luod/state-record.h"

#define AGAIN_USEC (2 * USEC_PER_SEC)

struct retrieving {
	struct luod *luod;
	struct kept_session sessions[1 + LUO_MAPPING_SPILLS_MAX];
	size_t n;
};

static void on_session(int fd, void *userdata)
{
	struct retrieving *rt = userdata;
	char name[KEEPER_NAME_SIZE];
	int r;

	if (rt->n >= ELEMENTSOF(rt->sessions)) {
		/* Rather leaked than freed. */
		log_error("More sessions came in than luod can count; one is only held.");
		return;
	}
	r = keeper_push(&rt->luod->keeper, keeper_name('i', rt->n, name), fd);
	if (r >= 0)
		r = keeper_settle(&rt->luod->keeper);
	if (r < 0)
		problem_report(
			rt->luod,
			"Cannot hand a session of the previous kernel to the keeper: %s. If luod dies, what is in it is gone.",
			strerror(-r));
	rt->sessions[rt->n] = (struct kept_session){ .number = rt->n, .fd = fd };
	rt->n++;
}

static bool goes_away(int error)
{
	switch (error) {
	case -EBUSY:
	case -EAGAIN:
	case -EINTR:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return true;
	default:
		return false;
	}
}

static int retrieve(struct luod *l, uint64_t timeout_usec)
{
	struct retrieving *rt;
	int r;

	rt = calloc(1, sizeof(*rt));
	if (!rt)
		return -ENOMEM;
	rt->luod = l;
	r = retrieve_sessions(l->options.session, timeout_usec, on_session, rt);
	if (rt->n > 0)
		holdings_adopt(l, rt->sessions, rt->n);
	if (r < 0 && (rt->n > 0 || !goes_away(r))) {
		if (r != -ENODEV && r != -EOPNOTSUPP)
			problem_report(l, "Cannot take over what the previous kernel left: %s.",
				       strerror(-r));
		r = 0;
	}
	free(rt);
	return MIN2(r, 0);
}

static void note_looked(struct luod *l)
{
	struct json_writer w = { 0 };

	l->look_error = 0;
	sd_event_source_disable_unref(TAKE_PTR(l->look_source));
	if (l->state.looked)
		return;
	l->state.looked = true;
	record_looked(&w);
	journal_must(l, &w);
}

int holdings_look(struct luod *l, uint64_t timeout_usec)
{
	bool again = l->look_source != NULL;
	int r;

	if (l->look_error == 0)
		return 0;
	r = retrieve(l, timeout_usec);
	if (r < 0) {
		l->look_error = r;
		return r;
	}
	note_looked(l);
	if (again)
		log_notice("What the previous kernel left could be looked for now.");
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct luod *l = userdata;

	if (holdings_look(l, 0) >= 0)
		return 0;
	(void)sd_event_source_set_time(source, now_usec(CLOCK_MONOTONIC) + AGAIN_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void holdings_look_start(struct luod *l)
{
	/* Whom the supervisor has started need not wait: that has waited for the device already. */
	bool wait = l->state.restarts == 0 && l->keeper.kind != KEEPER_SUPERVISOR;
	int r;

	if (l->state.looked)
		return;
	if (l->state.incoming_name || l->n_sessions > 0) {
		note_looked(l);
		return;
	}
	/*
	 * Also where the supervisor has found nothing: if it could not look, it is for us to do it.
	 * Then there is no second holder between the ioctl and the push. That is short, and better
	 * than what is never retrieved at all.
	 */
	l->look_error = -EBUSY;
	r = holdings_look(l, wait ? RETRIEVE_TIMEOUT_USEC : 0);
	if (r >= 0)
		return;
	log_error(
		"What the previous kernel left could not be looked for: %s. It is tried again; until then nothing is committed, and units without stored fds must wait.",
		strerror(-r));
	r = sd_event_add_time(l->event, &l->look_source, CLOCK_MONOTONIC,
			      now_usec(CLOCK_MONOTONIC) + AGAIN_USEC, 0, on_time, l);
	if (r < 0)
		log_error("Cannot set a timer: %s. It is tried again at a claim or commit.",
			  strerror(-r));
}
