/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_HARVEST_H
#define SHUTDOWN_HOOK_HARVEST_H

#include <stdbool.h>

#include "shutdown-hook/config.h"
#include "manager/manager.h"

struct harvest_options {
	const char *config;
	bool dry_run;
	bool force;
	bool pin;
	const char *user; /* the uid of a user, of whose manager's services this is about */
	bool verbose;
};

/* 1, or 0 after help or version, or -EINVAL after it has said what is wrong. */
int harvest_options_parse(int argc, char *argv[], struct harvest_options *ret);

/* What became of everything. */
struct harvest {
	const struct config *config;
	/*
	 * Of a user's manager: its descriptor table, and its own unit in PID 1, under which luod
	 * has everything, as "a.service/NAME". NULL: PID 1.
	 */
	struct luo_manager_table *table;
	const char *owner;
	struct json_object *record;
	size_t n_kept, n_kept_units, n_lost;
	const char *last_unit; /* that had something kept */
	bool luod_is_gone;
	bool owner_is_full; /* a user's: what he has beyond that costs luod no more calls */
	char why[256];      /* the first reason for a loss that is nobody's fd's fault */
};

/* Hands the units over to luod; what cannot be is in ->record and ->n_lost. */
void harvest_units(struct harvest *h, const struct luo_manager_unit *units, size_t n);

/*
 * What the services of a user's manager have: harvest-user.c. It is run when his manager is about
 * to be stopped, and does nothing if that is not for a kexec. An exit status.
 */
int harvest_user(const struct config *config, const struct harvest_options *o);

/* Lists what would be done; @table may be NULL for that of PID 1. An exit status. */
int harvest_show(struct luo_manager_table *table, const struct luo_manager_unit *units, size_t n);

#endif
