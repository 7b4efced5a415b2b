/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
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

/*
 * One call with one reply. Takes ownership of @parameters, which may be NULL for none. -ENOMEM if
 * they are not complete (common/json.h); then nothing is sent.
 */
int luo_client_call_object(struct luo_client *client, const char *method,
			   struct json_object *parameters, const int *fds, size_t n_fds,
			   struct luo_reply *ret);

/* May take values out of the reply. 0 continues; any other value ends the call with that value. */
typedef int (*luo_reply_fn)(struct luo_reply *reply, void *userdata);

/* The same with several replies. */
int luo_client_call_more_object(struct luo_client *client, const char *method,
				struct json_object *parameters, luo_reply_fn callback,
				void *userdata);

int luo_client_error_to_errno(const char *name, struct json_object *parameters);
/* A text for a person; NULL if there is none. */
char *luo_client_error_sentence(const char *name, struct json_object *parameters);

#endif
