/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_CLIENT_INTERNAL_H
#define LIBLUO_CLIENT_INTERNAL_H

/* Shared by client.c (one call), methods.c (the calls) and error.c (errors). */

#include <json-c/json_object.h>

#include <luo/client.h>

#include "common/varlink.h"

struct luo_reply {
	struct luo_varlink_message message; /* owns the fds */
	struct json_object
		*parameters; /* the reply's parameters, inside message.object; NULL for none */
	bool continues;
};

void luo_reply_done(struct luo_reply *reply);

/* One call with one reply. Takes over @parameters. */
int luo_client_call_object(struct luo_client *client, const char *method,
			   struct json_object *parameters, const int *fds, size_t n_fds,
			   struct luo_reply *ret);

/* May take values out of the reply. 0 continues; any other value ends the call with that value. */
typedef int (*luo_reply_fn)(struct luo_reply *reply, void *userdata);

/* One call with several replies. Takes over @parameters. */
int luo_client_call_more_object(struct luo_client *client, const char *method,
				struct json_object *parameters, luo_reply_fn callback,
				void *userdata);

/* NULL if the member is absent or not a string. */
const char *luo_reply_string(struct json_object *object, const char *key);
/* False if the member is absent or not a number. */
bool luo_reply_int(struct json_object *object, const char *key, int64_t *ret);

int luo_client_error_to_errno(const char *name, struct json_object *parameters);
/* A text for a person; NULL if there is none. */
char *luo_client_error_sentence(const char *name, struct json_object *parameters);

#endif
