/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Reads sessions into stores, in the new kernel.
 *
 * A retrieved session is finished when its last fd is closed, which frees everything that was not
 * retrieved. So the fds stay open while anything is unclaimed, and permanently if the mapping is
 * not understood.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <luo/session.h>

#include "libluo/handover/fixup.h"
#include "libluo/handover/incoming.h"
#include "libluo/store/internal.h"
#include "common/util.h"

#define DEVICE_TIMEOUT_USEC USEC_PER_SEC

static void problem(struct luo_incoming *incoming, const char *what, int error)
{
	free(incoming->problem);
	if (asprintf(&incoming->problem, "%s: %s", what, strerror(-error)) < 0)
		incoming->problem = NULL;
}

static int incoming_new(int session_fd, const char *name, struct luo_incoming **ret_incoming)
{
	struct luo_incoming *incoming;

	incoming = calloc(1, sizeof(*incoming));
	if (!incoming)
		return -ENOMEM;
	incoming->name = strdup(name);
	incoming->sessions = calloc(1, sizeof(int));
	incoming->groups = calloc(1, sizeof(*incoming->groups));
	if (incoming->groups) {
		incoming->n_groups = 1;
		incoming->groups[0].name = strdup(name);
	}
	if (!incoming->name || !incoming->sessions || !incoming->groups ||
	    !incoming->groups[0].name) {
		luo_incoming_free(incoming);
		return -ENOMEM;
	}
	incoming->sessions[0] = session_fd;
	incoming->n_sessions = 1;
	*ret_incoming = incoming;
	return 0;
}

/*
 * This never fails: after any error the session stays held. Only errors that will go away (no
 * memory, no free fd) have a text of their own.
 */
static void read_mapping(struct luo_incoming *incoming)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *reason = NULL;
	int r;

	r = luo_session_retrieve_fd(incoming->sessions[0], LUO_TOKEN_MAPPING, &fd);
	if (r == -ENOENT) {
		problem(incoming, "the session has no mapping at token 0", r);
		return;
	}
	if (r < 0) {
		problem(incoming, "the kernel could not restore the mapping", r);
		return;
	}
	r = luo_mapping_read_fd(fd, &incoming->mapping, &reason);
	if (r >= 0) {
		r = luo_incoming_find_shared(incoming);
		if (r >= 0)
			r = luo_incoming_note_places(incoming);
		if (r < 0) {
			incoming->mapping = luo_mapping_free(incoming->mapping);
			problem(incoming, "cannot process the mapping", r);
		}
		return;
	}
	if (reason)
		incoming->problem = TAKE_PTR(reason);
	else
		problem(incoming, "cannot read the mapping", r);
}

/*
 * The mapping cannot choose other names, because it could then take over the session of another
 * program.
 */
bool luo_session_is_further(const char *name, const char *main_name)
{
	size_t length = strlen(main_name);
	const char *number;

	if (!startswith(name, main_name) || name[length] != '.')
		return false;
	number = name + length + 1;
	return number[0] >= '1' && number[0] <= '9' &&
	       strspn(number, "0123456789") == strlen(number) && luo_session_name_is_valid(name);
}

static int make_room_for_spills(struct luo_incoming *incoming)
{
	size_t n = 1 + incoming->mapping->n_spills;
	int *grown = reallocarray(incoming->sessions, n, sizeof(int));

	if (!grown)
		return -ENOMEM;
	incoming->sessions = grown;
	while (incoming->n_sessions < n)
		incoming->sessions[incoming->n_sessions++] = -EBADF;
	return 0;
}

/* Entries whose session is missing are lost, and report it. */
static void fail_entries_of_missing_sessions(struct luo_incoming *incoming)
{
	struct luo_entry *entry;
	struct luo_unit *unit;

	LUO_FOREACH_UNIT (unit, incoming->mapping->store)
		LUO_FOREACH_ENTRY (entry, unit)
			if (entry->type == LUO_ENTRY_FD &&
			    (entry->session >= incoming->n_sessions ||
			     incoming->sessions[entry->session] == -ENOENT))
				entry->failed = -ENOENT;
}

/* First of all, because any later step may fail or kill this process. */
static void announce(const struct luo_incoming *incoming, int fd)
{
	if (incoming->on_session)
		incoming->on_session(fd, incoming->on_session_userdata);
}

