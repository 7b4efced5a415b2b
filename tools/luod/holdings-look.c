/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Only one process can have the device, so the first attempt may fail. A unit with stored fds gets
 * them in any case. Nothing is committed before the sessions are retrieved, because the next kexec
 * frees what is left in the kernel.
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
		/* It stays open: a leaked fd is better than freed memory. */
		log_error("Too many sessions came in: one of them is only held.");
		return;
	}
	r = keeper_push(&rt->luod->keeper, keeper_name('i', rt->n, name), fd);
	if (r >= 0)
		r = keeper_settle(&rt->luod->keeper);
	if (r < 0)
		problem_report(
			rt->luod,
			"Cannot hand a session of the previous kernel to the keeper: %s. If luod ends, what is in the session is lost.",
			strerror(-r));
	rt->sessions[rt->n] = (struct kept_session){ .number = rt->n, .fd = fd };
	rt->n++;
}

static bool error_is_temporary(int error)
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

static int retrieve_incoming(struct luod *l, uint64_t timeout_usec)
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
	if (r < 0 && (rt->n > 0 || !error_is_temporary(r))) {
		if (r != -ENODEV && r != -EOPNOTSUPP)
			problem_report(l, "Cannot retrieve what the previous kernel left: %s.",
				       strerror(-r));
		r = 0;
	}
	free(rt);
	return MIN2(r, 0);
}

static void record_retrieved(struct luod *l)
{
	struct json_writer w = { 0 };

	l->look_error = 0;
	sd_event_source_disable_unref(TAKE_PTR(l->look_source));
	if (l->state.looked)
		return;
	l->state.looked = true;
	record_looked(&w);
	journal_must_write(l, &w);
}

int holdings_look(struct luod *l, uint64_t timeout_usec)
{
	bool again = l->look_source != NULL;
	int r;

	if (l->look_error == 0)
		return 0;
	r = retrieve_incoming(l, timeout_usec);
	if (r < 0) {
		l->look_error = r;
		return r;
	}
	record_retrieved(l);
	if (again)
		log_notice("It is known now what the previous kernel left.");
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct luod *l = userdata;

	if (holdings_look(l, 0) >= 0)
		return 0;
	(void)sd_event_source_set_time(source, now_usec(CLOCK_MONOTONIC) + AGAIN_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void holdings_look_start(struct luod *l)
{
	/* The supervisor has waited for the device already. */
	bool wait = l->state.restarts == 0 && l->keeper.kind != KEEPER_SUPERVISOR;
	int r;

	if (l->state.looked)
		return;
	if (l->state.incoming_name || l->n_sessions > 0) {
		record_retrieved(l);
		return;
	}
	/*
	 * Also if the supervisor has found nothing: it may have failed to look. Then no second
	 * process has the fd between the ioctl and the push. That is a short time, and better than
	 * a session that is never retrieved.
	 */
	l->look_error = -EBUSY;
	r = holdings_look(l, wait ? RETRIEVE_TIMEOUT_USEC : 0);
	if (r >= 0)
		return;
	log_error(
		"Cannot retrieve what the previous kernel left: %s. luod tries again; until then it commits nothing, and units without stored fds have to wait.",
		strerror(-r));
	r = sd_event_add_time(l->event, &l->look_source, CLOCK_MONOTONIC,
			      now_usec(CLOCK_MONOTONIC) + AGAIN_USEC, 0, on_timer, l);
	if (r < 0)
		log_error("Cannot set a timer: %s. luod tries again at the next claim or commit.",
			  strerror(-r));
}
