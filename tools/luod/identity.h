/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_IDENTITY_H
#define LUOD_IDENTITY_H

/*
 * Who is calling, as the kernel tells it: never as the caller does.
 *
 * What /proc says about a pid is worth something only as long as the pid belongs to the process
 * that we mean. So a peer is a pidfd first; /proc is read, and then the pidfd is asked whether the
 * process is still there (a zombie is: its pid cannot be used again before it is reaped).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
	pid_t pid; /* 0: not in our pid namespace */
	uid_t uid;
	int pidfd; /* owned; < 0: the process is gone, so what /proc has under its pid is not its */
};

/*
 * Of a connected stream socket: SO_PEERCRED and SO_PEERPIDFD. Kernels before 6.5 lack the second;
 * there the pidfd is opened from the pid. A peer that was reaped has no pidfd.
 */
int peer_from_socket(int fd, struct peer *ret);
/*
 * The pidfd of the process that sent a datagram to @socket_fd at @sent (usec, CLOCK_BOOTTIME), for
 * kernels that do not send it along. -ESRCH if the sender is gone, or may be gone: a kernel with
 * SO_PASSPIDFD leaves the pidfd out only then, and on others the pid may belong to a process that
 * started later.
 */
int pidfd_open_sender(int socket_fd, pid_t pid, uint64_t sent);
void peer_done(struct peer *peer);
/*
 * Root, or whoever runs this luod: a daemon that a user started for himself is his. Everybody else
 * may only speak for his own unit.
 */
bool peer_is_trusted(const struct peer *peer);

/* The process was not reaped yet. */
bool pidfd_is_there(int pidfd);
/* The process has not ended yet. */
bool pidfd_is_running(int pidfd);
int pidfd_open_process(pid_t pid);
/*
 * Which process it is, among all since the boot, also when that was reaped. -EOPNOTSUPP where
 * pidfds have no inode of their own.
 */
int pidfd_inode(int pidfd, uint64_t *ret);

/* The uid that the process acts with now (/proc/PID would be root's if it is not dumpable). */
int proc_uid(pid_t pid, uid_t *ret);
/* Parent and start time (clock ticks since boot) of /proc/PID/stat. */
int proc_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start);
/* The path in the cgroup 2 hierarchy of /proc/PID/cgroup, "/..."; -ENOENT if it has none. */
int proc_cgroup(pid_t pid, char **ret_path);

/* The parts that look only at text, for tests. */
int uid_parse(const char *text, uid_t *ret);
int stat_parse(const char *text, pid_t *ret_parent, uint64_t *ret_start);
int cgroup_parse(const char *text, char **ret_path);

/*
 * The unit that a cgroup path belongs to: its first component that is not a slice. What lies below
 * it may be delegated, so names further down are its owner's invention. -ENOENT if there is none.
 */
int cgroup_to_unit(const char *path, char **ret_unit);

/* @path is @cgroup or lies below it. The root is nobody's. */
bool cgroup_is_below(const char *path, const char *cgroup);

#endif
