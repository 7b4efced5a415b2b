/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The real kernel behind the seam of libluo/session/kernel.h. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "libluo/session/kernel.h"
#include "common/util.h"

#define DEVICE_NAME "liveupdate"
#define DEVICE_PATH "/dev/" DEVICE_NAME

/* This function exists in every kernel with CONFIG_LIVEUPDATE, whether it is enabled or not. */
#define LUO_SYMBOL "liveupdate_reboot"

static int real_open_device(void)
{
	int fd;

	do
		fd = open(DEVICE_PATH, O_RDWR | O_CLOEXEC | O_NOCTTY);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int real_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

static int real_link_of(int fd, char *buffer, size_t size)
{
	char path[sizeof("/proc/self/fd/") + 11];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buffer, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buffer[n] = '\0';
	return 0;
}

/* The line ends after the symbol, or with a tab and the module it is in. */
static bool is_symbol_line(const char *line)
{
	size_t length = strlen(LUO_SYMBOL);
	const char *name = strrchr(line, ' ');

	return name && strncmp(name + 1, LUO_SYMBOL, length) == 0 &&
	       (name[1 + length] == '\n' || name[1 + length] == '\0');
}

static bool kernel_has_symbol(void)
{
	_cleanup_free_ char *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *f;

	f = fopen("/proc/kallsyms", "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0)
		found = is_symbol_line(line);
	fclose(f);
	return found;
}

static enum luo_support real_support(void)
{
	/*
	 * Reading all symbols takes a while, and they do not change, so the answer is cached.
	 * Threads may read at the same time, because all of them find the same answer.
	 */
	static int built_in = -1;
	struct stat st;
	int known;

	if (stat(DEVICE_PATH, &st) == 0 && S_ISCHR(st.st_mode))
		return LUO_SUPPORT_ON;
	/* The kernel supports it, but this /dev (for example a container's) has no node. */
	if (access("/sys/class/misc/" DEVICE_NAME, F_OK) == 0)
		return LUO_SUPPORT_ON;
	known = __atomic_load_n(&built_in, __ATOMIC_RELAXED);
	if (known < 0) {
		known = kernel_has_symbol();
		__atomic_store_n(&built_in, known, __ATOMIC_RELAXED);
	}
	return known ? LUO_SUPPORT_OFF : LUO_SUPPORT_NONE;
}

/*
 * Check the link first, because stat(2) of a file on a dead network mount would hang. The directory
 * in the link depends on the root of the process that opened the device, so the device number
 * decides.
 */
static bool real_is_device(int fd_dir, const char *name)
{
	struct stat device, st;
	char link[256];
	const char *slash;
	ssize_t n;

	n = readlinkat(fd_dir, name, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	slash = strrchr(link, '/');
	if (!slash || !streq(slash + 1, DEVICE_NAME))
		return false;
	if (stat(DEVICE_PATH, &device) < 0 || fstatat(fd_dir, name, &st, 0) < 0)
		return false;
	return S_ISCHR(st.st_mode) && st.st_rdev == device.st_rdev;
}

static const struct luo_kernel real_kernel = {
	.open_device = real_open_device,
	.ioctl = real_ioctl,
	.link_of = real_link_of,
	.support = real_support,
	.is_device = real_is_device,
};

static const struct luo_kernel *current_kernel = &real_kernel;

const struct luo_kernel *luo_kernel_set(const struct luo_kernel *kernel)
{
	const struct luo_kernel *before = current_kernel;

	current_kernel = kernel ? kernel : &real_kernel;
	return before;
}

const struct luo_kernel *luo_kernel_get(void)
{
	return current_kernel;
}

int luo_fd_link(int fd, char *buffer, size_t size)
{
	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	return current_kernel->link_of(fd, buffer, size);
}
