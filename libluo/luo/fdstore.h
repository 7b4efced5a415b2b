/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_FDSTORE_H
#define LUO_FDSTORE_H

/*
 * What a service calls to keep its memory: push an fd under a name, find it again after a restart
 * or a kernel update. Speaks the sd_notify protocol to $NOTIFY_SOCKET and reads $LISTEN_FDS, so it
 * works under systemd, luod and luo-run without a difference.
 *
 * Functions return 0 (or what they say) on success and a negative errno otherwise; outputs are
 * written on success.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of luo_fdstore_push(). */
enum luo_fdstore_flags {
	/** FDPOLL=0: keep the fd even when the other end of it hangs up. */
	LUO_FDSTORE_NO_POLL = 1 << 0,
	/** Do not wait until the manager has taken it. Then the process must not exit at once. */
	LUO_FDSTORE_NO_WAIT = 1 << 1,
};

/**
 * luo_fdstore_push() - store an fd under a name.
 * @name: 1 to 255 printable ASCII bytes without ':'
 * @fd: stays the caller's; the manager gets a copy
 *
 * Waits until the manager has taken it (sd_notify_barrier(), 30 s), unless told not to.
 *
 *  -EINVAL  bad name or flag
 *  -EBADF   not an open fd
 *  -ENOTCONN  there is no $NOTIFY_SOCKET: nobody keeps fds for this process
 *  -ETIMEDOUT  the manager did not answer
 *
 * The manager may refuse silently (a full store, FileDescriptorStoreMax=0): the protocol has no
 * answer. Since: 0.1
 */
int luo_fdstore_push(const char *name, int fd, unsigned flags);

/**
 * luo_fdstore_remove() - remove every fd of that name; waits like push.
 *
 * After it, luo_fdstore_memfd() and luo_heap_open() make a new one, unless the process was given
 * one. Since: 0.1
 */
int luo_fdstore_remove(const char *name);

/**
 * luo_fdstore_count() - how many fds this process was given; 0 if none.
 *
 * Looks at $LISTEN_PID, $LISTEN_FDS and $LISTEN_FDNAMES once, at the first call of any function
 * here, makes the fds close-on-exec, and leaves the environment alone. -EINVAL if the environment
 * is malformed. Since: 0.1
 */
int luo_fdstore_count(void);

/**
 * luo_fdstore_at() - the @index-th fd that this process was given.
 * @ret_name: static for the life of the process; may be NULL
 * @ret_fd: the fd itself, not a copy: whoever takes it owns it; may be NULL
 *
 * -ENOENT past the end. Since: 0.1
 */
int luo_fdstore_at(size_t index, const char **ret_name, int *ret_fd);

/**
 * luo_fdstore_get() - the @nth (from 0) fd of that name.
 * @ret_fd: the fd itself, not a copy: whoever takes it owns it
 *
 * -ENOENT if there is none. Since: 0.1
 */
int luo_fdstore_get(const char *name, size_t nth, int *ret_fd);

/**
 * luo_fdstore_memfd() - the one call a small service needs: find the memfd or make and store it.
 * @name: of the entry and of the memfd
 * @size: bytes, used when it is made
 * @ret_fd: owned by the caller
 *
 * Returns 0 if it was there already, 1 if it was made. With no $NOTIFY_SOCKET it is made all the
 * same, and just not kept. A second call in the process that made it returns 0 and another fd of
 * the same file; luo_heap_open() and this function find what the other one made. It is remembered
 * until luo_fdstore_remove(). What the process was given is the fd itself, as of luo_fdstore_get().
 * -EUCLEAN if what was stored under that name is not of that size, and then nothing is changed.
 * Since: 0.1
 */
int luo_fdstore_memfd(const char *name, uint64_t size, int *ret_fd);

#ifdef __cplusplus
}
#endif

#endif
