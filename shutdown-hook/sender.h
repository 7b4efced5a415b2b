/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_SENDER_H
#define SHUTDOWN_HOOK_SENDER_H

/*
 * Calls to luod that may be repeated. luod can be killed at any moment, and after its restart it
 * still has everything that it acknowledged. So a call without an answer is sent again until the
 * deadline.
 */

#include <json-c/json_object.h>
#include <stddef.h>
#include <stdint.h>

#include <luo/client.h>

struct sender {
	uint64_t deadline; /* of CLOCK_MONOTONIC */
	struct luo_client *client;
};

/* Consumes @parameters. Returns the errors of luo_client_call(). */
int sender_call(struct sender *sender, const char *method, struct json_object *parameters,
		const int *fds, size_t n_fds);
void sender_done(struct sender *sender);

/* The text of luod's error, or what the errno means here. */
const char *sender_error(const struct sender *sender, int error);

/* luod has not answered, and will not answer before the deadline. */
int sender_is_cut_off(const struct sender *sender, int error);

#endif
