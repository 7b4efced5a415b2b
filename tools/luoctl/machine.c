/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "tools/luoctl/directory.h"
#include "tools/luoctl/machine.h"
#include "common/read-file.h"
#include "common/util.h"

int machine_read(const char *path, char **ret_data, size_t *ret_size)
{
	return read_file(path, MACHINE_FILE_MAX, ret_data, ret_size);
}

/* What KHO shows in debugfs is a page or a few. */
#define BLOB_MAX ((size_t)1 << 20)

/* A mount of debugfs that nobody else sees, and that goes away with its last fd. */
static int mount_debugfs(void)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "debugfs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	return fd < 0 ? -errno : fd;
}

static int open_debugfs(void)
{
	_cleanup_close_ int fd = open("/sys/kernel/debug", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == DEBUGFS_MAGIC)
		return TAKE_FD(fd);
	return mount_debugfs();
}

int machine_read_debugfs(const char *path, char **ret_data, size_t *ret_size)
{
	_cleanup_close_ int fd_fs = open_debugfs();

	if (fd_fs < 0)
		return fd_fs;
	return read_file_at(fd_fs, path, BLOB_MAX, ret_data, ret_size);
}

int machine_kexec_file_load(int kernel_fd, int initrd_fd, const char *cmdline)
{
	unsigned long flags = initrd_fd < 0 ? KEXEC_FILE_NO_INITRAMFS : 0;

	if (syscall(SYS_kexec_file_load, kernel_fd, initrd_fd, strlen(cmdline) + 1, cmdline,
		    flags) < 0)
		return -errno;
	return 0;
}

int machine_kexec_tools(const char *kernel, const char *initrd, const char *cmdline)
{
	_cleanup_free_ char *initrd_option = NULL, *cmdline_option = NULL;
	char *argv[8] = { (char[]){ "kexec" }, (char[]){ "-s" }, (char[]){ "-l" } };
	size_t n = 3;
	int status, r;
	pid_t pid;

	argv[n++] = (char *)(uintptr_t)kernel;
	if (asprintf(&cmdline_option, "--command-line=%s", cmdline) < 0) {
		cmdline_option = NULL;
		return -ENOMEM;
	}
	argv[n++] = cmdline_option;
	if (initrd && asprintf(&initrd_option, "--initrd=%s", initrd) < 0) {
		initrd_option = NULL;
		return -ENOMEM;
	}
	argv[n++] = initrd_option;
	r = posix_spawnp(&pid, "kexec", NULL, NULL, argv, environ);
	if (r != 0)
		return -r;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

bool machine_is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

int machine_remove_directory(const char *path)
{
	return remove_directory(path);
}

bool machine_is_root(void)
{
	return geteuid() == 0;
}

void machine_sync(void)
{
	sync();
}

int machine_reboot_kexec(void)
{
	return reboot(RB_KEXEC) < 0 ? -errno : -EIO;
}
