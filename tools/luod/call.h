/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_CALL_H
#define LUOD_CALL_H

/*
 * One call of a Varlink client: its parameters, the unit that it is about, and the answer. Every
 * call is answered exactly once, unless the client asked for no answer ("oneway"). An unknown
 * parameter is an error, and a client gets only what belongs to its own unit.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/util.h"

/* Most fds that a reply carries. */
#define REPLY_FDS_MAX 200

struct connection;
struct luod;

struct call {
	struct luod *luod;
	struct connection *connection;
	struct json_object *parameters; /* may be NULL */
	int *fds;                       /* a method that takes one puts -EBADF in its place */
	size_t n_fds;
	bool more, oneway;
	bool answered;
};

/* ---- answering; @parameters is taken over; nothing goes out for a oneway call ---- */

int call_reply(struct call *call, struct json_object *parameters);
/* The fds are taken over in any case. */
int call_reply_fds(struct call *call, struct json_object *parameters, int *fds, size_t n_fds,
		   bool continues);
int call_error(struct call *call, const char *error, struct json_object *parameters);
int call_invalid(struct call *call, const char *parameter);
/* An error that has only a text, or a text as the value of @key. */
int call_error_text(struct call *call, const char *error, const char *text);
int call_error_string(struct call *call, const char *error, const char *key, const char *value);
/* io.luo.Failed */
int call_failed(struct call *call, int error, const char *format, ...) _printf_(3, 4);

/* ---- parameters ---- */

/* A JSON string may have a NUL in it; a C string may not. */
bool json_has_no_nul(struct json_object *o);

enum parameter_type { PARAMETER_STRING, PARAMETER_BOOL, PARAMETER_NUMBER, PARAMETER_STRINGS };
struct parameter {
	const char *name;
	enum parameter_type type;
	bool required;
	/* const char **, bool *, uint64_t *, struct json_object **; not set if it is absent */
	void *to;
	bool *was_there; /* may be NULL */
	/* Without it, the call does more, so null is invalid instead of absent. */
	bool narrows;
};
/* 0; 1 if a parameter is wrong or unknown, then the call is answered. */
int call_parameters(struct call *call, const struct parameter *table, size_t n);

/*
 * The unit that a call is about: @asked if the caller may name it, else the caller's own. 0; 1 if
 * the call was answered with an error; negative errno.
 */
int call_unit(struct call *call, const char *asked, char **ret_unit);
/* The same for a method that takes or changes something of the unit. */
int call_unit_to_change(struct call *call, const char *asked, char **ret_unit);
/* The same, but NULL, which means all units, if root names none. */
int call_unit_or_all(struct call *call, const char *asked, char **ret_unit);
bool call_is_root(const struct call *call);

#endif
