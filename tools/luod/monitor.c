/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/monitor.h"

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "common/json.h"
#include "common/util.h"
#include "common/varlink.h"
#include "tools/luod/connection.h"
#include "tools/luod/luod.h"
#include "tools/luod/server.h"

/* The connection may be in the middle of a call, so it sends the event, or frees itself, later. */
static void queue_event(struct connection *c, struct json_object *event)
{
	if (luo_varlink_send(c->varlink, event, NULL, 0) < 0)
		c->broken = true;
	(void)sd_event_source_set_enabled(c->defer, SD_EVENT_ONESHOT);
}

void monitor_emit(struct luod *l, const char *event, const char *unit, const char *name,
		  const char *text)
{
	struct json_object *parameters, *reply = NULL;

	if (!l->server)
		return;
	for (struct connection *c = l->server->connections; c; c = c->next) {
		if (!c->monitoring || c->broken ||
		    (c->monitor_unit && (!unit || !streq(unit, c->monitor_unit))))
			continue;
		if (!reply) {
			parameters = json_object_new_object();
			json_add_utf8(parameters, "event", event);
			if (unit)
				json_add_utf8(parameters, "unit", unit);
			if (name)
				json_add_utf8(parameters, "name", name);
			if (text)
				json_add_utf8(parameters, "text", text);
			json_add_number(parameters, "at", now_usec(CLOCK_REALTIME));
			if (luo_varlink_make_reply(parameters, true, &reply) < 0)
				return;
		}
		queue_event(c, reply);
	}
	json_object_put(reply);
}
