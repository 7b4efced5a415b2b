/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_COMMIT_H
#define LUOCTL_COMMIT_H

#include "tools/luoctl/luoctl.h"

struct commit_options {
	const char *session; /* NULL: luod's */
	uint64_t max_files;  /* 0: luod's */
	bool dry_run;
};

int ask_commit(struct context *context, const struct commit_options *options,
	       struct json_object **ret_reply);

/* The report of a commit, for people. */
int print_commit(const struct context *context, struct json_object *reply);

/* How many entries ended with this result. */
size_t count_results(struct json_object *reply, const char *result);

/* True if LUOCTL can go on; false if it has said why the name is none. */
bool session_is_valid(const struct context *context, const char *session);

#endif
