/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_IDENTITY_H
#define LUOD_IDENTITY_H

/*
 * Which process is calling, as the kernel says it, never as the caller says it.
 *
 * What /proc says about a pid counts only as long as the pid belongs to the same process. So a peer
 * is a pidfd; /proc is read, and then the pidfd is asked whether the process is still there. (A
 * zombie is: its pid is not used again before it is reaped.)
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
	pid_t pid; /* 0: not in the pid namespace of luod */
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
 * The peer is root or the user that runs this luod. Every other peer may speak only for its own
 * unit.
 */
bool peer_is_trusted(const struct peer *peer);

/* The process was not reaped yet. */
bool pidfd_is_there(int pidfd);
/* The process has not ended yet. */
bool pidfd_is_running(int pidfd);
int pidfd_open_process(pid_t pid);
/*
 * The number of the process among all since the boot, also after it was reaped. -EOPNOTSUPP where
 * pidfds have no inode of their own.
 */
int pidfd_inode(int pidfd, uint64_t *ret);

/*
 * The effective uid of the process. (The owner of /proc/PID is root if the process is not
 * dumpable.)
 */
int proc_uid(pid_t pid, uid_t *ret);
/* Parent and start time (clock ticks since boot) from /proc/PID/stat. */
int proc_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start);
/* The path in the cgroup 2 hierarchy from /proc/PID/cgroup, "/..."; -ENOENT if it has none. */
int proc_cgroup(pid_t pid, char **ret_path);

/* The parts that read only text, for tests. */
int uid_parse(const char *text, uid_t *ret);
int stat_parse(const char *text, pid_t *ret_parent, uint64_t *ret_start);
int cgroup_parse(const char *text, char **ret_path);

/*
 * The unit that a cgroup path belongs to: its first component that is not a slice. What is below it
 * may be delegated, so its owner chooses the names there. -ENOENT if there is none.
 */
int cgroup_to_unit(const char *path, char **ret_unit);

/* @path is @cgroup or is below it. No path is below the root, which belongs to no unit. */
bool cgroup_is_below(const char *path, const char *cgroup);

#endif
