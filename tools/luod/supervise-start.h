/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_SUPERVISE_START_H
#define LUOD_SUPERVISE_START_H

/*
 * Starts luod as the child of its supervisor: hands it the kept fds (LISTEN_FDS) and the socket to
 * the supervisor ($LUOD_KEEPER), and sets the resources of both processes.
 */

#include <stdbool.h>

struct options;
struct supervisor;

/* Forks and executes luod. */
int supervise_start(struct supervisor *s);
/* Raises the limit of open files, so that there is room for every fd that luod may hand over. */
void supervise_limits(const struct options *options);
/* Protects the supervisor from the OOM killer; a false @protect sets the old score again. */
void supervise_protect(struct supervisor *s, bool protect);

#endif
