/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_INSPECT_H
#define LUO_INSPECT_H

/*
 * What is this fd, and what would become of it in a live update? Looks only, changes nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an fd refers to, as far as LUO cares. */
enum luo_kind {
	LUO_KIND_UNKNOWN,
	LUO_KIND_MEMFD,          /**< memfd on shmem */
	LUO_KIND_SHMEM_UNLINKED, /**< unlinked file on tmpfs, O_TMPFILE, shared anonymous memory */
	LUO_KIND_SHMEM_LINKED,   /**< tmpfs file that still has a name: cannot be preserved */
	LUO_KIND_HUGETLB,        /**< hugetlb memfd or hugetlbfs file: cannot be preserved */
	LUO_KIND_SESSION,        /**< a LUO session */
	LUO_KIND_REGULAR,        /**< file on any other file system */
	LUO_KIND_DIRECTORY,
	LUO_KIND_SOCKET,
	LUO_KIND_PIPE,
	LUO_KIND_EVENTFD,
	LUO_KIND_ANON_INODE, /**< any other anon_inode: epoll, timerfd, pidfd, ... */
	LUO_KIND_CHAR_DEVICE,
	LUO_KIND_BLOCK_DEVICE,
	LUO_KIND_PATH, /**< opened with O_PATH */
};

/** Facts about one fd. */
struct luo_fd_info {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	enum luo_kind kind;
	bool preservable;   /**< a kind that PRESERVE_FD takes (kernel 7.2: shmem without a link) */
	const char *reason; /**< static text, why not; NULL if preservable */
	dev_t device;       /**< identity of the inode */
	ino_t inode;
	mode_t mode; /**< st_mode */
	uid_t uid;
	gid_t gid;
	int open_flags;     /**< F_GETFL: access mode, O_APPEND, ... */
	unsigned seals;     /**< F_SEAL_*; 0 where it has none */
	uint64_t size;      /**< bytes; 0 where it has none */
	uint64_t allocated; /**< bytes really in memory; less than size if sparse */
	uint64_t offset;    /**< file position; 0 where it has none */
	char name[256];     /**< memfd or session name, or a short description; never empty */
};

/** luo_fd_inspect() - fill @ret for @fd. -EBADF if it is not open. Since: 0.1 */
int luo_fd_inspect(int fd, struct luo_fd_info *ret);

/** luo_kind_to_string() - "memfd", "socket", ...; never NULL. Since: 0.1 */
const char *luo_kind_to_string(enum luo_kind kind);

/**
 * luo_fd_count_runs() - physically separate runs of pages of a shmem file.
 * @fd: open for reading; only pages that are in memory count
 * @ret_pages: pages present
 * @ret_runs: runs of physically adjacent pages; the early boot of the next kernel costs about
 *            0.7 ns times the square of this number, summed over all preserved files
 *
 * Holes are not filled by looking. Reads /proc/self/pagemap, which shows frame numbers to
 * CAP_SYS_ADMIN only: -EPERM without. -EACCES if @fd is write-only. Since: 0.1
 */
int luo_fd_count_runs(int fd, uint64_t *ret_pages, uint64_t *ret_runs);

/** Room for memory in a cgroup and its ancestors. */
struct luo_memory_room {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	uint64_t bytes;     /**< what can still be charged; UINT64_MAX if there is no limit */
	/** The part of the cgroups alone. Retrieving from a session charges the cgroup, but the
	 * memory itself is there already: MemAvailable does not count for it. */
	uint64_t cgroup_bytes;
	uint64_t high_bytes;  /**< what can be charged before memory.high slows us; UINT64_MAX if
				 none */
	char limited_by[256]; /**< cgroup that sets the limit; empty if none does */
	char slowed_by[256];  /**< cgroup that sets memory.high; empty if none does */
};

/**
 * luo_memory_room() - how much the calling process can still be charged.
 *
 * The smallest of (memory.max - memory.current) over the cgroup of the caller and its ancestors,
 * and of MemAvailable in /proc/meminfo. Without cgroup 2 only the latter. Limits of ancestors that
 * a container does not show are not seen. Since: 0.1
 */
int luo_memory_room(struct luo_memory_room *ret);

/** luo_memory_available() - MemAvailable of /proc/meminfo in bytes. Since: 0.1 */
int luo_memory_available(uint64_t *ret_bytes);

/**
 * luo_seals_to_string() - "seal,shrink,grow,write,future-write,exec" or "-".
 * @seals: F_SEAL_*, or enum luo_seal of luo/memfd.h
 * @buffer: at least 64 bytes
 *
 * A seal without a name is written as a number. Returns @buffer. Since: 0.1
 */
char *luo_seals_to_string(unsigned seals, char buffer[64]);

#ifdef __cplusplus
}
#endif

#endif
