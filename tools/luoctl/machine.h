/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_MACHINE_H
#define LUOCTL_MACHINE_H

/*
 * What luoctl reads of this machine, and does to it. The tests link another machine.c, in which
 * files lie below a directory and nothing is ever rebooted.
 */

#include <stdbool.h>
#include <stddef.h>

/* Larger than any kernel or initial RAM disk. */
#define MACHINE_FILE_MAX ((size_t)1 << 30)

/* Reads a whole file of /proc, /sys or /boot, as read_file() does. */
int machine_read(const char *path, char **ret_data, size_t *ret_size);

/* The same for "kho/out/fdt" and the like, whether or not debugfs is mounted. */
int machine_read_debugfs(const char *path, char **ret_data, size_t *ret_size);

/* kexec_file_load(2). @initrd_fd is -1 for none. */
int machine_kexec_file_load(int kernel_fd, int initrd_fd, const char *cmdline);

/* The program kexec of kexec-tools; its exit status, or negative errno. */
int machine_kexec_tools(const char *kernel, const char *initrd, const char *cmdline);

bool machine_is_there(const char *path);
/* A directory of files, with them. What is below them is not expected: -ENOTEMPTY. */
int machine_remove_directory(const char *path);
bool machine_is_root(void);

void machine_sync(void);

/* Returns only if it fails. */
int machine_reboot_kexec(void);

#endif
