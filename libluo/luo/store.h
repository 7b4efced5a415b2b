/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_STORE_H
#define LUO_STORE_H

/*
 * An in-memory set of units and their entries.
 *
 * A *unit* owns fds: a service, by unit name and cgroup path. An *entry* is one named fd of a unit.
 * An entry either has its fd here (entry->fd >= 0), or it still lies in an incoming session
 * (entry->fd < 0, entry->session and entry->token say where; luo/handover.h gets it out).
 *
 * The structs are allocated by the library only, which may append fields; a caller reads them and
 * writes only what is marked as the caller's. Pointers stay valid until the object is removed.
 * Nothing here talks to the kernel's LUO. Not thread-safe: one store, one thread.
 *
 * Functions return 0 on success and a negative errno otherwise; outputs are written on success.
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

/** What an entry refers to. */
enum luo_entry_type {
	LUO_ENTRY_FD,      /**< a file */
	LUO_ENTRY_SESSION, /**< a LUO session that the unit made itself; lies in the kernel by name
			    */
};

/** Which fields of struct luo_entry_meta are known. */
enum luo_meta_flags {
	LUO_META_FILE_NAME = 1 << 0,
	LUO_META_MODE = 1 << 1,
	LUO_META_OWNER = 1 << 2,
	LUO_META_OPEN_FLAGS = 1 << 3,
	LUO_META_SEALS = 1 << 4,
	LUO_META_SIZE = 1 << 5,
	LUO_META_OFFSET = 1 << 6,
	LUO_META_STORED_AT = 1 << 7,
};

/** A piece of a packed file: @length bytes that belong at @offset of the original. */
struct luo_extent {
	uint64_t offset;
	uint64_t length;
};

/** What the kernel does not keep across a kexec, and the mapping does. */
struct luo_entry_meta {
	unsigned known;  /**< enum luo_meta_flags */
	char *file_name; /**< name of the memfd */
	mode_t mode;     /**< permission bits */
	uid_t uid;
	gid_t gid;
	int open_flags;     /**< access mode and O_APPEND */
	unsigned seals;     /**< F_SEAL_* to put on after a journey as a copy */
	uint64_t size;      /**< bytes */
	uint64_t offset;    /**< file position, where it is not the one the kernel keeps */
	uint64_t stored_at; /**< when the unit stored it, microseconds of CLOCK_REALTIME */
	/**
	 * If not NULL, what lies in the kernel is a packed copy: the extents, one behind the other.
	 * Used for memfds that the kernel would bring back damaged (F_SEAL_EXEC) or whose holes it
	 * would fill.
	 */
	struct luo_extent *extents;
	size_t n_extents;
	bool packed; /**< also true for a packed file with no extent at all */
};

/** One named fd of a unit. */
struct luo_entry {
	struct luo_unit *unit;
	char *name;
	enum luo_entry_type type;
	int fd;             /**< owned; < 0 while it lies in an incoming session */
	unsigned session;   /**< index of the session it lies in: 0 the main one, then the spills */
	uint64_t token;     /**< its number there */
	bool alias;         /**< the same token as another entry: the same file */
	char *session_name; /**< LUO_ENTRY_SESSION: the kernel's name of it */
	struct luo_entry_meta meta;
	dev_t device; /**< identity of the inode, while fd >= 0 */
	ino_t inode;
	char *extra;    /**< unknown keys of the mapping, as the text of a JSON object; or NULL */
	bool poll;      /**< remove on POLLHUP or POLLERR; default true */
	int failed;     /**< negative errno for ever, if the kernel could not restore it */
	uint64_t id;    /**< caller's: never touched by the library, 0 at first */
	void *userdata; /**< caller's */
	size_t index;   /**< library's: position in the unit */
	struct luo_entry *_next; /**< library's: in the table of the unit */
};

/** An owner of fds. */
struct luo_unit {
	struct luo_store *store;
	char *name;
	char *cgroup;               /**< path below the cgroup root, "/..."; NULL if unknown */
	struct luo_entry **entries; /**< in the order they were stored */
	size_t n_entries;
	unsigned fdstore_max; /**< 0: not said */
	char *extra;    /**< unknown keys of the mapping, as the text of a JSON object; or NULL */
	void *userdata; /**< caller's */
	size_t index;   /**< library's: position in the store */
	size_t _allocated;
	struct luo_entry *
		*_buckets; /**< library's: the entries that have an fd, by inode and name */
	size_t _n_buckets;
};

/** luo_store_new() - an empty store. Since: 0.1 */
int luo_store_new(struct luo_store **ret_store);

/** luo_store_free() - frees it and closes every fd in it. Takes and returns NULL. Since: 0.1 */
struct luo_store *luo_store_free(struct luo_store *store);

/** luo_store_n_units() - how many units there are. Since: 0.1 */
size_t luo_store_n_units(const struct luo_store *store);