/* A temporary failure must not make the files of a whole session permanently lost. */
static void retrieve_further(struct luo_incoming *incoming, int device_fd, size_t index)
{
	const char *name = incoming->mapping->spills[index - 1];
	int fd, r;

	r = luo_session_is_further(name, incoming->name)
		    ? luo_session_retrieve(device_fd, name, &fd)
		    : -ENOENT;
	if (r >= 0) {
		incoming->sessions[index] = fd;
		announce(incoming, fd);
	} else if (r == -ENOENT)
		incoming->sessions[index] = -ENOENT;
}

int luo_incoming_session(struct luo_incoming *incoming, unsigned index)
{
	_cleanup_close_ int device = -EBADF;
	int r;

	if (index >= incoming->n_sessions)
		return -ENOENT;
	if (incoming->sessions[index] != -EBADF)
		return incoming->sessions[index];

	r = luo_device_open(DEVICE_TIMEOUT_USEC, &device);
	if (r < 0)
		return r;
	retrieve_further(incoming, device, index);
	return incoming->sessions[index] == -EBADF ? -EAGAIN : incoming->sessions[index];
}

/* Reserves places for the further sessions that the mapping names, except for invalid names. */
static void expect_further(struct luo_incoming *incoming)
{
	int r = make_room_for_spills(incoming);

	if (r < 0) {
		incoming->mapping = luo_mapping_free(incoming->mapping);
		problem(incoming, "cannot process the mapping", r);
		return;
	}
	for (size_t i = 0; i < incoming->mapping->n_spills; i++)
		if (!luo_session_is_further(incoming->mapping->spills[i], incoming->name))
			incoming->sessions[i + 1] = -ENOENT;
}

static int append_session(struct luo_incoming *incoming, int fd)
{
	int *grown = reallocarray(incoming->sessions, incoming->n_sessions + 1, sizeof(int));

	if (!grown)
		return -ENOMEM;
	incoming->sessions = grown;
	incoming->sessions[incoming->n_sessions++] = fd;
	return 0;
}

/*
 * The number of further sessions is unknown, but we number them without gaps. Without a retrieve
 * they would stay in the kernel; retrieved, they can be carried on.
 */
static void hold_spills(struct luo_incoming *incoming, int device_fd)
{
	for (unsigned i = 1; i <= LUO_MAPPING_SPILLS_MAX; i++) {
		char name[LUO_SESSION_NAME_MAX + 1];
		int fd, r;

		r = snprintf(name, sizeof(name), "%s.%u", incoming->name, i);
		if (r < 0 || (size_t)r >= sizeof(name))
			return;
		r = luo_session_retrieve(device_fd, name, &fd);
		if (r == -ENOENT)
			return;
		/* If one cannot be retrieved, the next may still exist. */
		if (r < 0)
			continue;
		announce(incoming, fd);
		/* On failure the fd stays open: a leak is better than freed memory. */
		if (append_session(incoming, fd) < 0)
			return;
	}
}

static void note_group(struct luo_incoming *incoming)
{
	incoming->groups[0].n = (unsigned)incoming->n_sessions;
	if (incoming->mapping)
		incoming->groups[0].generation = incoming->mapping->generation;
}

_public_ int luo_incoming_retrieve(int device_fd, const char *name,
				   luo_incoming_session_fn on_session, void *userdata,
				   struct luo_incoming **ret_incoming)
{
	struct luo_incoming *incoming;
	int r;

	/* Do first what may fail: after the retrieve, every way back frees the session. */
	r = incoming_new(-EBADF, name, &incoming);
	if (r < 0)
		return r;
	r = luo_session_retrieve(device_fd, name, &incoming->sessions[0]);
	if (r < 0) {
		luo_incoming_free(incoming);
		return r;
	}
	incoming->on_session = on_session;
	incoming->on_session_userdata = userdata;
	announce(incoming, incoming->sessions[0]);
	read_mapping(incoming);

	if (incoming->mapping)
		expect_further(incoming);
	if (!incoming->mapping)
		hold_spills(incoming, device_fd);
	else {
		for (size_t i = 1; i < incoming->n_sessions; i++)
			if (incoming->sessions[i] == -EBADF)
				retrieve_further(incoming, device_fd, i);
		fail_entries_of_missing_sessions(incoming);
	}
	note_group(incoming);
	incoming->on_session = NULL;
	*ret_incoming = incoming;
	return 0;
}

