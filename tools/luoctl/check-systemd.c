/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* systemd: is what hands over its services' fd stores there, and switched on? */

#include "tools/luoctl/check.h"
#include "manager/manager.h"
#include "common/util.h"

#define HOOK         SYSTEMD_SHUTDOWN_DIR "/luo-shutdown"
#define TIMEOUT_USEC (5 * USEC_PER_SEC)

/* From this version a store can outlive its service. */
#define PRESERVE_SINCE 254

static bool is_enabled(const char *state)
{
	return startswith(state, "enabled") || streq(state, "static") || streq(state, "alias");
}

static void check_unit(struct check *check, sd_bus *bus, const char *unit)
{
	char state[64];
	int r = luo_manager_unit_file_state(bus, unit, state, sizeof(state));

	if (r == -ENOENT)
		check_add(check, CHECK_WARNING, "systemd", "Install it.",
			  "%s is not there: the services' fd stores will be lost", unit);
	else if (r < 0)
		check_add(check, CHECK_UNKNOWN, "systemd", NULL, "cannot ask PID 1 about %s: %s",
			  unit, strerror(-r));
	else if (!is_enabled(state))
		check_add(check, CHECK_WARNING, "systemd", "luoctl enable",
			  "%s is %s: the services' fd stores will be lost", unit, state);
	else
		check_add(check, CHECK_OK, "systemd", NULL, "%s is %s", unit, state);
}

static void check_hook(struct check *check)
{
	if (access(HOOK, X_OK) < 0)
		check_add(check, CHECK_WARNING, "systemd", "Install it.",
			  "%s is not there: nothing is committed at systemctl kexec", HOOK);
}

void check_systemd(struct check *check)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	unsigned version;
	int r;

	if (luo_manager_version(&version) < 0)
		return;
	if (version < PRESERVE_SINCE) {
		check_add(
			check, CHECK_WARNING, "systemd", NULL,
			"version %u frees the fd store of a service that stops, from %d on one can be kept",
			version, PRESERVE_SINCE);
		return;
	}
	if (version >= LUO_MANAGER_NATIVE)
		check_add(check, CHECK_OK, "systemd", NULL,
			  "version %u hands its fd stores over itself", version);
	else
		check_hook(check);
	r = luo_manager_connect(TIMEOUT_USEC, &bus);
	if (r < 0) {
		check_add(check, CHECK_UNKNOWN, "systemd",
			  r == -EACCES || r == -EPERM ? "Try it as root." : NULL,
			  "cannot ask PID 1: %s", strerror(-r));
		return;
	}
	check_unit(check, bus, "luod.service");
	check_unit(check, bus, "luo-harvest.service");
	if (version < LUO_MANAGER_NATIVE)
		check_unit(check, bus, "luo-pin.service");
}
