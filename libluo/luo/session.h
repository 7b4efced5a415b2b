/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_SESSION_H
#define LUO_SESSION_H

/*
 * The kernel's interface, one thin function per ioctl of /dev/liveupdate.
 *
 * A *session* is a named container of file descriptors. Whoever holds its fd owns it: when the last
 * copy of the fd of a **created** session goes away before the kexec, everything in it is undone,
 * silently; when the last copy of the fd of a **retrieved** session goes away, the session is
 * finished and what was not yet retrieved from it is freed for good. The rules come from the
 * kernel's kernel/liveupdate/luo_session.c, luo_file.c and mm/memfd_luo.c.
 *
 * Every function returns 0 (or what it says) on success and a negative errno otherwise. Outputs are
 * written only on success. Every fd that is returned is close-on-exec and belongs to the caller.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest session name in bytes, without the terminating NUL. */
#define LUO_SESSION_NAME_MAX 63

/** The token under which the mapping lies (see luo/mapping.h). */
#define LUO_TOKEN_MAPPING UINT64_C(0)

/** What the running kernel has to offer. */
enum luo_support {
	LUO_SUPPORT_NONE, /**< the kernel was built without CONFIG_LIVEUPDATE */
	LUO_SUPPORT_OFF,  /**< built in, but not switched on (liveupdate=on on the command line) */
	LUO_SUPPORT_ON,   /**< it is there (but maybe not in the /dev of a container) */
};

/**
 * luo_support() - tell what the running kernel has to offer, without opening the device.
 *
 * Looks for the device node first, then in sysfs, then for LUO's symbols in /proc/kallsyms, which
 * are there when the kernel has LUO and was booted without it. Never fails: what cannot be read is
 * not there.
 *
 * Since: 0.1
 */
enum luo_support luo_support(void);

/**
 * luo_device_open() - open /dev/liveupdate.
 * @timeout_usec: how long to try again while another process has it, in microseconds;
 *                0 to try once, UINT64_MAX to wait for ever
 * @ret_fd: the device, close-on-exec, owned by the caller; close it as soon as possible, because
 *          the device is a singleton that PID 1 may need too
 *
 * Errors a caller will want to tell apart:
 *  -ENODEV      the kernel has no LUO
 *  -EOPNOTSUPP  the kernel has LUO, but it is switched off on the command line
 *  -EBUSY       another process had the device open until the deadline; see luo_device_holder()
 *  -EIO         the kernel could not read the state of its predecessor; it stays so until a reboot
 *  -EACCES, -EPERM  not allowed
 * and any other errno of open(2). (Kernel: kernel/liveupdate/luo_core.c, luo_open().)
 *
 * Since: 0.1
 */
int luo_device_open(uint64_t timeout_usec, int *ret_fd);

/**
 * luo_device_holder() - find the process that has /dev/liveupdate open.
 * @ret_pid: its process id
 * @ret_comm: its name, to be freed with free(); may be NULL if not wanted
 *
 * Walks /proc/PID/fd, so it sees what the caller may see. It may be the caller itself. -ENOENT if
 * no such process is found.
 *
 * Since: 0.1
 */
int luo_device_holder(pid_t *ret_pid, char **ret_comm);

/** luo_session_name_is_valid() - 1 to 63 bytes, printable, no slash; else false. Since: 0.1 */
bool luo_session_name_is_valid(const char *name);

/**
 * luo_session_create() - make a new, empty, outgoing session.
 * @device_fd: from luo_device_open(), stays the caller's
 * @name: 1 to 63 bytes
 * @ret_fd: the session fd, close-on-exec; keep a copy open until the kexec
 *
 *  -EEXIST  an outgoing session of that name is there already (an incoming one does not count)
 *  -EINVAL  empty or too long a name
 *  -ENOMEM, -ENOSPC  the kernel cannot hold more sessions (about 750 before 7.2)
 *
 * Since: 0.1
 */
int luo_session_create(int device_fd, const char *name, int *ret_fd);

/**
 * luo_session_retrieve() - take over a session that the previous kernel handed down.
 * @device_fd: from luo_device_open(), stays the caller's
 * @name: exactly as it was created; the kernel has no list of sessions
 * @ret_fd: the session fd, close-on-exec. Closing the last copy of it finishes the session.
 *
 *  -ENOENT  no incoming session of that name
 *  -EINVAL  it has been retrieved already, or an invalid name
 *
 * Since: 0.1
 */
int luo_session_retrieve(int device_fd, const char *name, int *ret_fd);

/**
 * luo_session_preserve_fd() - put a file into an outgoing session.
 * @session_fd: from luo_session_create()
 * @token: number of the file within the session
 * @fd: the file; the kernel takes a reference, the fd stays the caller's
 *
 *  -EBUSY   this inode is in a session already (also when it was retrieved from one that has not
 *           been finished)
 *  -EEXIST  the token is taken in this session
 *  -ENOENT  the kernel cannot preserve this kind of file
 *  -ENOSPC  the session is full (128 files before 7.2)
 *  -EOPNOTSUPP  it has a seal that the kernel does not know how to keep
 *  -EINVAL  the session is an incoming one
 *  -EBADF   not open, or opened with O_PATH
 *  -ENOMEM, -EFBIG
 *
 * Fills the holes of a sparse file with memory, and gets the caller killed if there is not enough:
 * luo_commit_new() looks first.
 *
 * Since: 0.1
 */
int luo_session_preserve_fd(int session_fd, int fd, uint64_t token);

/**
 * luo_session_retrieve_fd() - get a file out of an incoming session.
 * @session_fd: from luo_session_retrieve()
 * @token: as it was preserved
 * @ret_fd: the file, close-on-exec. A second call for the same token gives another fd of the same
 *          open file description.
 *
 *  -ENOENT  no such token, or the session has been finished
 *  -EINVAL  the session is an outgoing one
 *  -EMFILE  the caller's limit; may be tried again
 *  -ENOMEM and anything else: final, the kernel has freed what it could not restore, and gives the
 *           same answer for ever
 *
 * The memory is charged to the caller's cgroup. Since: 0.1
 */
int luo_session_retrieve_fd(int session_fd, uint64_t token, int *ret_fd);

/**
 * luo_session_finish() - tell the kernel that everything wanted has been restored.
 * @session_fd: from luo_session_retrieve()
 *
 * What was not restored is freed for good. Twice is fine. -EINVAL on an outgoing session, -EBUSY
 * if the kernel cannot finish one of the files yet.
 *
 * Since: 0.1
 */
int luo_session_finish(int session_fd);

/**
 * luo_session_get_name() - the name of a session.
 * @session_fd: created or retrieved
 * @ret_name: to be freed with free()
 *
 * Uses the GET_NAME ioctl of kernel 7.2, and before that the link in /proc/self/fd.
 * -EBADF if @session_fd is not an open fd, -ENOTTY if it is not a session.
 *
 * Since: 0.1
 */
int luo_session_get_name(int session_fd, char **ret_name);

/**
 * luo_fd_is_session() - 1 if @fd is a session, 0 if not.
 *
 * -EBADF if it is not open, -ENOENT if there is no /proc. Since: 0.1
 */
int luo_fd_is_session(int fd);

#ifdef __cplusplus
}
#endif

#endif
