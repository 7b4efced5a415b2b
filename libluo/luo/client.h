/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_CLIENT_H
#define LUO_CLIENT_H

/*
 * Talking to luod: the Varlink interface io.luo on /run/luo/io.luo. `luoctl` is written with this.
 *
 * Blocking, one connection, one call at a time, not thread-safe. A connection that luod has closed,
 * or on which a call was not brought to its end, is replaced at the next call. Functions return 0
 * on success and a negative errno otherwise; outputs are written on success. When luod answers with
 * a Varlink error, the function returns the errno of the table below and luo_client_error() has its
 * name and its text.
 *
 *  io.luo.NoSuchUnit, io.luo.NoSuchEntry   -ENOENT
 *  io.luo.NotPermitted                     -EPERM
 *  io.luo.UnknownCaller                    -ESRCH  (luod cannot tell which unit the caller is)
 *  io.luo.Busy                             -EBUSY
 *  io.luo.NameTaken                        -EEXIST
 *  io.luo.NoLiveUpdate                     -EOPNOTSUPP
 *  io.luo.NoRoom                           -EDQUOT (a memory limit; nothing was touched)
 *  io.luo.Lost                             -EIO    (the kernel could not restore it, final)
 *  io.luo.NeedsMore                        -E2BIG  (luo_client_call_more() it is)
 *  io.luo.Failed                           -EREMOTEIO, or the errno it carries
 *  org.varlink.service.InvalidParameter    -EINVAL
 *  org.varlink.service.MethodNotFound ...  -ENOSYS
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where luod listens, unless $LUO_RUNTIME_DIR says another directory than /run/luo. */
#define LUO_RUNTIME_DIR "/run/luo"
#define LUO_SOCKET_NAME "io.luo"
#define LUO_NOTIFY_NAME "notify"

struct luo_client;

/** What luo_client_claim() gave: names and fds. */
struct luo_claimed;

/**
 * luo_client_connect() - connect to luod.
 * @path: socket; NULL for io.luo in $LUO_RUNTIME_DIR or /run/luo
 * @timeout_usec: for the connection and for every call; UINT64_MAX for ever
 *
 * -ENOENT or -ECONNREFUSED if luod is not there. Since: 0.1
 */
int luo_client_connect(const char *path, uint64_t timeout_usec, struct luo_client **ret_client);

/** luo_client_free() - disconnects. Takes and returns NULL. Since: 0.1 */
struct luo_client *luo_client_free(struct luo_client *client);

/**
 * luo_client_error() - what luod said last.
 * @ret_name: the Varlink error, "io.luo.NoSuchUnit"; NULL if there was none
 * @ret_text: a sentence for a person; NULL if there is none
 *
 * Both are the client's and valid until the next call. Since: 0.1
 */
void luo_client_error(const struct luo_client *client, const char **ret_name,
		      const char **ret_text);

/**
 * luo_client_call() - any method, JSON in and out.
 * @method: "io.luo.Status"; without a dot, "io.luo." is put before it
 * @parameters: the text of a JSON object, or NULL
 * @fds: sent along, stay the caller's
 * @ret_reply: the text of the "parameters" object, to be freed with free(); may be NULL
 * @ret_fds: array of received fds, to be freed with free() after they are closed; may be NULL,
 *           then they are closed
 *
 * -EMSGSIZE, -EBADMSG if luod's answer is too long or malformed, -ETIMEDOUT, -ECONNRESET.
 * Since: 0.1
 */
int luo_client_call(struct luo_client *client, const char *method, const char *parameters,
		    const int *fds, size_t n_fds, char **ret_reply, int **ret_fds,
		    size_t *ret_n_fds);

/**
 * Called for each reply of a method that gives several.
 * @reply: text of the "parameters" object
 * @fds: belong to the callback
 * @continues: more will come
 *
 * 0 to go on, anything else ends the call with that value.
 */
typedef int (*luo_client_reply_fn)(const char *reply, int *fds, size_t n_fds, bool continues,
				   void *userdata);

/** luo_client_call_more() - a method with Varlink's "more". Since: 0.1 */
int luo_client_call_more(struct luo_client *client, const char *method, const char *parameters,
			 luo_client_reply_fn callback, void *userdata);

/**
 * luo_client_register() - this process is the main process of a unit from now on.
 * @unit: its name. Root may name any unit; others only the one their cgroup says
 * @fdstore_max: how many fds the unit may store; 0 for luod's default
 *
 * luod learns who we are from the kernel (SO_PEERPIDFD), and forgets it when the process is gone;
 * an exec keeps it. Since: 0.1
 */
int luo_client_register(struct luo_client *client, const char *unit, unsigned fdstore_max);

/**
 * luo_client_claim() - take the holding, and get everything in the store.
 * @unit: NULL for the caller's own unit
 * @ret_claimed: names and fds, to be freed with luo_claimed_free()
 *
 * The holding becomes the unit's store; luod keeps a copy of each fd, so that a restart of the
 * unit gets them again. A claim that fails half-way can be repeated. Since: 0.1
 */
int luo_client_claim(struct luo_client *client, const char *unit, struct luo_claimed **ret_claimed);

/** luo_claimed_n() - the number of entries. Since: 0.1 */
size_t luo_claimed_n(const struct luo_claimed *claimed);

/** luo_claimed_get_name() - the name of an entry; NULL past the end. Since: 0.1 */
const char *luo_claimed_get_name(const struct luo_claimed *claimed, size_t index);

/**
 * luo_claimed_get_fd() - the fd of an entry, which stays where it is.
 *
 * -EBADF if it is lost because the kernel could not restore it, or was taken; -ENOENT past the end.
 * Since: 0.1
 */
int luo_claimed_get_fd(const struct luo_claimed *claimed, size_t index);

/** luo_claimed_take_fd() - the same, but the fd belongs to the caller then. Since: 0.1 */
int luo_claimed_take_fd(struct luo_claimed *claimed, size_t index);

/** luo_claimed_free() - close the fds and free the names. Takes and returns NULL. Since: 0.1 */
struct luo_claimed *luo_claimed_free(struct luo_claimed *claimed);

/**
 * luo_client_open_entry() - a copy of one fd, without claiming anything. Root only, or own unit.
 * @nth: which of several of that name, from 0
 *
 * Since: 0.1
 */
int luo_client_open_entry(struct luo_client *client, const char *unit, const char *name, size_t nth,
			  int *ret_fd);

/**
 * luo_client_drop() - free entries.
 * @unit: NULL for the caller's own
 * @name: NULL for all of the unit
 * @ret_entries, @ret_bytes: how much went; may be NULL
 *
 * Since: 0.1
 */
int luo_client_drop(struct luo_client *client, const char *unit, const char *name,
		    uint64_t *ret_entries, uint64_t *ret_bytes);

#ifdef __cplusplus
}
#endif

#endif
