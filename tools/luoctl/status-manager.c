/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luoctl/status-manager.h"

#include <stdio.h>

#include "common/json.h"
#include "manager/manager.h"
#include "common/util.h"

#define TIMEOUT_USEC (2 * USEC_PER_SEC)

static int get_as(sd_bus *bus, const char *property, char type, void *ret)
{
	return sd_bus_get_property_trivial(
		bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", property, NULL, type, ret);
}

/* Nobody has promised how wide it is. */
static int get(sd_bus *bus, const char *property, uint64_t *ret)
{
	uint32_t narrow;
	int r;

	r = get_as(bus, property, 't', ret);
	if (r >= 0)
		return r;
	r = get_as(bus, property, 'u', &narrow);
	if (r >= 0)
		*ret = narrow;
	return r;
}

static void add_moment(struct json_object *status, sd_bus *bus, const char *key, const char *name)
{
	uint64_t realtime, monotonic;
	struct json_object *o;
	char property[64];
	int r;

	snprintf(property, sizeof(property), "PreviousShutdown%sTimestamp", name);
	r = get(bus, property, &realtime);
	snprintf(property, sizeof(property), "PreviousShutdown%sTimestampMonotonic", name);
	if (r >= 0)
		r = get(bus, property, &monotonic);
	if (r < 0 || realtime == 0)
		return;
	o = json_object_new_object();
	json_add(o, "realtime", json_object_new_int64((int64_t)realtime));
	json_add(o, "monotonic", json_object_new_int64((int64_t)monotonic));
	json_add(status, key, o);
}

void add_from_manager(struct json_object *status)
{
	sd_bus *bus = NULL;
	uint64_t count;

	if (json_int(status, "managerVersion") < LUO_MANAGER_NATIVE ||
	    luo_manager_connect(TIMEOUT_USEC, &bus) < 0)
		return;
	/* The second of some development versions of 262. */
	if (get(bus, "KExecCount", &count) >= 0 || get(bus, "KExecsCount", &count) >= 0)
		json_add(status, "kexecCount", json_object_new_int64((int64_t)count));
	add_moment(status, bus, "shutdownStart", "Start");
	add_moment(status, bus, "shutdownFinish", "Finish");
	add_moment(status, bus, "shutdownLateStart", "LateStart");
	add_moment(status, bus, "shutdownLateFinish", "LateFinish");
	sd_bus_close_unref(bus);
}
