/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luoctl/systemd.h"

#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "manager/manager.h"
#include "common/util.h"

#define ARGUMENTS_MAX 8

int systemctl(const char *verb, ...)
{
	/* -q: it says what it does with links, which are not what was asked for. */
	const char *argv[ARGUMENTS_MAX + 4] = { "systemctl", "-q", "--no-ask-password", verb };
	size_t n = 4;
	int status, r;
	pid_t pid;
	va_list ap;

	va_start(ap, verb);
	while (n < ELEMENTSOF(argv) - 1 && (argv[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	r = posix_spawnp(&pid, "systemctl", NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int systemd_reload_for(const char *unit, bool *ret_done)
{
	size_t n = strlen(unit);
	unsigned version;
	int r;

	*ret_done = false;
	if (n <= strlen(".service") || !streq(unit + n - strlen(".service"), ".service") ||
	    luo_manager_version(&version) < 0 || version >= LUO_MANAGER_NATIVE)
		return 0;
	r = systemctl("daemon-reload", NULL);
	*ret_done = r == 0;
	return r;
}
