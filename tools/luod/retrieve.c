/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Taking the sessions of the previous kernel over.
 *
 * From the moment of the ioctl until the keeper has a copy, our fd is the only one: whoever is
 * killed there takes everything with it. So each session is handed on before anything else is done,
 * also before its mapping is looked at.
 */

#include "tools/luod/luod.h"

#include <fcntl.h>
#include <stdio.h>

#include "manager/manager.h"

static void explain_busy(uint64_t waited_usec)
{
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	if (luo_device_holder(&pid, &comm) >= 0)
		log_error("Cannot open /dev/liveupdate: process %d (%s) has had it open for %u "
			  "seconds. What the previous kernel left stays in the kernel.",
			  (int)pid, comm, (unsigned)(waited_usec / USEC_PER_SEC));
	else
		log_error("Cannot open /dev/liveupdate: another process has had it open for %u "
			  "seconds.",
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
			log_notice("/dev/liveupdate is open in process %d (%s), waiting for it.",
				   (int)pid, comm);
		r = luo_device_open(timeout_usec, ret);
	}
	if (r == -EBUSY)
		explain_busy(timeout_usec);
	else if (r == -EIO)
		log_error("Cannot open /dev/liveupdate: the kernel could not read what its "
			  "predecessor left. It stays so until a reboot.");
	else if (r < 0 && r != -ENODEV && r != -EOPNOTSUPP)
		log_error("Cannot open /dev/liveupdate: %s.", strerror(-r));
	return r;
}

/* 1: retrieved; 0: the kernel has none of that name; negative: it has one that was not to be had.
 */
static int retrieve_spill(int device, const char *spill, const char *name, retrieve_fn callback,
			  void *userdata)
{
	int fd, r;

	r = luo_session_retrieve(device, spill, &fd);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		log_error("Cannot retrieve session \"%s\", which belongs to \"%s\": %s.", spill,
			  name, strerror(-r));
		return r;
	}
	(void)callback(fd, userdata);
	return 1;
}

/* The further sessions that the mapping names; it may only name its own. */
static int retrieve_named(int device, const struct luo_mapping *mapping, const char *name,
			  retrieve_fn callback, void *userdata)
{
	int n = 0;

	for (size_t i = 0; i < mapping->n_spills; i++) {
		const char *spill = mapping->spills[i];
		int r;

		if (!startswith(spill, name) || spill[strlen(name)] != '.')
			continue;
		r = retrieve_spill(device, spill, name, callback, userdata);
		if (r == 0)
			log_error("Session \"%s\", which belongs to \"%s\", did not come in.",
				  spill, name);
		n += r > 0;
	}
	return n;
}

/*
 * The mapping cannot say what they are called, but they are numbered without gaps. What is left in
 * the kernel cannot be carried over the next kexec.
 */
static int retrieve_numbered(int device, const char *name, retrieve_fn callback, void *userdata)
{
	int n = 0;

	for (unsigned i = 1; i <= LUO_MAPPING_SPILLS_MAX; i++) {
		char spill[LUO_SESSION_NAME_MAX + 1];
		int r;

		if (snprintf(spill, sizeof(spill), "%s.%u", name, i) >= (int)sizeof(spill))
			break;
		r = retrieve_spill(device, spill, name, callback, userdata);
		if (r == 0)
			break;
		n += r > 0;
	}
	return n;
}

static int retrieve_spills(int device, int main_fd, const char *name, retrieve_fn callback,
			   void *userdata)
{
	struct luo_mapping *mapping = NULL;
	_cleanup_close_ int fd = -EBADF;
	int n, r;

	r = luo_session_retrieve_fd(main_fd, LUO_TOKEN_MAPPING, &fd);
	if (r >= 0)
		r = luo_mapping_read_fd(fd, &mapping, NULL);
	/* Why not is said when the session is adopted. */
	if (r < 0)
		return retrieve_numbered(device, name, callback, userdata);
	n = retrieve_named(device, mapping, name, callback, userdata);
	luo_mapping_free(mapping);
	return n;
}

static int retrieve_group(int device, const char *name, retrieve_fn callback, void *userdata)
{
	_cleanup_close_ int copy = -EBADF;
	int fd, r;

	r = luo_session_retrieve(device, name, &fd);
	if (r == -ENOENT)
		return 0;
	if (r == -EINVAL) {
		log_error(
			"Session \"%s\" of the previous kernel was retrieved by somebody already.",
			name);
		return r;
	}
	if (r < 0) {
		log_error("Cannot retrieve session \"%s\": %s.", name, strerror(-r));
		return r;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r = callback(fd, userdata);
	if (r < 0 || copy < 0)
		return r < 0 ? r : 1;
	return 1 + retrieve_spills(device, copy, name, callback, userdata);
}

bool manager_is_native(void)
{
	unsigned version;

	return luo_manager_version(&version) >= 0 && version >= LUO_MANAGER_NATIVE;
}

int retrieve_sessions(const char *name, uint64_t timeout_usec, retrieve_fn callback, void *userdata)
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
