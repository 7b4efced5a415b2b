/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sessions -> stores, in the new kernel.
 *
 * A retrieved session is finished when its last fd is closed, and finishing frees whatever was not
 * taken out. So the fds stay open as long as anything is unclaimed, and for ever if the mapping is
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
 * Never fails: whatever goes wrong here, the session stays held. Only a problem of ours that will
 * go away (no memory, no free fd) is told apart in the text.
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
			problem(incoming, "cannot work with the mapping", r);
		}
		return;
	}
	if (reason)
		incoming->problem = TAKE_PTR(reason);
	else
		problem(incoming, "cannot read the mapping", r);
}

/*
 * The mapping is not trusted with names: it may only point at further sessions of its own,
 * "NAME.1" and so on, or it could take over the sessions of somebody else.
 */
static bool is_spill_of(const char *spill, const char *name)
{
	size_t length = strlen(name);

	return strncmp(spill, name, length) == 0 && spill[length] == '.' &&
	       luo_session_name_is_valid(spill);
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

/* Entries whose session is not there are lost, and say so. */
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

/* A failure of today must not make the files of a whole session lost for ever. */
static void retrieve_further(struct luo_incoming *incoming, int device_fd, size_t index)
{
	const char *name = incoming->mapping->spills[index - 1];
	int fd, r;

	r = is_spill_of(name, incoming->name) ? luo_session_retrieve(device_fd, name, &fd)
					      : -ENOENT;
	if (r >= 0)
		incoming->sessions[index] = fd;
	else if (r == -ENOENT)
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

/* Places for the further sessions that the mapping names, less those that it may not name. */
static void expect_further(struct luo_incoming *incoming)
{
	int r = make_room_for_spills(incoming);

	if (r < 0) {
		incoming->mapping = luo_mapping_free(incoming->mapping);
		problem(incoming, "cannot work with the mapping", r);
		return;
	}
	for (size_t i = 0; i < incoming->mapping->n_spills; i++)
		if (!is_spill_of(incoming->mapping->spills[i], incoming->name))
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
 * Nobody says how many further sessions there are, but we number them without gaps. They would stay
 * in the kernel as well if they were not retrieved; retrieved, they can be carried on.
 */
static void hold_spills(struct luo_incoming *incoming, int device_fd)
{
	for (unsigned i = 1; i <= LUO_MAPPING_SPILLS_MAX; i++) {
		char name[LUO_SESSION_NAME_MAX + 1];
		int fd, n;

		n = snprintf(name, sizeof(name), "%s.%u", incoming->name, i);
		if (n < 0 || (size_t)n >= sizeof(name) ||
		    luo_session_retrieve(device_fd, name, &fd) < 0)
			return;
		/* On failure it stays open: leaked rather than freed. */
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
				   struct luo_incoming **ret_incoming)
{
	struct luo_incoming *incoming;
	int r;

	/* First what may fail: once it is retrieved there is no way back that would not free it. */
	r = incoming_new(-EBADF, name, &incoming);
	if (r < 0)
		return r;
	r = luo_session_retrieve(device_fd, name, &incoming->sessions[0]);
	if (r < 0) {
		luo_incoming_free(incoming);
		return r;
	}
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
	*ret_incoming = incoming;
	return 0;
}

static void adopt_spills(struct luo_incoming *incoming, const int *fds, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		_cleanup_free_ char *name = NULL;
		bool wanted = false;

		if (luo_session_get_name(fds[k], &name) >= 0 && is_spill_of(name, incoming->name))
			for (size_t i = 0; i < incoming->mapping->n_spills && !wanted; i++)
				if (incoming->sessions[i + 1] == -EBADF &&
				    streq(name, incoming->mapping->spills[i])) {
					incoming->sessions[i + 1] = fds[k];
					wanted = true;
				}
		/* One that the mapping does not name is held at the end of the list all the same.
		 */
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
	/* One that is still to be had may have something in it. */
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
