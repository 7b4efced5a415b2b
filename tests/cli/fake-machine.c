/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A machine that luoctl can be let loose on: the files of /proc, /sys and /boot are below
 * $FAKE_ROOT, what would be done to it is a line in $FAKE_LOG, and fails with the errno in
 * $FAKE_LOAD or $FAKE_REBOOT. $FAKE_SUPPORT is what its kernel has; $FAKE_DEVICE the errno of
 * opening /dev/liveupdate.
 */

#include <fcntl.h>
#include <stdio.h>

#include "tools/luoctl/directory.h"
#include "tools/luoctl/machine.h"
#include "libluo/session/kernel.h"
#include "common/read-file.h"
#include "common/util.h"

static int number_of(const char *name)
{
	const char *value = getenv(name);

	return value ? atoi(value) : 0;
}

static void log_line(const char *what, const char *detail)
{
	FILE *f = fopen(getenv("FAKE_LOG") ?: "/dev/null", "a");

	if (!f)
		return;
	fprintf(f, "%s%s%s\n", what, detail ? " " : "", detail ?: "");
	fclose(f);
}

int machine_read(const char *path, char **ret_data, size_t *ret_size)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s%s", getenv("FAKE_ROOT") ?: "/nonexistent", path);
	return read_file(full, MACHINE_FILE_MAX, ret_data, ret_size);
}

int machine_read_debugfs(const char *path, char **ret_data, size_t *ret_size)
{
	char full[256];

	snprintf(full, sizeof(full), "/sys/kernel/debug/%s", path);
	return machine_read(full, ret_data, ret_size);
}

int machine_kexec_file_load(int kernel_fd, int initrd_fd, const char *cmdline)
{
	log_line(initrd_fd < 0 ? "load" : "load-with-initrd", cmdline);
	return -number_of("FAKE_LOAD");
}

int machine_kexec_tools(const char *kernel, const char *initrd, const char *cmdline)
{
	log_line("kexec-tools", cmdline);
	return number_of("FAKE_KEXEC_TOOLS");
}

static void below_root(const char *path, char full[4096])
{
	snprintf(full, 4096, "%s%s", getenv("FAKE_ROOT") ?: "/nonexistent", path);
}

bool machine_is_there(const char *path)
{
	char full[4096];

	below_root(path, full);
	return access(full, F_OK) == 0;
}

int machine_remove_directory(const char *path)
{
	char full[4096];

	below_root(path, full);
	return remove_directory(full);
}

bool machine_is_root(void)
{
	return !getenv("FAKE_USER");
}

void machine_sync(void)
{
	log_line("sync", NULL);
}

int machine_reboot_kexec(void)
{
	log_line("reboot", NULL);
	if (!getenv("FAKE_REBOOT"))
		_exit(99); /* gone */
	return -number_of("FAKE_REBOOT");
}

static enum luo_support support(void)
{
	const char *s = getenv("FAKE_SUPPORT") ?: "on";

	return streq(s, "on")    ? LUO_SUPPORT_ON
	       : streq(s, "off") ? LUO_SUPPORT_OFF
				 : LUO_SUPPORT_NONE;
}

static int open_device(void)
{
	int error = number_of("FAKE_DEVICE");

	return error ? -error : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool is_device(int fd_dir, const char *name)
{
	return false;
}

__attribute__((__constructor__)) static void install(void)
{
	static struct luo_kernel kernel;

	kernel = *luo_kernel_get();
	kernel.support = support;
	kernel.open_device = open_device;
	kernel.is_device = is_device;
	luo_kernel_set(&kernel);
}
