/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_HARVEST_H
#define SHUTDOWN_HARVEST_H

#include <stdbool.h>

#include "config.h"
#include "libluo/manager.h"

struct harvest_options {
	const char *config;
	bool dry_run;
	bool force;
	bool pin;
	bool verbose;
};

/* 1, or 0 after help or version, or -EINVAL after it has said what is wrong. */
int harvest_options_parse(int argc, char *argv[], struct harvest_options *ret);

/* What became of everything. */
struct harvest {
	const struct config *config;
	struct json_object *record;
	size_t n_kept, n_kept_units, n_lost;
	const char *last_unit; /* that had something kept */
	bool luod_is_gone;
	char why[256]; /* the first reason for a loss that is nobody's fd's fault */
};

/* Hands the units over to luod; what cannot be is in ->record and ->n_lost. */
void harvest_units(struct harvest *h, const struct luo_manager_unit *units, size_t n);

/* Lists what would be done. An exit status. */
int harvest_show(const struct luo_manager_unit *units, size_t n);

#endif
