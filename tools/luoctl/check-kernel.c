/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The running kernel: was it built with it, was it switched on, is the device there; and kexec. */

#include <stdio.h>
#include <sys/utsname.h>

#include <luo/session.h>

#include "tools/luoctl/check.h"
#include "tools/luoctl/cmdline.h"
#include "common/json.h"
#include "tools/luoctl/machine.h"
#include "tools/luoctl/unpack.h"
#include "common/util.h"

/* ---- configuration --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool since_later; /* kernels that do not know it have it always */
} wanted[] = {
	{ "CONFIG_KEXEC_FILE", false },
	{ "CONFIG_KEXEC_HANDOVER", false },
	{ "CONFIG_LIVEUPDATE", false },
	{ "CONFIG_LIVEUPDATE_MEMFD", true },
};

/* 'y' or 'm', 'n' if it is switched off, 0 if it is not mentioned. */
static char config_value(const char *config, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(config, name); p; p = strstr(p + 1, name)) {
		if (p > config + 1 && startswith(p - 2, "# ") && startswith(p + n, " is not set"))
			return 'n';
		if ((p == config || p[-1] == '\n') && p[n] == '=')
			return p[n + 1];
	}
	return 0;
}

static int read_config(char **ret_config, char path[256])
{
	_cleanup_free_ char *packed = NULL;
	struct utsname u;
	size_t size;
	int r;

	snprintf(path, 256, "/proc/config.gz");
	r = machine_read(path, &packed, &size);
	if (r == 0)
		r = unpack(packed, size, ret_config, &size);
	if (r == 0)
		return 0;
	uname(&u);
	snprintf(path, 256, "/boot/config-%s", u.release);
	return machine_read(path, ret_config, &size);
}

static void check_config(struct check *check)
{
	_cleanup_free_ char *config = NULL;
	struct json_object *item = NULL;
	char path[256];

	if (read_config(&config, path) < 0) {
		check_add(check, CHECK_UNKNOWN, "kernel", NULL,
			  "its configuration is neither in /proc/config.gz nor in %s", path);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
		char value = config_value(config, wanted[i].name);

		if (value == 'y' || (value == 0 && wanted[i].since_later))
			continue;
		if (!item)
			item = check_add(check, CHECK_FAILED, "kernel",
					 "Build it with these, or boot another one.",
					 "built without what a live update needs (%s)", path);
		check_detail(item, "%s", wanted[i].name);
	}
	if (!item)
		check_add(check, CHECK_OK, "kernel", NULL, "built for live updates (%s)", path);
}

/* ---- command line ---------------------------------------------------------------------------- */

static void check_cmdline(struct check *check, enum luo_support support)
{
	_cleanup_free_ char *cmdline = NULL;
	bool kho, luo;
	size_t size;

	if (support == LUO_SUPPORT_ON) {
		check_add(check, CHECK_OK, "command line", NULL, "live update is switched on");
		return;
	}
	if (machine_read("/proc/cmdline", &cmdline, &size) < 0) {
		check_add(check, CHECK_UNKNOWN, "command line", NULL, "cannot read /proc/cmdline");
		return;
	}
	kho = cmdline_is_on(cmdline, "kho", false);
	luo = cmdline_is_on(cmdline, "liveupdate", false);
	if (kho && luo)
		check_add(check, CHECK_OK, "command line", NULL, "kho=on liveupdate=on");
	else
		check_add(check, CHECK_FAILED, "command line",
			  "Add it to the command line of this kernel, and of the next.", "%s",
			  luo   ? "kho=on is missing"
			  : kho ? "liveupdate=on is missing"
				: "kho=on liveupdate=on are missing");
}

/* ---- device ---------------------------------------------------------------------------------- */

static void check_busy(struct check *check)
{
	_cleanup_free_ char *comm = NULL;
	pid_t pid;

	if (luo_device_holder(&pid, &comm) < 0)
		check_add(check, CHECK_WARNING, "device", NULL,
			  "/dev/liveupdate is held by another process");
	else
		check_add(check, CHECK_WARNING, "device",
			  "Only one process can have it; a commit waits for it.",
			  "/dev/liveupdate is held by process %d (%s)", (int)pid, comm);
}

static void check_device(struct check *check, enum luo_support support)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (support == LUO_SUPPORT_NONE) {
		check_add(check, CHECK_FAILED, "device", "Boot a kernel with CONFIG_LIVEUPDATE.",
			  "this kernel has no live update");
		return;
	}
	if (support == LUO_SUPPORT_OFF) {
		check_add(check, CHECK_FAILED, "device", NULL,
			  "/dev/liveupdate is not there, because live update is switched off");
		return;
	}
	r = luo_device_open(0, &fd);
	if (r >= 0)
		check_add(check, CHECK_OK, "device", NULL, "/dev/liveupdate can be opened");
	else if (r == -EBUSY)
		check_busy(check);
	else if (r == -EACCES || r == -EPERM)
		check_add(check, CHECK_UNKNOWN, "device", "Try it as root.", "/dev/liveupdate: %s",
			  strerror(-r));
	else if (r == -EIO)
		check_add(check, CHECK_FAILED, "device", "Only a cold reboot helps.",
			  "the kernel could not read the state of its predecessor");
	else
		check_add(check, CHECK_FAILED, "device", NULL, "/dev/liveupdate: %s", strerror(-r));
}

void check_kernel(struct check *check)
{
	enum luo_support support = luo_support();

	check_config(check);
	check_cmdline(check, support);
	check_device(check, support);
}

/* ---- kexec ----------------------------------------------------------------------------------- */

/* The first character of a file, or 0. */
static char first_of(const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	return machine_read(path, &text, &size) < 0 ? 0 : text[0];
}

static void check_permission(struct check *check, bool loaded)
{
	_cleanup_free_ char *lockdown = NULL;
	size_t size;

	if (!loaded && first_of("/proc/sys/kernel/kexec_load_disabled") == '1')
		check_add(check, CHECK_FAILED, "kexec", "Only a reboot switches it on again.",
			  "kernel.kexec_load_disabled is set: no kernel can be loaded");
	if (machine_read("/sys/kernel/security/lockdown", &lockdown, &size) == 0 &&
	    !strstr(lockdown, "[none]"))
		check_add(check, CHECK_WARNING, "lockdown", NULL,
			  "the kernel is locked down: it loads signed kernels only");
}

void check_kexec(struct check *check)
{
	char loaded = first_of("/sys/kernel/kexec_loaded");

	if (loaded == '1')
		check_add(check, CHECK_OK, "kexec", NULL, "a kernel is loaded");
	else if (loaded == 0)
		check_add(check, CHECK_UNKNOWN, "kexec", NULL,
			  "cannot read /sys/kernel/kexec_loaded");
	else if (check->kernel)
		check_add(check, CHECK_OK, "kexec", NULL, "no kernel is loaded yet");
	else
		check_add(
			check, CHECK_FAILED, "kexec",
			"luoctl kexec --kernel FILE loads one and goes there; with --load-only it only loads it.",
			"no kernel is loaded");
	check_permission(check, loaded == '1');
}
