/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* A machine that only writes down that it was to reboot, into $FAKE_LOG. */

#include <fcntl.h>

#include "shutdown-hook/cold-reboot.h"
#include "common/util.h"

void cold_reboot_now(void)
{
	_cleanup_close_ int fd =
		open(getenv("FAKE_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "reboot\n", 7) != 7)
		abort();
}

void cold_reboot(void)
{
	cold_reboot_now();
}
