/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* org.varlink.service: which interfaces luod has, and their descriptions. */

#include "common/json.h"
#include "tools/luod/api.h"

#include "common/util.h"
#include "tools/luod/call.h"

int api_get_info(struct call *call)
{
	struct json_object *o, *interfaces;
	int r;

	r = call_parameters(call, NULL, 0);
	if (r != 0)
		return r < 0 ? r : 0;
	o = json_object_new_object();
	interfaces = json_object_new_array();
	json_add_utf8(o, "vendor", "libluo");
	json_add_utf8(o, "product", "luod");
	json_add_utf8(o, "version", LUO_VERSION);
	json_add_utf8(o, "url", "https://varlink.org");
	json_append_string(interfaces, "io.luo");
	json_append_string(interfaces, "org.varlink.service");
	json_add(o, "interfaces", interfaces);
	return call_reply(call, o);
}

int api_get_interface_description(struct call *call)
{
	const char *interface = NULL, *text;
	struct parameter table[] = {
		{ "interface", PARAMETER_STRING, true, &interface, NULL },
	};
	struct json_object *o;
	int r;

	r = call_parameters(call, table, ELEMENTSOF(table));
	if (r != 0)
		return r < 0 ? r : 0;
	o = json_object_new_object();
	if (streq(interface, "io.luo"))
		text = io_luo_varlink;
	else if (streq(interface, "org.varlink.service"))
		text = org_varlink_service;
	else {
		json_add_utf8(o, "interface", interface);
		return call_error(call, "org.varlink.service.InterfaceNotFound", o);
	}
	json_add_utf8(o, "description", text);
	return call_reply(call, o);
}

const char org_varlink_service[] =
	"# The Varlink Service Interface is provided by every varlink service. It\n"
	"# describes the service and the interfaces it implements.\n"
	"interface org.varlink.service\n"
	"\n"
	"# Get a list of all the interfaces a service provides and information\n"
	"# about the implementation.\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"# Get the description of an interface that is implemented by this service.\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"# The requested interface was not found.\n"
	"error InterfaceNotFound (interface: string)\n"
	"\n"
	"# The requested method was not found\n"
	"error MethodNotFound (method: string)\n"
	"\n"
	"# The interface defines the requested method, but the service does not\n"
	"# implement it.\n"
	"error MethodNotImplemented (method: string)\n"
	"\n"
	"# One of the passed parameters is invalid.\n"
	"error InvalidParameter (parameter: string)\n"
	"\n"
	"# Client is denied access\n"
	"error PermissionDenied ()\n"
	"\n"
	"# Method is expected to be called with 'more' set to true, but wasn't\n"
	"error ExpectedMore ()\n";