static void adopt_spills(struct luo_incoming *incoming, const int *fds, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		_cleanup_free_ char *name = NULL;
		bool wanted = false;

		if (luo_session_get_name(fds[k], &name) >= 0 &&
		    luo_session_is_further(name, incoming->name))
			for (size_t i = 0; i < incoming->mapping->n_spills && !wanted; i++)
				if (incoming->sessions[i + 1] == -EBADF &&
				    streq(name, incoming->mapping->spills[i])) {
					incoming->sessions[i + 1] = fds[k];
					wanted = true;
				}
		/* A session that the mapping does not name is held at the end of the list. */
		if (!wanted)
			(void)append_session(incoming, fds[k]);
	}
}

_public_ int luo_incoming_adopt(const int *session_fds, size_t n,
				struct luo_incoming **ret_incoming)
{
	_cleanup_free_ char *name = NULL;
	struct luo_incoming *incoming;
	int r;

	if (n == 0)
		return -EINVAL;
	r = luo_session_get_name(session_fds[0], &name);
	if (r < 0)
		return r;
	r = incoming_new(session_fds[0], name, &incoming);
	if (r < 0)
		return r;
	read_mapping(incoming);

	if (incoming->mapping)
		expect_further(incoming);
	if (incoming->mapping) {
		adopt_spills(incoming, session_fds + 1, n - 1);
		fail_entries_of_missing_sessions(incoming);
	} else
		for (size_t i = 1; i < n; i++)
			(void)append_session(incoming, session_fds[i]);
	note_group(incoming);
	*ret_incoming = incoming;
	return 0;
}

_public_ struct luo_incoming *luo_incoming_free(struct luo_incoming *incoming)
{
	if (!incoming)
		return NULL;
	for (size_t i = 0; i < incoming->n_shared; i++) {
		safe_close(incoming->shared[i].fd);
		luo_entry_meta_clear(&incoming->shared[i].meta);
	}
	free(incoming->shared);
	for (size_t i = 0; i < incoming->n_fetched; i++) {
		safe_close(incoming->fetched[i].fd);
		free(incoming->fetched[i].name);
	}
	free(incoming->fetched);
	free(incoming->places);
	luo_mapping_free(incoming->mapping);
	close_many(incoming->sessions, incoming->n_sessions);
	free(incoming->sessions);
	for (size_t i = 0; i < incoming->n_groups; i++)
		free(incoming->groups[i].name);
	free(incoming->groups);
	free(incoming->problem);
	free(incoming->name);
	free(incoming);
	return NULL;
}

struct luo_incoming *luo_incoming_free_keep_sessions(struct luo_incoming *incoming)
{
	if (incoming)
		incoming->n_sessions = 0;
	return luo_incoming_free(incoming);
}

_public_ const char *luo_incoming_name(const struct luo_incoming *incoming)
{
	return incoming->name;
}

_public_ const char *luo_incoming_problem(const struct luo_incoming *incoming)
{
	if (incoming->mapping)
		return NULL;
	return incoming->problem ? incoming->problem : "out of memory";
}

_public_ struct luo_mapping *luo_incoming_mapping(const struct luo_incoming *incoming)
{
	return incoming->mapping;
}

_public_ const int *luo_incoming_sessions(const struct luo_incoming *incoming, size_t *ret_n)
{
	*ret_n = incoming->n_sessions;
	return incoming->sessions;
}

_public_ int luo_incoming_finish(struct luo_incoming *incoming)
{
	int result = 0;

	if (!incoming->mapping || (incoming->mapping->n_all_issues > 0 && !incoming->rescued))
		return -EBUSY;
	/* A missing session may contain something. */
	for (size_t i = 0; i < incoming->n_sessions; i++) {
		int fd = luo_incoming_session(incoming, (unsigned)i);

		if (fd < 0 && fd != -ENOENT)
			return -EBUSY;
	}
	for (size_t i = 0; i < incoming->n_sessions; i++) {
		int r;

		if (incoming->sessions[i] < 0)
			continue;
		r = luo_session_finish(incoming->sessions[i]);
		if (r < 0 && result == 0)
			result = r;
	}
	if (result == 0)
		incoming->finished = true;
	return result;
}