/** luo_store_unit_at() - by position, in the order they were added; NULL past the end. Since: 0.1
 */
struct luo_unit *luo_store_unit_at(const struct luo_store *store, size_t index);

/** luo_store_find_unit() - by name; NULL if there is none. Since: 0.1 */
struct luo_unit *luo_store_find_unit(const struct luo_store *store, const char *name);

/** luo_store_n_entries() - over all units. Since: 0.1 */
size_t luo_store_n_entries(const struct luo_store *store);

/**
 * luo_store_add_unit() - find a unit or make it.
 * @cgroup: remembered if not NULL; replaces what was known
 *
 * -EINVAL if the name is not a valid unit name, or the cgroup not an absolute, normalised path.
 * Since: 0.1
 */
int luo_store_add_unit(struct luo_store *store, const char *name, const char *cgroup,
		       struct luo_unit **ret_unit);

/** luo_unit_remove() - frees the unit and its entries, closes their fds. Since: 0.1 */
void luo_unit_remove(struct luo_unit *unit);

/**
 * luo_unit_add_fd() - store an fd.
 * @name: valid FDNAME
 * @fd: becomes the store's on success, stays the caller's on failure
 * @ret_entry: may be NULL
 *
 *  -EEXIST  this very open file description is there under this name already (as in systemd, it
 *           is not stored twice); *ret_entry is set to it all the same
 *  -EINVAL  bad name
 *  -EBADF   not an open fd
 *
 * Since: 0.1
 */
int luo_unit_add_fd(struct luo_unit *unit, const char *name, int fd, struct luo_entry **ret_entry);

/**
 * luo_unit_add_lazy() - an entry that still lies in an incoming session.
 * @session: 0 for the main session, then the spills
 * @token: may be 0 only for LUO_ENTRY_SESSION
 *
 * Since: 0.1
 */
int luo_unit_add_lazy(struct luo_unit *unit, const char *name, enum luo_entry_type type,
		      unsigned session, uint64_t token, struct luo_entry **ret_entry);

/** luo_unit_find_entry() - the @nth (from 0) entry of that name; NULL if there is none. Since: 0.1
 */
struct luo_entry *luo_unit_find_entry(const struct luo_unit *unit, const char *name, size_t nth);

/** luo_entry_remove() - frees the entry and closes its fd. Since: 0.1 */
void luo_entry_remove(struct luo_entry *entry);

/** luo_entry_take_fd() - moves the fd to the caller and frees the entry; -EBADF if none. Since: 0.1
 */
int luo_entry_take_fd(struct luo_entry *entry);

/** luo_entry_set_fd() - gives a lazy entry its fd; the store owns it from now on. Since: 0.1 */
int luo_entry_set_fd(struct luo_entry *entry, int fd);

/** luo_entry_move() - to another unit, of this or another store, at its end. Since: 0.1 */
int luo_entry_move(struct luo_entry *entry, struct luo_unit *to);

/** luo_fdname_is_valid() - 1 to 255 printable ASCII bytes without ':'. Since: 0.1 */
bool luo_fdname_is_valid(const char *name);

/**
 * luo_unit_name_is_valid() - 1 to 255 bytes of letters, digits and ":-_.\@", not "." or "..".
 *
 * systemd's rule without the demand for a known suffix: a unit of OpenRC or s6 has none. Since: 0.1
 */
bool luo_unit_name_is_valid(const char *name);

/**
 * luo_fd_same_description() - whether two fds are the same open file description.
 *
 * 1 or 0. F_DUPFD_QUERY (kernel 6.10), then kcmp(2); if both are missing, equal inode, flags and
 * offset count as the same. Since: 0.1
 */
int luo_fd_same_description(int a, int b);

/* The line is in the name of an index, so that one loop in another does not shadow it. */
#define _LUO_PASTE_(a, b) a##b
#define _LUO_PASTE(a, b)  _LUO_PASTE_(a, b)

/** LUO_FOREACH_UNIT() - each unit of a store, in order. Since: 0.1 */
#define LUO_FOREACH_UNIT(u, s) _LUO_FOREACH_UNIT(u, s, _LUO_PASTE(_luo_unit_, __LINE__))
#define _LUO_FOREACH_UNIT(u, s, i) \
	for (size_t i = 0; ((u) = luo_store_unit_at((s), i)) != NULL; i++)

/** LUO_FOREACH_ENTRY() - each entry of a unit, in order. Since: 0.1 */
#define LUO_FOREACH_ENTRY(e, u) _LUO_FOREACH_ENTRY(e, u, _LUO_PASTE(_luo_entry_, __LINE__))
#define _LUO_FOREACH_ENTRY(e, u, i) \
	for (size_t i = 0; i < (u)->n_entries && ((e) = (u)->entries[i], true); i++)

#ifdef __cplusplus
}
#endif

#endif
