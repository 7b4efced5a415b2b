/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The cold reboot of luo-shutdown, in a file of its own so that tests can replace it. */

#include "shutdown-hook/cold-reboot.h"

#include <poll.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

#include "common/util.h"

#define SYNC_MSEC 10000

void cold_reboot_now(void)
{
	(void)reboot(RB_AUTOBOOT);
}

/*
 * A sync can hang if a device hangs. It runs in a process of its own, so that the reboot does not
 * wait for it longer than SYNC_MSEC.
 */
static void sync_with_timeout(void)
{
	_cleanup_close_ int pidfd = -EBADF;
	pid_t pid = fork();

	if (pid == 0) {
		sync();
		_exit(0);
	}
	if (pid < 0)
		return;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		(void)poll(&p, 1, SYNC_MSEC);
	}
}

void cold_reboot(void)
{
	sync_with_timeout();
	cold_reboot_now();
}
