/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUTDOWN_HOOK_CONFIG_H
#define SHUTDOWN_HOOK_CONFIG_H

/*
 * /etc/luo/luo.conf, luo.conf(5). It is read when the machine is going down: nothing in it can stop
 * that. What is wrong with it is said once a line, and the default stands.
 */

#include <stddef.h>
#include <stdint.h>

#define LUO_CONFIG_PATH     "/etc/luo/luo.conf"
#define LUO_CONFIG_SIZE_MAX ((size_t)64 << 10)

enum config_on_failure {
	ON_FAILURE_CONTINUE, /* kexec without what could not be preserved */
	ON_FAILURE_REBOOT,   /* a cold reboot instead of the kexec */
};

struct config {
	uint64_t deadline_usec;        /* for the commit */
	uint64_t harvest_timeout_usec; /* for PID 1 */
	enum config_on_failure on_failure;
};

/* "/etc/luo/luo.conf:3: ..." */
typedef void (*config_warn_fn)(const char *text, void *userdata);

void config_defaults(struct config *ret);

/* @path is for warnings. @text need not end with a NUL. */
void config_parse(const char *path, const char *text, size_t size, config_warn_fn warn,
		  void *userdata, struct config *ret);

/* The file need not be there. */
void config_load(const char *path, config_warn_fn warn, void *userdata, struct config *ret);

/* "30", "30s", "500ms", "2min", "1min 30s". 0, -EINVAL or -ERANGE. */
int config_parse_time(const char *text, uint64_t *ret_usec);

#endif
