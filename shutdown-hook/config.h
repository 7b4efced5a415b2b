/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_CONFIG_H
#define SHUTDOWN_HOOK_CONFIG_H

/*
 * /etc/luo/luo.conf, see luo.conf(5). It is read when the machine shuts down, so nothing in it is
 * fatal: each invalid line causes one warning, and the default applies.
 */

#include <stddef.h>
#include <stdint.h>

#define LUO_CONFIG_PATH     "/etc/luo/luo.conf"
#define LUO_CONFIG_SIZE_MAX ((size_t)64 << 10)

enum config_on_failure {
	ON_FAILURE_CONTINUE, /* do the kexec without the fds */
	ON_FAILURE_REBOOT,   /* do a cold reboot instead of the kexec */
};

struct config {
	uint64_t deadline_usec;        /* how long the commit may take */
	uint64_t harvest_timeout_usec; /* how long PID 1 may take to list the stores */
	enum config_on_failure on_failure;
};

/* "/etc/luo/luo.conf:3: ..." */
typedef void (*config_warn_fn)(const char *text, void *userdata);

void config_defaults(struct config *ret);

/* @path appears in warnings only. @text needs no NUL at its end. */
void config_parse(const char *path, const char *text, size_t size, config_warn_fn warn,
		  void *userdata, struct config *ret);

/* A missing file means the defaults. */
void config_load(const char *path, config_warn_fn warn, void *userdata, struct config *ret);

/* Parses "30", "30s", "500ms", "2min", "1min 30s". Returns 0, -EINVAL or -ERANGE. */
int config_parse_time(const char *text, uint64_t *ret_usec);

#endif
