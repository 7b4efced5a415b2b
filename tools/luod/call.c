/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Parameters, the unit of the caller, and the answers. */

#include "tools/luod/call.h"

#include <stdarg.h>
#include <stdio.h>

#include <luo/store.h>

#include "common/json.h"
#include "common/util.h"
#include "common/varlink.h"
#include "tools/luod/connection.h"
#include "tools/luod/identity.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/resolve.h"
#include "tools/luod/stores.h"

/* ---- answering ------------------------------------------------------------------------------- */

static int send_message(struct call *call, struct json_object *message, int *fds, size_t n_fds)
{
	int r;

	r = luo_varlink_send(call->connection->varlink, message, fds, n_fds);
	if (r < 0)
		close_many(fds, n_fds);
	else
		call->connection->n_fds_out += n_fds;
	json_object_put(message);
	return r;
}

int call_reply_fds(struct call *call, struct json_object *parameters, int *fds, size_t n_fds,
		   bool continues)
{
	struct json_object *message;
	int r;

	call->answered = true;
	if (call->oneway) {
		close_many(fds, n_fds);
		json_object_put(parameters);
		return 0;
	}
	/* A reply without a member could mean something else, so the connection ends instead. */
	if (parameters && !json_is_complete(parameters)) {
		close_many(fds, n_fds);
		json_object_put(parameters);
		return -ENOMEM;
	}
	r = luo_varlink_make_reply(parameters, continues, &message);
	if (r < 0) {
		close_many(fds, n_fds);
		return r;
	}
	return send_message(call, message, fds, n_fds);
}

int call_reply(struct call *call, struct json_object *parameters)
{
	return call_reply_fds(call, parameters, NULL, 0, false);
}

int call_error(struct call *call, const char *error, struct json_object *parameters)
{
	struct json_object *message;
	int r;

	call->answered = true;
	if (call->oneway) {
		json_object_put(parameters);
		return 0;
	}
	r = luo_varlink_make_error(error, parameters, &message);
	return r < 0 ? r : send_message(call, message, NULL, 0);
}

int call_error_string(struct call *call, const char *error, const char *key, const char *value)
{
	struct json_object *parameters = json_object_new_object();

	json_add_utf8(parameters, key, value);
	return call_error(call, error, parameters);
}

int call_invalid(struct call *call, const char *parameter)
{
	return call_error_string(call, "org.varlink.service.InvalidParameter", "parameter",
				 parameter);
}

int call_error_text(struct call *call, const char *error, const char *text)
{
	return call_error_string(call, error, "text", text);
}

int call_failed(struct call *call, int error, const char *format, ...)
{
	struct json_object *parameters = json_object_new_object();
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_add_utf8(parameters, "text", text);
	json_add_number(parameters, "errno", (uint64_t)-error);
	return call_error(call, "io.luo.Failed", parameters);
}

/* ---- parameters ------------------------------------------------------------------------------ */

bool json_has_no_nul(struct json_object *o)
{
	return strlen(json_object_get_string(o)) == (size_t)json_object_get_string_len(o);
}

static bool strings_are_valid(struct json_object *o)
{
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *s = json_object_array_get_idx(o, i);

		if (!json_object_is_type(s, json_type_string) || !json_has_no_nul(s))
			return false;
	}
	return true;
}

static bool take_parameter(const struct parameter *p, struct json_object *value)
{
	switch (p->type) {
	case PARAMETER_STRING:
		if (!json_object_is_type(value, json_type_string) || !json_has_no_nul(value))
			return false;
		*(const char **)p->to = json_object_get_string(value);
		return true;
	case PARAMETER_BOOL:
		if (!json_object_is_type(value, json_type_boolean))
			return false;
		*(bool *)p->to = json_object_get_boolean(value);
		return true;
	case PARAMETER_NUMBER:
		if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
			return false;
		*(uint64_t *)p->to = (uint64_t)json_object_get_int64(value);
		return true;
	case PARAMETER_STRINGS:
		if (!json_object_is_type(value, json_type_array) || !strings_are_valid(value))
			return false;
		*(struct json_object **)p->to = value;
		return true;
	}
	return false;
}

static const struct parameter *find_parameter(const struct parameter *table, size_t n,
					      const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(table[i].name, name))
			return &table[i];
	return NULL;
}

int call_parameters(struct call *call, const struct parameter *table, size_t n)
{
	struct json_object *value;

	if (call->parameters) {
		json_object_object_foreach(call->parameters, key, val)
		{
			const struct parameter *p = find_parameter(table, n, key);

			/*
			 * For Varlink, a null is an absent parameter. But a client that runs out of
			 * memory may send a null by mistake, and without a parameter that narrows
			 * it, a call does more than was asked for. So a null is invalid there.
			 */
			if (p && !val && !p->narrows)
				continue;
			if (!p || !val || !take_parameter(p, val)) {
				int r = call_invalid(call, key);

				return r < 0 ? r : 1;
			}
			if (p->was_there)
				*p->was_there = true;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!table[i].required)
			continue;
		if (!call->parameters ||
		    !json_object_object_get_ex(call->parameters, table[i].name, &value) || !value) {
			int r = call_invalid(call, table[i].name);

			return r < 0 ? r : 1;
		}
	}
	return 0;
}

/* ---- the unit -------------------------------------------------------------------------------- */

bool call_is_root(const struct call *call)
{
	return peer_is_trusted(&call->connection->peer);
}

static int as_answered(int r)
{
	return r < 0 ? r : 1;
}

int call_unit(struct call *call, const char *asked, char **ret_unit)
{
	_cleanup_free_ char *own = NULL;
	int r;

	if (asked && !luo_unit_name_is_valid(asked))
		return as_answered(call_invalid(call, "unit"));
	if (asked && call_is_root(call)) {
		*ret_unit = strdup(asked);
		return *ret_unit ? 0 : -ENOMEM;
	}
	r = resolve_unit(call->luod, &call->connection->peer, &own, NULL);
	if (r == -ESRCH || r == -ESTALE)
		return as_answered(call_error_text(
			call, "io.luo.UnknownCaller",
			r == -ESTALE
				? "The process that opened this connection is gone."
				: "The unit of the caller is not known: its cgroup is not that of a unit, and neither it nor a process above it is registered. Start it with luo-run, or as a service."));
	if (r < 0)
		return r;
	if (asked && !streq(asked, own)) {
		char text[3 * LUO_UNIT_NAME_MAX];

		snprintf(
			text, sizeof(text),
			"The caller belongs to %s and may not name %s; only root may name any unit.",
			own, asked);
		return as_answered(call_error_text(call, "io.luo.NotPermitted", text));
	}
	*ret_unit = TAKE_PTR(own);
	return 0;
}

int call_unit_to_change(struct call *call, const char *asked, char **ret_unit)
{
	_cleanup_free_ char *unit = NULL;
	struct luod *l = call->luod;
	int r;

	r = call_unit(call, asked, &unit);
	if (r != 0)
		return r;
	if (!call_is_root(call) &&
	    (unit_is_managed_in(l->state.stored, unit) || unit_is_managed_in(l->state.held, unit) ||
	     unit_is_managed_in(stores_incoming(l), unit)))
		return as_answered(call_error_text(
			call, "io.luo.NotPermitted",
			"The service manager owns the fd store of this unit and gets it back; only root may change it here."));
	*ret_unit = TAKE_PTR(unit);
	return 0;
}

int call_unit_or_all(struct call *call, const char *asked, char **ret_unit)
{
	if (!asked && call_is_root(call)) {
		*ret_unit = NULL;
		return 0;
	}
	return call_unit(call, asked, ret_unit);
}
