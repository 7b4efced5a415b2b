/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LUO_MEMFD_H
#define LUO_MEMFD_H

/*
 * Memory with a file descriptor: create, seal, copy, map.
 *
 * Every function returns 0 on success and a negative errno otherwise; outputs are written only on
 * success; every returned fd is close-on-exec and belongs to the caller.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of struct luo_memfd_options. */
enum luo_memfd_flags {
	LUO_MEMFD_ALLOW_SEALING = 1 << 0, /**< seals can be added later (MFD_ALLOW_SEALING) */
	LUO_MEMFD_EXEC = 1 << 1,          /**< executable (MFD_EXEC); default: not sealed, 0666 */
	/** MFD_NOEXEC_SEAL. Kernel 7.2 brings such a memfd back read-only unless it travels as a
	 * copy, which luo_handover_commit() takes care of. */
	LUO_MEMFD_NOEXEC_SEAL = 1 << 2,
	LUO_MEMFD_HUGETLB = 1 << 3, /**< hugetlb pages; LUO cannot preserve these */
	/** Fill it with transparent huge pages, where
	 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise or more; implies
	 * LUO_MEMFD_PREALLOCATE. Huge folios are preserved and restored about 100 times faster. */
	LUO_MEMFD_HUGEPAGE = 1 << 4,
	LUO_MEMFD_PREALLOCATE = 1 << 5, /**< allocate all pages now: no holes */
};

/** How to make a memfd. Zero-initialise it; what is zero is the default. */
struct luo_memfd_options {
	const char *name; /**< shown in /proc as "memfd:NAME"; at most 249 bytes; NULL: "luo" */
	uint64_t size;    /**< size in bytes */
	unsigned flags;   /**< enum luo_memfd_flags */
	unsigned seals;   /**< F_SEAL_* to add at the end; implies LUO_MEMFD_ALLOW_SEALING */
	unsigned
		hugetlb_shift; /**< log2 of the huge page size with LUO_MEMFD_HUGETLB; 0: default */
};

/**
 * luo_memfd_create() - make a memfd.
 * @options: NULL for an empty memfd named "luo" that can be sealed
 * @ret_fd: read-write
 *
 * Without LUO_MEMFD_EXEC or LUO_MEMFD_NOEXEC_SEAL it is made executable-agnostic: not sealed
 * against exec and with mode 0666, even where sysctl vm.memfd_noexec=1 would seal it. Where
 * vm.memfd_noexec=2 allows nothing else, it is made as with LUO_MEMFD_NOEXEC_SEAL.
 *
 *  -EINVAL  unknown flag or seal, flags that exclude each other, too long a name, or
 *           LUO_MEMFD_NOEXEC_SEAL before kernel 6.3
 *  -ENOMEM   also for LUO_MEMFD_PREALLOCATE of more than luo_memory_room() says there is
 *  -ENOSPC, -EFBIG, -EMFILE, -EACCES (vm.memfd_noexec=2 and LUO_MEMFD_EXEC)
 *
 * Since: 0.1
 */
int luo_memfd_create(const struct luo_memfd_options *options, int *ret_fd);

/**
 * luo_memfd_new_sealed() - a read-only copy of a buffer.
 * @name: NULL for "luo"
 * @data: @size bytes; may be NULL if @size is 0
 * @ret_fd: sealed against write, grow, shrink and further seals, offset 0
 *
 * Since: 0.1
 */
int luo_memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd);

/**
 * luo_memfd_copy() - copy content, holes included, into another file.
 * @from_fd: read with pread, its offset does not move
 * @to_fd: is given the size of @from_fd first; its offset does not move
 *
 * Only the extents that SEEK_DATA finds are copied; what @to_fd had is gone. -EIO if @from_fd
 * shrinks meanwhile, -EINVAL if one is not a regular file or both are the same.
 *
 * Since: 0.1
 */
int luo_memfd_copy(int from_fd, int to_fd);

/** luo_memfd_get_seals() - F_GET_SEALS. -EINVAL if @fd cannot have seals. Since: 0.1 */
int luo_memfd_get_seals(int fd, unsigned *ret_seals);

/**
 * luo_memfd_add_seals() - F_ADD_SEALS.
 *
 * -EPERM if @fd is sealed against it, -EBUSY for F_SEAL_WRITE while a writable mapping is there or
 * the file is in a LUO session, -EINVAL if @fd cannot have seals. Seals that are added after
 * luo_session_preserve_fd() are lost in the kexec. Since: 0.1
 */
int luo_memfd_add_seals(int fd, unsigned seals);

/** luo_memfd_get_size() - size in bytes. -EINVAL if @fd has none. Since: 0.1 */
int luo_memfd_get_size(int fd, uint64_t *ret_size);

/**
 * luo_memfd_get_name() - the name given at creation.
 * @ret_name: to be freed with free(); "" after a kexec, because the kernel does not keep it
 *
 * -ENOTTY if @fd is not a memfd. Since: 0.1
 */
int luo_memfd_get_name(int fd, char **ret_name);

/** luo_fd_is_memfd() - 1 if @fd is a memfd, 0 if not, negative errno if not open. Since: 0.1 */
int luo_fd_is_memfd(int fd);

/** How to map. */
enum luo_memfd_map {
	LUO_MAP_READ,    /**< shared, read-only */
	LUO_MAP_SHARED,  /**< shared, read-write */
	LUO_MAP_PRIVATE, /**< copy-on-write, read-write */
};

/**
 * luo_memfd_map() - map the whole file.
 * @ret_address: NULL for an empty file; unmap with munmap(2)
 * @ret_size: size of the mapping in bytes
 *
 * Since: 0.1
 */
int luo_memfd_map(int fd, enum luo_memfd_map how, void **ret_address, size_t *ret_size);

/**
 * luo_memfd_reopen() - another open file description of the same memory.
 * @flags: O_RDONLY, O_RDWR or O_WRONLY, and O_APPEND if wanted
 * @ret_fd: offset 0
 *
 * -EACCES, -ENOENT (no /proc), -EINVAL if it is not a regular file. Since: 0.1
 */
int luo_memfd_reopen(int fd, int flags, int *ret_fd);

#ifdef __cplusplus
}
#endif

#endif
