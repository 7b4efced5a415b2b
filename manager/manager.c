/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Who PID 1 is, how to talk to it, and what it says about the machine as a whole. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "manager/internal.h"
#include "common/util.h"

#define ADDRESS "unix:path=/run/systemd/private"
#define PROC_1  "/proc/1/"

/* Between two looks at a job that is waited for. */
#define JOB_PAUSE_NSEC (20 * USEC_PER_MSEC * NSEC_PER_USEC)

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
static int check_peer(sd_bus *bus, uid_t uid, bool or_root)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = sd_bus_get_fd(bus);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return peer.uid == uid || (or_root && peer.uid == 0) ? 0 : -EPERM;
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

static int connect_to(const char *address, uid_t uid, bool or_root, uint64_t timeout_usec,
		      sd_bus **ret_bus)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, timeout_usec);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = check_peer(bus, uid, or_root);
	if (r >= 0)
		r = wait_until_ready(bus, timeout_usec);
	if (r < 0)
		return r;
	*ret_bus = TAKE_PTR(bus);
	return 0;
}

int luo_manager_connect(uint64_t timeout_usec, sd_bus **ret_bus)
{
	const char *address = secure_getenv("LUO_MANAGER_ADDRESS");

	return connect_to(address ?: ADDRESS, geteuid(), true, timeout_usec, ret_bus);
}

/* The path is the user's, who may have put a link to PID 1's socket there: not even root will do.
 */
int luo_manager_connect_user(uid_t uid, uint64_t timeout_usec, sd_bus **ret_bus)
{
	const char *forced = secure_getenv("LUO_MANAGER_ADDRESS");
	char address[64];

	snprintf(address, sizeof(address), "unix:path=/run/user/%u/systemd/private", (unsigned)uid);
	return connect_to(forced ?: address, uid, false, timeout_usec, ret_bus);
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* Of a unit that is not loaded there is no object: then it has no job. */
static int has_job(sd_bus *bus, const char *path)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *job_path;
	uint32_t job;
	int r;

	r = sd_bus_get_property(bus, MANAGER_NAME, path, UNIT_INTERFACE, "Job", NULL, &reply,
				"(uo)");
	if (r >= 0)
		r = sd_bus_message_read(reply, "(uo)", &job, &job_path);
	if (r == -EBADR || r == -ENOENT)
		return 0;
	return r < 0 ? r : job != 0;
}

int luo_manager_is_in_kexec(sd_bus *bus)
{
	_cleanup_free_ char *state = NULL;
	int r;

	r = sd_bus_get_property_string(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				       "SystemState", NULL, &state);
	if (r < 0)
		return r;
	if (!streq(state, "stopping"))
		return 0;
	return has_job(bus, UNIT_PATH("kexec_2etarget"));
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

/* ---- one unit -------------------------------------------------------------------------------- */

int luo_manager_wait(sd_bus *bus, const char *unit, uint64_t deadline)
{
	_cleanup_free_ char *path = NULL;
	int r;

	r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);
	while (r >= 0) {
		r = has_job(bus, path);
		if (r == 0)
			return 0;
		if (r > 0 && now_usec(CLOCK_MONOTONIC) >= deadline)
			r = -ETIMEDOUT;
		if (r > 0)
			nanosleep(&(struct timespec){ .tv_nsec = JOB_PAUSE_NSEC }, NULL);
	}
	return r;
}

int luo_manager_main_pid(sd_bus *bus, const char *unit, pid_t *ret_pid)
{
	_cleanup_free_ char *path = NULL;
	uint32_t pid;
	int r;

	r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);
	if (r >= 0)
		r = sd_bus_get_property_trivial(bus, MANAGER_NAME, path, SERVICE_INTERFACE,
						"MainPID", NULL, 'u', &pid);
	if (r < 0)
		return r;
	if (pid == 0)
		return -ESRCH;
	*ret_pid = (pid_t)pid;
	return 0;
}
