/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/dispatch.h"

#include <json-c/json.h>

#include "common/util.h"
#include "common/varlink.h"
#include "tools/luod/api.h"
#include "tools/luod/call.h"
#include "tools/luod/connection.h"
#include "tools/luod/server.h"

static const struct method {
	const char *name;
	int (*function)(struct call *call);
	bool root, needs_more;
} methods[] = {
	{ "io.luo.Status", api_status, false, false },
	{ "io.luo.ListUnits", api_list_units, false, false },
	{ "io.luo.ListEntries", api_list_entries, false, false },
	{ "io.luo.ListHoldings", api_list_holdings, false, false },
	{ "io.luo.Register", api_register, false, false },
	{ "io.luo.Claim", api_claim, false, false },
	{ "io.luo.OpenEntry", api_open_entry, false, false },
	{ "io.luo.Store", api_store, false, false },
	{ "io.luo.Drop", api_drop, false, false },
	{ "io.luo.Commit", api_commit, true, false },
	{ "io.luo.Abort", api_abort, true, false },
	{ "io.luo.GetMapping", api_get_mapping, true, false },
	{ "io.luo.Monitor", api_monitor, false, true },
	{ "org.varlink.service.GetInfo", api_get_info, false, false },
	{ "org.varlink.service.GetInterfaceDescription", api_get_interface_description, false,
	  false },
};

static int unknown_method(struct call *call, const char *name)
{
	const char *dot = strrchr(name, '.');
	_cleanup_free_ char *interface = NULL;

	if (!dot || dot == name)
		return call_invalid(call, "method");
	interface = strndup(name, (size_t)(dot - name));
	if (!interface)
		return -ENOMEM;
	if (!streq(interface, "io.luo") && !streq(interface, "org.varlink.service"))
		return call_error_string(call, "org.varlink.service.InterfaceNotFound", "interface",
					 interface);
	return call_error_string(call, "org.varlink.service.MethodNotFound", "method", name);
}

static int call_method(struct call *call, const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
		const struct method *m = &methods[i];

		if (!streq(m->name, name))
			continue;
		if (m->root && !call_is_root(call))
			return call_error_text(call, "io.luo.NotPermitted",
					       "Only root may do this.");
		if (m->needs_more && !call->more)
			return call_error(call, "org.varlink.service.ExpectedMore", NULL);
		return m->function(call);
	}
	return unknown_method(call, name);
}

static bool get_flag(struct json_object *o, const char *key, bool *ret)
{
	struct json_object *value;

	*ret = false;
	if (!json_object_object_get_ex(o, key, &value) || !value)
		return true;
	*ret = json_object_get_boolean(value);
	return json_object_is_type(value, json_type_boolean);
}

int dispatch(struct connection *c, struct luo_varlink_message *message)
{
	struct call call = {
		.luod = c->server->luod,
		.connection = c,
		.fds = message->fds,
		.n_fds = message->n_fds,
	};
	struct json_object *method;
	bool upgrade;
	int r;

	if (!json_object_object_get_ex(message->object, "method", &method) ||
	    !json_object_is_type(method, json_type_string) || !json_has_no_nul(method) ||
	    !get_flag(message->object, "more", &call.more) ||
	    !get_flag(message->object, "oneway", &call.oneway) ||
	    !get_flag(message->object, "upgrade", &upgrade))
		return -EBADMSG;
	if (json_object_object_get_ex(message->object, "parameters", &call.parameters) &&
	    call.parameters && !json_object_is_type(call.parameters, json_type_object))
		return -EBADMSG;
	if (call.oneway && call.more)
		return -EBADMSG;

	r = upgrade ? call_invalid(&call, "upgrade")
		    : call_method(&call, json_object_get_string(method));
	if (r < 0 && !call.answered)
		r = call_failed(&call, r, "%s failed: %s.", json_object_get_string(method),
				strerror(-r));
	/* The fds that no method took are closed with the message. */
	return r < 0 ? r : 0;
}
