/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_RUN_LISTEN_ENV_H
#define LUO_RUN_LISTEN_ENV_H

#include <stddef.h>
#include <stdio.h>

/* $LISTEN_FDS and its companions, as sd_listen_fds(3) has them. */

/*
 * The fds that whoever started us gave to this process, which go on to the program: how many, and
 * their names to @names, as listen_env_name() would. -EINVAL if the variables are malformed.
 */
int listen_env_inherit(FILE *names, size_t *ret_n);

/* The @i-th (from 0) name. One that is no FDNAME becomes "unknown". */
void listen_env_name(FILE *names, size_t i, const char *name);

/*
 * Sets the variables for this process, which is about to exec; unsets them if there is no fd.
 * -E2BIG if the names are longer than the kernel lets an environment variable be.
 */
int listen_env_set(size_t n, const char *names);

#endif
