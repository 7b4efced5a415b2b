/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * One thin function for each ioctl of /dev/liveupdate, and the functions that find the device and
 * recognize a session.
 *
 * A session ioctl is sent to an unknown fd only after its link in /proc shows that it is a session,
 * because another driver may use the same ioctl number for something else.
 */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "libluo/session/kernel-abi.h"
#include "libluo/session/kernel.h"
#include "common/util.h"

#define SESSION_LINK "anon_inode:[luo_session] "

/* Another process usually has the device open for microseconds to milliseconds. */
#define RETRY_MIN_USEC (1 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (20 * USEC_PER_MSEC)

_public_ enum luo_support luo_support(void)
{
	return luo_kernel_get()->support();
}

static int open_once(void)
{
	int fd = luo_kernel_get()->open_device();

	/* There is no node, or no driver behind it: find out why. */
	if (fd != -ENOENT && fd != -ENXIO && fd != -ENODEV)
		return fd;
	switch (luo_kernel_get()->support()) {
	case LUO_SUPPORT_NONE:
		return -ENODEV;
	case LUO_SUPPORT_OFF:
		return -EOPNOTSUPP;
	case LUO_SUPPORT_ON:
		break;
	}
	return fd;
}

static void sleep_usec(uint64_t usec)
{
	struct timespec ts = {
		.tv_sec = (time_t)(usec / USEC_PER_SEC),
		.tv_nsec = (long)(usec % USEC_PER_SEC * NSEC_PER_USEC),
	};

	(void)nanosleep(&ts, NULL);
}

/* The device cannot be polled or watched for its release, so retry at growing intervals. */
_public_ int luo_device_open(uint64_t timeout_usec, int *ret_fd)
{
	uint64_t start = now_usec(CLOCK_MONOTONIC), pause = RETRY_MIN_USEC;

	if (!ret_fd)
		return -EINVAL;
	for (;;) {
		int fd = open_once();
		uint64_t spent;

		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		spent = now_usec(CLOCK_MONOTONIC) - start;
		if (fd != -EBUSY || spent >= timeout_usec)
			return fd;
		sleep_usec(MIN2(pause, timeout_usec - spent));
		pause = MIN2(pause * 2, RETRY_MAX_USEC);
	}
}

static bool process_has_device(int proc, const char *pid)
{
	char path[32];
	struct dirent *entry;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%.20s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		safe_close(fd);
		return false;
	}
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' &&
			luo_kernel_get()->is_device(dirfd(dir), entry->d_name);
	closedir(dir);
	return found;
}

static int read_comm(int proc, const char *pid, char **ret_comm)
{
	_cleanup_close_ int fd = -EBADF;
	char path[32], comm[64];
	ssize_t n;

	snprintf(path, sizeof(path), "%.20s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, comm, sizeof(comm));
	if (n < 0)
		return -errno;
	if (n > 0 && comm[n - 1] == '\n')
		n--;
	*ret_comm = strndup(comm, (size_t)n);
	return *ret_comm ? 0 : -ENOMEM;
}

static int find_holder(DIR *proc, pid_t *ret_pid, char **ret_comm)
{
	_cleanup_free_ char *comm = NULL;
	struct dirent *entry;

	while ((entry = readdir(proc))) {
		int r;

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !process_has_device(dirfd(proc), entry->d_name))
			continue;
		if (ret_comm) {
			r = read_comm(dirfd(proc), entry->d_name, &comm);
			if (r == -ENOENT || r == -ESRCH)
				continue; /* exited meanwhile */
			if (r < 0)
				return r;
			*ret_comm = TAKE_PTR(comm);
		}
		*ret_pid = (pid_t)strtol(entry->d_name, NULL, 10);
		return 0;
	}
	return -ENOENT;
}

_public_ int luo_device_holder(pid_t *ret_pid, char **ret_comm)
{
	DIR *proc;
	int r;

	if (!ret_pid)
		return -EINVAL;
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	r = find_holder(proc, ret_pid, ret_comm);
	closedir(proc);
	return r;
}

