/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_SERVER_H
#define LUOD_SERVER_H

/* What the Varlink side of luod shares: the server, the methods, the monitor. */

#include <json-c/json.h>

#include "tools/luod/json-build.h"
#include "common/varlink.h"
#include "tools/luod/luod.h"

/* Most fds that a reply carries. */
#define REPLY_FDS_MAX 200

struct connection;

/* A reply that goes out in several parts, each when the one before was taken. */
struct stream {
	/* Queues one part; 1: more to come, 0: that was the last, negative: the connection ends. */
	int (*next)(struct connection *c, struct stream *s);
	char *unit, *name;
	uint64_t *ids; /* entries of the store */
	size_t n, at;
	bool forget; /* entries go when they are sent */
};

struct connection {
	struct server *server;
	struct luo_varlink *varlink;
	sd_event_source *source, *defer;
	struct peer peer;
	bool monitoring;
	char *monitor_unit; /* NULL: all */
	bool end_of_input;
	size_t n_fds_out; /* in what is queued, at most */
	bool broken;      /* to be freed by whoever is in its hands now */
	struct stream *stream;
	uint64_t *forget; /* entries that go when all that is queued was sent */
	size_t n_forget;
	char *forget_unit;
	struct connection *next;
};

struct server {
	struct luod *luod;
	sd_event_source *source;
	struct connection *connections;
	size_t n_connections;
};

struct call {
	struct luod *luod;
	struct connection *connection;
	struct json_object *parameters; /* may be NULL */
	int *fds;                       /* who takes one puts -EBADF in its place */
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
/* io.luo.Failed */
int call_failed(struct call *call, int error, const char *format, ...) _printf_(3, 4);
/* An error with nothing but a text: NotPermitted, UnknownCaller, Busy, NoLiveUpdate. */
int call_error_text(struct call *call, const char *error, const char *text);

/* ---- parameters ---- */

enum parameter_type { PARAMETER_STRING, PARAMETER_BOOL, PARAMETER_NUMBER, PARAMETER_STRINGS };
struct parameter {
	const char *name;
	enum parameter_type type;
	bool required;
	/* const char **, bool *, uint64_t *, struct json_object **; untouched if it is not there */
	void *to;
	bool *was_there; /* may be NULL */
};
/* 0; 1 if they are wrong, then that was answered. Unknown ones are wrong too. */
int call_parameters(struct call *call, const struct parameter *table, size_t n);

/*
 * The unit that a call is about: the one asked for, if the caller may, else his own. 0; 1 if that
 * was answered with an error; negative errno.
 */
int call_unit(struct call *call, const char *asked, char **ret_unit);
/* The same for what takes or changes something of it. */
int call_unit_to_change(struct call *call, const char *asked, char **ret_unit);
/* The same, but NULL, all units, for root who asks for none. */
int call_unit_or_all(struct call *call, const char *asked, char **ret_unit);
bool call_is_root(const struct call *call);

/* ---- the methods: 0, or a negative errno that is answered as io.luo.Failed ---- */

int api_get_info(struct call *call);
int api_get_interface_description(struct call *call);
int api_status(struct call *call);
int api_list_units(struct call *call);
int api_list_entries(struct call *call);
int api_list_holdings(struct call *call);
int api_register(struct call *call);
int api_claim(struct call *call);
int api_open_entry(struct call *call);
int api_store(struct call *call);
int api_drop(struct call *call);
int api_commit(struct call *call);
int api_abort(struct call *call);
int api_get_mapping(struct call *call);
int api_monitor(struct call *call);

/* ---- entries as JSON ---- */

enum entry_state { ENTRY_STORED, ENTRY_HELD, ENTRY_LOST };
struct json_object *entry_to_object(const struct luo_entry *entry, enum entry_state state);

/* The stores with what they mean to a caller, for i = 0, 1, ... until false. */
bool luod_store_at(const struct luod *l, size_t i, struct luo_store **ret,
		   enum entry_state *ret_state);

/* ---- for the methods ---- */

/* Dispatches one message; negative: the connection is to be closed. */
int dispatch(struct connection *c, struct luo_varlink_message *message);
void stream_free(struct stream *stream);

extern const char io_luo_varlink[];
extern const char org_varlink_service[];

#endif
