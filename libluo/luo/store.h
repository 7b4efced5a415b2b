/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_STORE_H
#define LUO_STORE_H

/*
 * An in-memory set of units and their entries.
 *
 * A *unit* owns file descriptors: a service, by unit name and cgroup path. An *entry* is one named
 * file descriptor of a unit. Either the store has the file descriptor, or the file still lies in an
 * incoming session; luo/handover.h takes it out of there.
 *
 * Stores, units and entries are opaque. A pointer to one, and each string that a getter returns,
 * stay valid until the object is removed or the store is freed. Nothing here talks to
 * /dev/liveupdate.
 *
 * Functions that return int return 0 on success and a negative errno on failure, unless they say
 * more. Outputs are written on success only. A getter of a NULL object returns 0, false or NULL, or
 * -EINVAL where it can fail.
 *
 * Threads: one store and its units and entries may be used by one thread at a time. Fork: the
 * child has its own copy of the store and of the file descriptors. Signals: not for handlers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest name of an entry (systemd's FDNAME_MAX) and of a unit (its UNIT_NAME_MAX - 1). */
#define LUO_FDNAME_MAX    255
#define LUO_UNIT_NAME_MAX 255

struct luo_store;
struct luo_unit;
struct luo_entry;

/** What an entry refers to. More types may be added. */
enum luo_entry_type {
	LUO_ENTRY_FD,      /**< a file */
	LUO_ENTRY_SESSION, /**< a LUO session that the unit made itself; the kernel has it by name
			    */
};

/** luo_store_new() - make an empty store. Since: 0.1 */
int luo_store_new(struct luo_store **ret_store);

/** luo_store_free() - free the store and close every fd in it. Takes and returns NULL. Since: 0.1
 */
struct luo_store *luo_store_free(struct luo_store *store);

/** luo_store_n_units() - the number of units. Since: 0.1 */
size_t luo_store_n_units(const struct luo_store *store);

/**
 * luo_store_unit_at() - a unit by its position, in the order in which units were added.
 *
 * NULL past the end. Since: 0.1
 */
struct luo_unit *luo_store_unit_at(const struct luo_store *store, size_t index);

/** luo_store_find_unit() - a unit by its name; NULL if there is none. Since: 0.1 */
struct luo_unit *luo_store_find_unit(const struct luo_store *store, const char *name);

/** luo_store_n_entries() - the number of entries of all units. Since: 0.1 */
size_t luo_store_n_entries(const struct luo_store *store);

/**
 * luo_store_add_unit() - find a unit, or make it.
 * @cgroup: path below the cgroup root; if not NULL, it replaces the known path
 * @ret_unit: may be NULL
 *
 * -EINVAL if the name is not a valid unit name, or the cgroup is not an absolute, normalized path.
 * Since: 0.1
 */
int luo_store_add_unit(struct luo_store *store, const char *name, const char *cgroup,
		       struct luo_unit **ret_unit);

/* ---- units ----------------------------------------------------------------------------------- */

/** luo_unit_get_name() - the name of the unit. Since: 0.1 */
const char *luo_unit_get_name(const struct luo_unit *unit);

/** luo_unit_get_cgroup() - the path below the cgroup root, "/..."; NULL if unknown. Since: 0.1 */
const char *luo_unit_get_cgroup(const struct luo_unit *unit);

/** luo_unit_get_fdstore_max() - how many fds the unit may store; 0 if not said. Since: 0.1 */
unsigned luo_unit_get_fdstore_max(const struct luo_unit *unit);

/** luo_unit_n_entries() - the number of entries. Since: 0.1 */
size_t luo_unit_n_entries(const struct luo_unit *unit);

/** luo_unit_entry_at() - an entry by its position, oldest first; NULL past the end. Since: 0.1 */
struct luo_entry *luo_unit_entry_at(const struct luo_unit *unit, size_t index);

/**
 * luo_unit_find_entry() - the @nth (from 0) entry of that name; NULL if there is none.
 *
 * Since: 0.1
 */
struct luo_entry *luo_unit_find_entry(const struct luo_unit *unit, const char *name, size_t nth);

/** luo_unit_get_userdata() - the pointer that luo_unit_set_userdata() set; NULL at first. Since:
 * 0.1 */
void *luo_unit_get_userdata(const struct luo_unit *unit);

/** luo_unit_set_userdata() - attach a pointer, which the library does not use. Since: 0.1 */
void luo_unit_set_userdata(struct luo_unit *unit, void *userdata);

/** luo_unit_remove() - free the unit and its entries, and close their fds. Since: 0.1 */
void luo_unit_remove(struct luo_unit *unit);

/**
 * luo_unit_add_fd() - store an fd.
 * @name: valid FDNAME
 * @fd: belongs to the store on success, stays the caller's on failure
 * @ret_entry: may be NULL
 *
 *  -EEXIST  the unit has this open file description under this name already (systemd does not
 *           store it twice either); *@ret_entry is set to that entry
 *  -EINVAL  invalid name
 *  -EBADF   not an open fd
 *
 * Since: 0.1
 */
int luo_unit_add_fd(struct luo_unit *unit, const char *name, int fd, struct luo_entry **ret_entry);

/**
 * luo_unit_add_lazy() - add an entry whose file still lies in an incoming session.
 * @session: 0 for the main session, then the further sessions
 * @token: may be 0 for LUO_ENTRY_SESSION only
 * @ret_entry: may be NULL
 *
 * Since: 0.1
 */
int luo_unit_add_lazy(struct luo_unit *unit, const char *name, enum luo_entry_type type,
		      unsigned session, uint64_t token, struct luo_entry **ret_entry);

