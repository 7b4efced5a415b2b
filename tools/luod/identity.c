/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/identity.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <luo/store.h>

#include "common/read-file.h"
#include "common/util.h"
#include "libluo/store/internal.h"

/* Linux 6.5; the headers of the build host may be older. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#define PIDFS_MAGIC 0x50494446 /* Linux 6.9 */

/* "status" lists the groups of the process: up to 65536, with at most 11 bytes each. */
#define PROC_FILE_MAX ((size_t)1 << 20)

int pidfd_open_process(pid_t pid)
{
	int fd;

	if (pid <= 0)
		return -ESRCH;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

bool pidfd_is_there(int pidfd)
{
	/* EPERM: the process is there, but luod may not signal it. */
	return pidfd >= 0 &&
	       (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM);
}

bool pidfd_is_running(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

int pidfd_inode(int pidfd, uint64_t *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(pidfd, &fs) < 0)
		return -errno;
	if (fs.f_type != PIDFS_MAGIC)
		return -EOPNOTSUPP;
	if (fstat(pidfd, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

/*
 * The pidfd of the peer. Kernels before 6.5 do not have the option, and only there the pid is all
 * that is known. Any other error means that the peer is gone (kernels before 6.16 say EINVAL, ESRCH
 * or ENODATA when it was reaped): its pid may belong to another process by now.
 */
static int peer_pidfd(int fd, pid_t pid)
{
	socklen_t size = sizeof(int);
	int pidfd = -EBADF;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) >= 0)
		return pidfd;
	return errno == ENOPROTOOPT ? pidfd_open_process(pid) : -ESRCH;
}

int peer_from_socket(int fd, struct peer *ret)
{
	struct ucred ucred;
	socklen_t size = sizeof(ucred);
	struct peer peer = { 0 };

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		return -errno;
	peer.pid = ucred.pid;
	peer.uid = ucred.uid;
	peer.pidfd = peer_pidfd(fd, ucred.pid);
	*ret = peer;
	return 0;
}

/* Whether the process that has the pid now was there at @when, a time of CLOCK_BOOTTIME. */
static bool was_there(pid_t pid, uint64_t when)
{
	uint64_t start, ticks_per_second = (uint64_t)sysconf(_SC_CLK_TCK);
	pid_t parent;

	/* The kernel rounds the start down to a tick, so that of the sender is never after @when.
	 */
	return proc_stat(pid, &parent, &start) >= 0 &&
	       start <= when / USEC_PER_SEC * ticks_per_second +
				when % USEC_PER_SEC * ticks_per_second / USEC_PER_SEC;
}

int pidfd_open_sender(int socket_fd, pid_t pid, uint64_t sent)
{
	_cleanup_close_ int fd = -EBADF;
	socklen_t size = sizeof(int);
	int on;

	/* A kernel that can pass pidfds and passes none: the sender was reaped. */
	if (getsockopt(socket_fd, SOL_SOCKET, SO_PASSPIDFD, &on, &size) >= 0 ||
	    errno != ENOPROTOOPT)
		return -ESRCH;
	fd = pidfd_open_process(pid);
	if (fd < 0)
		return fd;
	/* In this order: what /proc says is about this process only if it is still there after. */
	if (!was_there(pid, sent) || !pidfd_is_there(fd))
		return -ESRCH;
	return TAKE_FD(fd);
}

bool peer_is_trusted(const struct peer *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

void peer_done(struct peer *peer)
{
	peer->pidfd = safe_close(peer->pidfd);
}

/* ---- /proc ----------------------------------------------------------------------------------- */

static int read_proc(pid_t pid, const char *what, char **ret)
{
	char path[64];
	size_t size;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	r = read_file(path, PROC_FILE_MAX, ret, &size);
	return r == -ENOENT ? -ESRCH : r;
}

int stat_parse(const char *text, pid_t *ret_parent, uint64_t *ret_start)
{
	/* The name of the program is in parentheses and may contain any byte, ")" too. */
	const char *p = strrchr(text, ')');
	unsigned long long start;
	int parent;

	if (!p ||
	    sscanf(p,
		   ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &parent, &start) != 2)
		return -EBADMSG;
	*ret_parent = parent;
	*ret_start = start;
	return 0;
}

int proc_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc(pid, "stat", &text);

	return r < 0 ? r : stat_parse(text, ret_parent, ret_start);
}

int uid_parse(const char *text, uid_t *ret)
{
	/* The name of the program comes before it, with its newlines escaped. */
	const char *p = strstr(text, "\nUid:");
	unsigned effective;

	if (!p || sscanf(p, "\nUid: %*u %u", &effective) != 1)
		return -EBADMSG;
	*ret = effective;
	return 0;
}

int proc_uid(pid_t pid, uid_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc(pid, "status", &text);

	return r < 0 ? r : uid_parse(text, ret);
}

int cgroup_parse(const char *text, char **ret_path)
{
	static const char deleted[] = " (deleted)";

	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		if (startswith(line, "0::/")) {
			const char *path = line + 3;
			size_t n = (size_t)(end - path);
			char *copy;

			if (n > sizeof(deleted) - 1 &&
			    memcmp(end - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
				n -= sizeof(deleted) - 1;
			copy = strndup(path, n);
			if (!copy)
				return -ENOMEM;
			/* "/../x" is outside of the cgroup namespace of luod. */
			if (!streq(copy, "/") && !luo_cgroup_is_valid(copy)) {
				free(copy);
				return -ENOENT;
			}
			*ret_path = copy;
			return 0;
		}
		line = *end ? end + 1 : end;
	}
	return -ENOENT;
}

int proc_cgroup(pid_t pid, char **ret_path)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc(pid, "cgroup", &text);

	return r < 0 ? r : cgroup_parse(text, ret_path);
}

/* ---- cgroups --------------------------------------------------------------------------------- */

static bool has_suffix(const char *s, size_t n, const char *suffix)
{
	size_t m = strlen(suffix);

	return n > m && memcmp(s + n - m, suffix, m) == 0;
}

static bool is_unit(const char *s, size_t n)
{
	static const char *const suffixes[] = {
		".service", ".scope", ".socket", ".mount", ".swap", ".path", ".timer",
	};

	for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
		if (has_suffix(s, n, suffixes[i]))
			return true;
	return false;
}

int cgroup_to_unit(const char *path, char **ret_unit)
{
	const char *p = path;

	while (*p == '/') {
		size_t n = strcspn(++p, "/");
		const char *name = p;
		char *unit;

		p += n;
		if (has_suffix(name, n, ".slice"))
			continue;
		/* systemd escapes a name that looks like one of the kernel's. */
		if (n > 1 && name[0] == '_') {
			name++;
			n--;
		}
		/* OpenRC: /openrc.NAME */
		if (n > 7 && startswith(name, "openrc.")) {
			name += 7;
			n -= 7;
		} else if (!is_unit(name, n))
			return -ENOENT;
		unit = strndup(name, n);
		if (!unit)
			return -ENOMEM;
		if (!luo_unit_name_is_valid(unit)) {
			free(unit);
			return -ENOENT;
		}
		*ret_unit = unit;
		return 0;
	}
	return -ENOENT;
}

bool cgroup_is_below(const char *path, const char *cgroup)
{
	size_t n = strlen(cgroup);

	if (n < 2 || cgroup[0] != '/')
		return false;
	return strncmp(path, cgroup, n) == 0 && (path[n] == 0 || path[n] == '/');
}
