/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>

#include <systemd/sd-daemon.h>

#include <luo/store.h>

#include "tools/luo-run/listen-env.h"
#include "common/util.h"

/* The kernel's MAX_ARG_STRLEN, in pages: "NAME=value" with its NUL. */
#define VARIABLE_PAGES_MAX 32

void listen_env_name(FILE *names, size_t i, const char *name)
{
	fprintf(names, "%s%s", i > 0 ? ":" : "", luo_fdname_is_valid(name) ? name : "unknown");
}

int listen_env_inherit(FILE *names, size_t *ret_n)
{
	char **given = NULL;
	int n, r = 0;

	n = sd_listen_fds_with_names(false, &given);
	if (n < 0)
		return n == -ENOMEM ? n : -EINVAL;
	for (int i = 0; i < n; i++) {
		/* It has made them close-on-exec, for a program that is not going to exec. */
		if (fcntl(SD_LISTEN_FDS_START + i, F_SETFD, 0) < 0)
			r = -errno;
		listen_env_name(names, (size_t)i, given[i]);
		free(given[i]);
	}
	free(given);
	if (r < 0)
		return r;
	*ret_n = (size_t)n;
	return 0;
}

int listen_env_set(size_t n, const char *names)
{
	char number[32];

	/* Of systemd 258 and later: a second witness beside the pid, which we cannot give. */
	unsetenv("LISTEN_PIDFDID");
	if (n == 0) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
		return 0;
	}
	if (sizeof("LISTEN_FDNAMES=") + strlen(names) > VARIABLE_PAGES_MAX * page_size())
		return -E2BIG;
	if (setenv("LISTEN_FDNAMES", names, 1) < 0)
		return -errno;
	snprintf(number, sizeof(number), "%zu", n);
	if (setenv("LISTEN_FDS", number, 1) < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	return setenv("LISTEN_PID", number, 1) < 0 ? -errno : 0;
}
