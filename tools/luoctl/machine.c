/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <fcntl.h>
#include <linux/kexec.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "file.h"
#include "machine.h"
#include "util.h"

int machine_read(const char *path, char **ret_data, size_t *ret_size)
{
	return read_file(path, ret_data, ret_size);
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

void machine_sync(void)
{
	sync();
}

int machine_reboot_kexec(void)
{
	return reboot(RB_KEXEC) < 0 ? -errno : -EIO;
}
