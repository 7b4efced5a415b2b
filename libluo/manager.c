/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who PID 1 is, how to talk to it, and what it says about the machine as a whole. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "manager-internal.h"
#include "util.h"

#define ADDRESS "unix:path=/run/systemd/private"
#define PROC_1  "/proc/1/"

/* ---- version --------------------------------------------------------------------------------- */

/* "257.13-1~deb13u1" and the like; 0 if it is none. */
static unsigned parse_version(const char *text)
{
	unsigned version = 0;

	for (; *text >= '0' && *text <= '9' && version < 100000; text++)
		version = version * 10 + (unsigned)(*text - '0');
	return version;
}

/* The private library of systemd has its version in its name, and no two can be mixed. */
static int version_of_maps(const char *path, unsigned *ret)
{
	static const char library[] = "/libsystemd-shared-";
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r = -ENOENT;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return -errno;
	errno = 0;
	while (r == -ENOENT && getline(&line, &size, f) > 0) {
		const char *found = strstr(line, library);
		unsigned version = found ? parse_version(found + strlen(library)) : 0;

		if (version > 0) {
			*ret = version;
			r = 0;
		}
	}
	/* Another user's: it can be opened, and not be read. */
	if (r == -ENOENT && ferror(f))
		r = errno ? -errno : -EIO;
	fclose(f);
	return r;
}

static int version_of_bus(unsigned *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	r = luo_manager_connect(5 * USEC_PER_SEC, &bus);
	if (r < 0)
		return r;
	r = sd_bus_get_property_string(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				       "Version", NULL, &text);
	if (r < 0)
		return r;
	/* "systemd 257" in versions of long ago, "v257-rc1" in those built from git. */
	*ret = parse_version(text + strcspn(text, "0123456789"));
	return *ret > 0 ? 0 : -EBADMSG;
}

int luo_manager_version(unsigned *ret_version)
{
	const char *forced = secure_getenv("LUO_MANAGER_VERSION");
	unsigned version = 0;
	int r;

	if (forced) {
		version = parse_version(forced);
		r = version > 0 ? 0 : -ENOENT;
	} else {
		r = version_of_maps(PROC_1 "maps", &version);
		/* Built as one file, or not for us to read. */
		if (r < 0)
			r = version_of_bus(&version);
		if (r == -ECONNREFUSED || r == -ENOTDIR)
			r = -ENOENT;
	}
	if (r == 0)
		*ret_version = version;
	return r;
}

/* ---- connection ------------------------------------------------------------------------------ */

/* Whoever else listens there is not who should be believed. */
static int check_peer(sd_bus *bus)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = sd_bus_get_fd(bus);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

/* sd_bus_call() would do this too, and wait longer than it was told to. */
static int wait_until_ready(sd_bus *bus, uint64_t timeout_usec)
{
	uint64_t begin = now_usec(CLOCK_MONOTONIC);

	for (;;) {
		uint64_t spent = now_usec(CLOCK_MONOTONIC) - begin;
		int r = sd_bus_is_ready(bus);

		if (r != 0)
			return r < 0 ? r : 0;
		r = sd_bus_process(bus, NULL);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (spent >= timeout_usec)
			return -ETIMEDOUT;
		r = sd_bus_wait(bus, timeout_usec - spent);
		if (r < 0 && r != -EINTR)
			return r;
	}
}

int luo_manager_connect(uint64_t timeout_usec, sd_bus **ret_bus)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	const char *address = secure_getenv("LUO_MANAGER_ADDRESS");
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address ?: ADDRESS);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, timeout_usec);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = check_peer(bus);
	if (r >= 0)
		r = wait_until_ready(bus, timeout_usec);
	if (r < 0)
		return r;
	*ret_bus = TAKE_PTR(bus);
	return 0;
}

/* ---- the machine ----------------------------------------------------------------------------- */

int luo_manager_is_in_kexec(sd_bus *bus)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ char *state = NULL;
	const char *path;
	uint32_t job;
	int r;

	r = sd_bus_get_property_string(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				       "SystemState", NULL, &state);
	if (r < 0)
		return r;
	if (!streq(state, "stopping"))
		return 0;
	r = sd_bus_get_property(bus, MANAGER_NAME, UNIT_PATH("kexec_2etarget"), UNIT_INTERFACE,
				"Job", NULL, &reply, "(uo)");
	if (r >= 0)
		r = sd_bus_message_read(reply, "(uo)", &job, &path);
	/* Of a unit that was never loaded there is no object. */
	if (r == -EBADR || r == -ENOENT)
		return 0;
	return r < 0 ? r : job != 0;
}

static int get_times(sd_bus *bus, const char *path, const char *interface, const char *name,
		     uint64_t *ret_realtime, uint64_t *ret_monotonic)
{
	char monotonic[64];
	uint64_t a, b;
	int r;

	snprintf(monotonic, sizeof(monotonic), "%sMonotonic", name);
	r = sd_bus_get_property_trivial(bus, MANAGER_NAME, path, interface, name, NULL, 't', &a);
	if (r >= 0)
		r = sd_bus_get_property_trivial(bus, MANAGER_NAME, path, interface, monotonic, NULL,
						't', &b);
	if (r < 0)
		return r;
	if (a == 0 || b == 0 || a == UINT64_MAX || b == UINT64_MAX)
		return -ENODATA;
	*ret_realtime = a;
	*ret_monotonic = b;
	return 0;
}

/* PID 1 has noted it since version 256; before that it stopped this target first of all. */
int luo_manager_shutdown_start(sd_bus *bus, uint64_t *ret_realtime, uint64_t *ret_monotonic)
{
	int r;

	r = get_times(bus, MANAGER_PATH, MANAGER_INTERFACE, "ShutdownStartTimestamp", ret_realtime,
		      ret_monotonic);
	if (r < 0)
		r = get_times(bus, UNIT_PATH("multi_2duser_2etarget"), UNIT_INTERFACE,
			      "ActiveExitTimestamp", ret_realtime, ret_monotonic);
	return r < 0 ? -ENODATA : 0;
}

int luo_manager_unit_file_state(sd_bus *bus, const char *unit, char *buffer, size_t size)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *state;
	int r;

	r = sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
			       "GetUnitFileState", &error, &reply, "s", unit);
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &state);
	if (r < 0)
		return r == -EBADR ? -ENOENT : r;
	snprintf(buffer, size, "%s", state);
	return 0;
}