static bool name_length_ok(const char *name)
{
	size_t length = name ? strnlen(name, LUO_SESSION_NAME_MAX + 1) : 0;

	return length >= 1 && length <= LUO_SESSION_NAME_MAX;
}

_public_ bool luo_session_name_is_valid(const char *name)
{
	if (!name_length_ok(name))
		return false;
	for (const char *c = name; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '/')
			return false;
	return true;
}

static int session_by_name(int device_fd, unsigned long request, const char *name, int *ret_fd)
{
	struct luo_abi_session arg = { .size = sizeof(arg), .fd = -EBADF };
	int r;

	if (!name_length_ok(name) || !ret_fd)
		return -EINVAL;
	memcpy(arg.name, name, strlen(name));
	r = luo_kernel_get()->ioctl(device_fd, request, &arg);
	if (r < 0)
		return r;
	*ret_fd = arg.fd;
	return 0;
}

_public_ int luo_session_create(int device_fd, const char *name, int *ret_fd)
{
	return session_by_name(device_fd, LUO_ABI_CREATE_SESSION, name, ret_fd);
}

_public_ int luo_session_retrieve(int device_fd, const char *name, int *ret_fd)
{
	return session_by_name(device_fd, LUO_ABI_RETRIEVE_SESSION, name, ret_fd);
}

_public_ int luo_session_preserve_fd(int session_fd, int fd, uint64_t token)
{
	struct luo_abi_fd arg = { .size = sizeof(arg), .fd = fd, .token = token };

	return luo_kernel_get()->ioctl(session_fd, LUO_ABI_PRESERVE_FD, &arg);
}

_public_ int luo_session_retrieve_fd(int session_fd, uint64_t token, int *ret_fd)
{
	struct luo_abi_fd arg = { .size = sizeof(arg), .fd = -EBADF, .token = token };
	int r;

	if (!ret_fd)
		return -EINVAL;
	r = luo_kernel_get()->ioctl(session_fd, LUO_ABI_RETRIEVE_FD, &arg);
	if (r < 0)
		return r;
	/* Kernel 7.2 sets close-on-exec, but its header asks userspace to set it. */
	(void)fcntl(arg.fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = arg.fd;
	return 0;
}

_public_ int luo_session_finish(int session_fd)
{
	struct luo_abi_finish arg = { .size = sizeof(arg) };

	return luo_kernel_get()->ioctl(session_fd, LUO_ABI_FINISH, &arg);
}

/* @buffer: receives the name. Returns 1 if @fd is a session, 0 if it is not. */
static int name_from_link(int fd, char *buffer, size_t size)
{
	char link[256];
	int r;

	r = luo_fd_link(fd, link, sizeof(link));
	if (r == -ENAMETOOLONG)
		return 0; /* a file with a long path */
	if (r < 0)
		return r;
	if (!startswith(link, SESSION_LINK))
		return 0;
	snprintf(buffer, size, "%s", link + strlen(SESSION_LINK));
	return 1;
}

_public_ int luo_session_get_name(int session_fd, char **ret_name)
{
	struct luo_abi_get_name arg = { .size = sizeof(arg) };
	char name[256], *copy;
	int r;

	if (!ret_name)
		return -EINVAL;
	r = name_from_link(session_fd, name, sizeof(name));
	if (r < 0)
		return r;
	if (r == 0)
		return -ENOTTY;
	r = luo_kernel_get()->ioctl(session_fd, LUO_ABI_GET_NAME, &arg);
	if (r == 0) {
		copy = strndup((const char *)arg.name, sizeof(arg.name));
	} else if (r == -ENOTTY || r == -EINVAL) {
		/* Kernels before 7.2 do not know this ioctl number and return EINVAL. */
		copy = strdup(name);
	} else {
		return r;
	}
	if (!copy)
		return -ENOMEM;
	*ret_name = copy;
	return 0;
}

_public_ int luo_fd_is_session(int fd)
{
	char name[256];

	return name_from_link(fd, name, sizeof(name));
}
