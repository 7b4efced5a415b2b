/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Retrieves the sessions of the previous kernel.
 *
 * From the ioctl until the keeper has a copy, this process has the only fd: a kill then frees
 * everything in the session. So each fd goes to the callback before anything else is done, also
 * before the mapping is read.
 */

#include "tools/luod/retrieve.h"

#include <fcntl.h>
#include <stdio.h>

#include <luo/handover.h>
#include <luo/session.h>

#include "common/log.h"
#include "common/util.h"
#include "libluo/handover/incoming.h"
#include "manager/manager.h"
#include "tools/luod/managed.h"

static void log_busy(uint64_t waited_usec)
{
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	if (luo_device_holder(&pid, &comm) >= 0)
		log_error(
			"Cannot open /dev/liveupdate: process %d (%s) has had it open for %u seconds. What the previous kernel left stays in the kernel.",
			(int)pid, comm, (unsigned)(waited_usec / USEC_PER_SEC));
	else
		log_error(
			"Cannot open /dev/liveupdate: another process has had it open for %u seconds.",
			(unsigned)(waited_usec / USEC_PER_SEC));
}

static int open_device(uint64_t timeout_usec, int *ret)
{
	int r = luo_device_open(0, ret);

	if (r == -EBUSY && timeout_usec == 0)
		return r;
	if (r == -EBUSY) {
		_cleanup_free_ char *comm = NULL;
		pid_t pid;

		if (luo_device_holder(&pid, &comm) >= 0)
			log_notice("Waiting for /dev/liveupdate: process %d (%s) has it open.",
				   (int)pid, comm);
		r = luo_device_open(timeout_usec, ret);
	}
	if (r == -EBUSY)
		log_busy(timeout_usec);
	else if (r == -EIO)
		log_error(
			"Cannot open /dev/liveupdate: the kernel could not read what the previous kernel left. No live update is possible until a reboot.");
	else if (r < 0 && r != -ENODEV && r != -EOPNOTSUPP)
		log_error("Cannot open /dev/liveupdate: %s.", strerror(-r));
	return r;
}

/* Says which of the further sessions did not come in. Returns how many sessions there are. */
static int report_missing(struct luo_incoming *incoming)
{
	struct luo_mapping *mapping = luo_incoming_mapping(incoming);
	const char *name = luo_incoming_name(incoming);
	const int *fds;
	int present = 0;
	size_t n;

	fds = luo_incoming_sessions(incoming, &n);
	for (size_t i = 0; i < n; i++) {
		present += fds[i] >= 0;
		if (fds[i] >= 0 || i == 0 || !mapping || i > mapping->n_spills)
			continue;
		if (fds[i] == -ENOENT)
			log_error("Session \"%s\", which belongs to \"%s\", did not come in.",
				  mapping->spills[i - 1], name);
		else
			log_error("Cannot retrieve session \"%s\", which belongs to \"%s\", now.",
				  mapping->spills[i - 1], name);
	}
	return present;
}

static int retrieve_group(int device, const char *name, luo_incoming_session_fn callback,
			  void *userdata)
{
	struct luo_incoming *incoming;
	int n, r;

	r = luo_incoming_retrieve(device, name, callback, userdata, &incoming);
	if (r == -ENOENT)
		return 0;
	if (r == -EINVAL) {
		log_error(
			"Another process has already retrieved session \"%s\" of the previous kernel.",
			name);
		return r;
	}
	if (r < 0) {
		log_error("Cannot retrieve session \"%s\": %s.", name, strerror(-r));
		return r;
	}
	n = report_missing(incoming);
	/* The caller adopts the fds again, and reports then what is wrong with the mapping. */
	luo_incoming_free_keep_sessions(incoming);
	return n;
}

bool manager_is_native(void)
{
	unsigned version;

	return luo_manager_version(&version) >= 0 && version >= LUO_MANAGER_NATIVE;
}

int retrieve_sessions(const char *name, uint64_t timeout_usec, luo_incoming_session_fn callback,
		      void *userdata)
{
	_cleanup_close_ int device = -EBADF;
	char other[LUO_SESSION_NAME_MAX + 1];
	int n, more = 0, manager = 0, r;

	r = open_device(timeout_usec, &device);
	if (r < 0)
		return r;
	n = retrieve_group(device, name, callback, userdata);
	if (snprintf(other, sizeof(other), "%s-live", name) < (int)sizeof(other))
		more = retrieve_group(device, other, callback, userdata);
	if (!streq(name, MANAGER_SESSION) && !manager_is_native())
		manager = retrieve_group(device, MANAGER_SESSION, callback, userdata);
	return n < 0 ? n : more < 0 ? more : manager < 0 ? manager : n + more + manager;
}
