/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Asking luod, and saying what went wrong so that a person knows what to do. */

#include <stdio.h>

#include "common/escape.h"
#include "common/json.h"
#include "common/runtime-dir.h"
#include "tools/luoctl/luoctl.h"
#include "common/util.h"

static const char *socket_name(const struct context *c)
{
	static char buffer[4096];

	if (c->socket)
		return c->socket;
	snprintf(buffer, sizeof(buffer), "%s/" LUO_SOCKET_NAME, runtime_dir());
	return buffer;
}

static int explain_connect(const struct context *c, int error)
{
	complain("cannot reach luod on %s: %s", socket_name(c), strerror(-error));
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		fputs("Start luod first, or say with --socket where it listens.\n", stderr);
		return LUOCTL_NO_LUOD;
	case -EACCES:
	case -EPERM:
		fputs("Try it as root.\n", stderr);
		return LUOCTL_NOT_PERMITTED;
	default:
		return LUOCTL_NO_LUOD;
	}
}

int connect_to_luod(struct context *c)
{
	int r;

	if (c->client)
		return LUOCTL_OK;
	r = luo_client_connect(c->socket, c->timeout_usec, &c->client);
	return r < 0 ? explain_connect(c, r) : LUOCTL_OK;
}

static int exit_code_of(int error, bool said_by_luod)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return said_by_luod ? LUOCTL_NO_SUCH : LUOCTL_NO_LUOD;
	case -ECONNRESET:
	case -EPIPE:
	case -ETIMEDOUT:
		return said_by_luod ? LUOCTL_FAILED : LUOCTL_NO_LUOD;
	case -EPERM:
	case -EACCES:
	case -ESRCH:
		return LUOCTL_NOT_PERMITTED;
	default:
		return LUOCTL_FAILED;
	}
}

/* When luod did not answer, or not so that it could be understood. */
static const char *silence(int error)
{
	switch (error) {
	case -ECONNRESET:
	case -EPIPE:
		return "luod went away in the middle of the call; it may be restarting, try again";
	case -ETIMEDOUT:
		return "luod did not answer in time; see --timeout";
	case -EBADMSG:
		return "luod's answer cannot be understood; is it of another version?";
	case -EMSGSIZE:
		return "luod's answer is too long";
	default:
		return strerror(-error);
	}
}

/* What luod cannot know: what the person at the keyboard can do about it. */
static const char *advice(const char *name)
{
	static const struct {
		const char *name, *advice;
	} table[] = {
		{ "io.luo.NotPermitted", "Try it as root." },
		{ "io.luo.UnknownCaller", "Say which unit you mean, as root." },
		{ "io.luo.NameTaken", "Commit under another name: --session NAME." },
		{ "io.luo.NoLiveUpdate", "luoctl check says what the kernel needs." },
	};

	for (size_t i = 0; name && i < ELEMENTSOF(table); i++)
		if (streq(name, table[i].name))
			return table[i].advice;
	return NULL;
}

int explain(const struct context *c, const char *what, int error)
{
	_cleanup_free_ char *safe = NULL;
	const char *name, *text;

	luo_client_error(c->client, &name, &text);
	if (name && !text)
		text = name;
	if (text)
		safe = escape(text);
	complain("cannot %s: %s", what, safe ?: silence(error));
	if (advice(name))
		fprintf(stderr, "%s\n", advice(name));
	return exit_code_of(error, name != NULL);
}

static bool is_unknown_unit(const struct context *c)
{
	const char *name;

	luo_client_error(c->client, &name, NULL);
	return name && streq(name, "io.luo.NoSuchUnit");
}

static int ask_text(struct context *c, const char *what, const char *method, const char *parameters,
		    bool unknown_is_null, struct json_object **ret_reply)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *reply;
	int r;

	r = connect_to_luod(c);
	if (r != LUOCTL_OK)
		return r;
	r = luo_client_call(c->client, method, parameters, NULL, 0, &text, NULL, NULL);
	if (r < 0 && unknown_is_null && is_unknown_unit(c)) {
		*ret_reply = NULL;
		return LUOCTL_OK;
	}
	if (r < 0)
		return explain(c, what, r);
	reply = json_parse(text);
	if (!reply)
		return explain(c, what, -EBADMSG);
	*ret_reply = reply;
	return LUOCTL_OK;
}

static int ask_full(struct context *c, const char *what, const char *method,
		    struct json_object *parameters, bool unknown_is_null,
		    struct json_object **ret_reply)
{
	_cleanup_json_ struct json_object *owned = parameters;
	const char *text = json_to_text(owned);

	if (!text) {
		complain("cannot %s: out of memory", what);
		return LUOCTL_FAILED;
	}
	return ask_text(c, what, method, text, unknown_is_null, ret_reply);
}

int ask_plain(struct context *c, const char *what, const char *method,
	      struct json_object **ret_reply)
{
	return ask_text(c, what, method, NULL, false, ret_reply);
}

int ask(struct context *c, const char *what, const char *method, struct json_object *parameters,
	struct json_object **ret_reply)
{
	return ask_full(c, what, method, parameters, false, ret_reply);
}

int ask_or_null(struct context *c, const char *what, const char *method,
		struct json_object *parameters, struct json_object **ret_reply)
{
	return ask_full(c, what, method, parameters, true, ret_reply);
}