/* ---- entries --------------------------------------------------------------------------------- */

/** luo_entry_get_unit() - the unit that the entry belongs to. Since: 0.1 */
struct luo_unit *luo_entry_get_unit(const struct luo_entry *entry);

/** luo_entry_get_name() - the name of the entry. Since: 0.1 */
const char *luo_entry_get_name(const struct luo_entry *entry);

/** luo_entry_get_type() - a file or a session; LUO_ENTRY_FD for NULL. Since: 0.1 */
enum luo_entry_type luo_entry_get_type(const struct luo_entry *entry);

/** luo_entry_get_fd() - the fd, which stays the store's; -EBADF if the store has none. Since: 0.1
 */
int luo_entry_get_fd(const struct luo_entry *entry);

/** luo_entry_get_session() - where the file lies: 0 the main session, then the others. Since: 0.1
 */
unsigned luo_entry_get_session(const struct luo_entry *entry);

/** luo_entry_get_token() - the number of the file in that session. Since: 0.1 */
uint64_t luo_entry_get_token(const struct luo_entry *entry);

/** luo_entry_is_alias() - whether another entry has the same token: the same file. Since: 0.1 */
bool luo_entry_is_alias(const struct luo_entry *entry);

/** luo_entry_is_packed() - whether the kernel has a packed copy, without the holes. Since: 0.1 */
bool luo_entry_is_packed(const struct luo_entry *entry);

/** luo_entry_get_session_name() - of a LUO_ENTRY_SESSION, the kernel's name; else NULL. Since: 0.1
 */
const char *luo_entry_get_session_name(const struct luo_entry *entry);

/** luo_entry_get_file_name() - the name of the memfd, if the mapping has it; else NULL. Since: 0.1
 */
const char *luo_entry_get_file_name(const struct luo_entry *entry);

/** luo_entry_get_size() - bytes of the file, as in the mapping; -ENODATA if unknown. Since: 0.1 */
int luo_entry_get_size(const struct luo_entry *entry, uint64_t *ret_size);

/** luo_entry_get_error() - 0, or the negative errno of a restore that failed for good. Since: 0.1
 */
int luo_entry_get_error(const struct luo_entry *entry);

/** luo_entry_get_poll() - whether a hangup of the other end removes the entry. Since: 0.1 */
bool luo_entry_get_poll(const struct luo_entry *entry);

/** luo_entry_set_poll() - whether a hangup removes it (FDPOLL=); true at first. Since: 0.1 */
void luo_entry_set_poll(struct luo_entry *entry, bool poll);

/** luo_entry_get_userdata() - the pointer that luo_entry_set_userdata() set; NULL at first. Since:
 * 0.1
 */
void *luo_entry_get_userdata(const struct luo_entry *entry);

/** luo_entry_set_userdata() - attach a pointer, which the library does not use. Since: 0.1 */
void luo_entry_set_userdata(struct luo_entry *entry, void *userdata);

/** luo_entry_remove() - free the entry and close its fd. Since: 0.1 */
void luo_entry_remove(struct luo_entry *entry);

/**
 * luo_entry_take_fd() - move the fd to the caller and free the entry.
 *
 * Returns the fd, or -EBADF if the store does not have it. Since: 0.1
 */
int luo_entry_take_fd(struct luo_entry *entry);

/** luo_entry_set_fd() - give a lazy entry its fd, which belongs to the store then. Since: 0.1 */
int luo_entry_set_fd(struct luo_entry *entry, int fd);

/** luo_entry_move() - move it to the end of another unit, of this or another store. Since: 0.1 */
int luo_entry_move(struct luo_entry *entry, struct luo_unit *to);

/* ---- names and fds --------------------------------------------------------------------------- */

/** luo_fdname_is_valid() - whether it is 1 to 255 printable ASCII bytes without ':'. Since: 0.1 */
bool luo_fdname_is_valid(const char *name);

/**
 * luo_unit_name_is_valid() - 1 to 255 bytes of letters, digits and ":-_.\@", not "." or "..".
 *
 * This is systemd's rule without the known suffix: a unit of OpenRC or s6 has none. Since: 0.1
 */
bool luo_unit_name_is_valid(const char *name);

/**
 * luo_fd_same_description() - whether two fds are the same open file description.
 *
 * 1 or 0. Uses F_DUPFD_QUERY (kernel 6.10), then kcmp(2). Without both, equal inode, flags and
 * offset count as the same. Since: 0.1
 */
int luo_fd_same_description(int a, int b);

#define LUO_PASTE_(a, b)  a##b
#define LUO_UNIQUE_(a, b) LUO_PASTE_(a, b)
/** LUO_FOREACH_UNIT() - each unit @u of store @s. The loop may be nested. Do not remove units
 * inside it. */
#define LUO_FOREACH_UNIT(u, s)                                                       \
	for (size_t LUO_UNIQUE_(luo_ui_, __LINE__) = 0;                              \
	     ((u) = luo_store_unit_at((s), LUO_UNIQUE_(luo_ui_, __LINE__))) != NULL; \
	     LUO_UNIQUE_(luo_ui_, __LINE__)++)
/** LUO_FOREACH_ENTRY() - each entry @e of unit @u. The loop may be nested. Do not remove entries
 * inside it. */
#define LUO_FOREACH_ENTRY(e, u)                                                      \
	for (size_t LUO_UNIQUE_(luo_ei_, __LINE__) = 0;                              \
	     ((e) = luo_unit_entry_at((u), LUO_UNIQUE_(luo_ei_, __LINE__))) != NULL; \
	     LUO_UNIQUE_(luo_ei_, __LINE__)++)

#ifdef __cplusplus
}
#endif

#endif
