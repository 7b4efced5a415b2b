/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_STORE_INTERNAL_H
#define LIBLUO_STORE_INTERNAL_H

/*
 * Units and entries as the library and luod see them. An application has getters only, so fields
 * can be added and changed here.
 */

#include <luo/store.h>

/* Tokens are written as JSON integers; systemd and json-c both read them as signed 64-bit. */
#define LUO_TOKEN_MAX ((uint64_t)INT64_MAX)

/* Which fields of struct luo_entry_meta are known. */
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

/* A piece of a packed file: @length bytes that belong at @offset of the original. */
struct luo_extent {
	uint64_t offset;
	uint64_t length;
};

/* What the kernel does not keep across a kexec, and the mapping does. */
struct luo_entry_meta {
	unsigned known;  /* enum luo_meta_flags */
	char *file_name; /* name of the memfd */
	mode_t mode;     /* permission bits */
	uid_t uid;
	gid_t gid;
	int open_flags;     /* access mode and O_APPEND */
	unsigned seals;     /* F_SEAL_* to add after a journey as a copy */
	uint64_t size;      /* bytes */
	uint64_t offset;    /* file position, where it is not the one the kernel keeps */
	uint64_t stored_at; /* when the unit stored it, microseconds of CLOCK_REALTIME */
	/*
	 * If not NULL, what lies in the kernel is a packed copy: the extents, one behind the other.
	 * Used for memfds that the kernel would bring back damaged (F_SEAL_EXEC) or whose holes it
	 * would fill.
	 */
	struct luo_extent *extents;
	size_t n_extents;
	bool packed; /* also true for a packed file with no extent at all */
};

/* One named fd of a unit. */
struct luo_entry {
	struct luo_unit *unit;
	char *name;
	enum luo_entry_type type;
	int fd;             /* owned; < 0 while it lies in an incoming session */
	unsigned session;   /* index of the session it lies in: 0 the main one, then the spills */
	uint64_t token;     /* its number there */
	bool alias;         /* the same token as another entry: the same file */
	char *session_name; /* LUO_ENTRY_SESSION: the kernel's name of it */
	struct luo_entry_meta meta;
	dev_t device; /* identity of the inode, while fd >= 0 */
	ino_t inode;
	char *extra;    /* unknown keys of the mapping, as the text of a JSON object; or NULL */
	bool poll;      /* remove on POLLHUP or POLLERR; default true */
	int failed;     /* negative errno, if the kernel could not restore it: final */
	uint64_t id;    /* luod's: never touched by the library, 0 at first */
	void *userdata; /* the user's */
	size_t index;   /* position in the unit */
	struct luo_entry *_next; /* store.c: in the table of the unit */
};

/* An owner of fds. */
struct luo_unit {
	struct luo_store *store;
	char *name;
	char *cgroup;               /* path below the cgroup root, "/..."; NULL if unknown */
	struct luo_entry **entries; /* in the order they were stored */
	size_t n_entries;
	unsigned fdstore_max; /* 0: not said */
	char *extra;    /* unknown keys of the mapping, as the text of a JSON object; or NULL */
	void *userdata; /* the user's */
	size_t index;   /* position in the store */
	size_t _allocated;
	struct luo_entry **_buckets; /* store.c: the entries that have an fd, by inode and name */
	size_t _n_buckets;
};

/* Frees what the struct points to and zeroes it. */
void luo_entry_meta_clear(struct luo_entry_meta *meta);

/* Removes all entries that have failed set. */
void luo_unit_remove_failed(struct luo_unit *unit);

/* Reserves room for @n more entries, so that moving or adding them cannot fail. */
int luo_unit_reserve(struct luo_unit *unit, size_t more);

/* Moves an entry toward the front of its unit; the entries behind it close up. */
void luo_entry_move_forward(struct luo_entry *entry, size_t position);

/*
 * Puts an entry that belongs to another unit into a unit without taking ownership. Call
 * luo_unit_return_entries() before the unit is freed or changed in any other way.
 */
int luo_unit_borrow_entry(struct luo_unit *unit, struct luo_entry *entry);
void luo_unit_return_entries(struct luo_unit *unit);

/* An absolute path without empty, "." or ".." components: what /proc/PID/cgroup shows. */
bool luo_cgroup_is_valid(const char *cgroup);

#endif
