/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_MEMFD_H
#define LUO_MEMFD_H

/*
 * Memory with a file descriptor: create, fill, seal, resize, map, compare, and make it fast for a
 * live update.
 *
 * Every function returns 0 on success and a negative errno otherwise, unless it says more; outputs
 * are written only on success; every returned fd belongs to the caller and is close-on-exec, unless
 * LUO_MEMFD_NO_CLOEXEC was asked for. An fd that is passed in stays the caller's, and its file
 * offset does not move, except where a stream is read. All of them return
 *
 *  -EBADF   an fd that is not open; where content is read, also one opened with O_PATH
 *  -EINVAL  a pointer that is needed is NULL
 *  -ENOMEM, -EMFILE, -ENFILE
 *
 * What others do to a file while a function works on it cannot make it crash, loop, or read more
 * than the file had when it began. The one exception is what the caller maps: see luo_memfd_map().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- creating -------------------------------------------------------------------------------- */

/** Flags of struct luo_memfd_options. */
enum luo_memfd_flags {
	LUO_MEMFD_ALLOW_SEALING = 1 << 0, /**< seals can be added later (MFD_ALLOW_SEALING) */
	LUO_MEMFD_EXEC = 1 << 1,          /**< executable (MFD_EXEC); default: not sealed, 0666 */
	/** MFD_NOEXEC_SEAL. Kernel 7.2 brings such a memfd back read-only unless it travels as a
	 * copy, which luo_commit_new() takes care of. */
	LUO_MEMFD_NOEXEC_SEAL = 1 << 2,
	/** Fill it with transparent huge pages, where
	 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise or more; implies
	 * LUO_MEMFD_PREALLOCATE. Huge folios are preserved and restored about 100 times faster.
	 * What this does not make huge, luo_memfd_prepare() can. */
	LUO_MEMFD_HUGEPAGE = 1 << 3,
	LUO_MEMFD_PREALLOCATE = 1 << 4, /**< allocate all pages now: no holes */
	LUO_MEMFD_NO_CLOEXEC = 1 << 5,  /**< the fd stays open across exec */
};

/** How to make a memfd. Zero-initialise it; what is zero is the default. */
struct luo_memfd_options {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	const char *name;   /**< shown in /proc as "memfd:NAME"; at most 249 bytes; NULL: "luo" */
	uint64_t size;      /**< size in bytes */
	unsigned flags;     /**< enum luo_memfd_flags */
	unsigned seals;     /**< enum luo_seal to add at the end; implies LUO_MEMFD_ALLOW_SEALING */
};

/**
 * luo_memfd_create() - make a memfd.
 * @options: NULL for an empty memfd named "luo" that can be sealed
 * @ret_fd: read-write, offset 0
 *
 * Without LUO_MEMFD_EXEC or LUO_MEMFD_NOEXEC_SEAL it is made executable-agnostic: not sealed
 * against exec and with mode 0666, even where sysctl vm.memfd_noexec=1 would seal it. Where
 * vm.memfd_noexec=2 allows nothing else, it is made as with LUO_MEMFD_NOEXEC_SEAL.
 *
 *  -EINVAL  unknown flag or seal, flags that exclude each other, too long a name, or
 *           LUO_MEMFD_NOEXEC_SEAL before kernel 6.3
 *  -ENOMEM  LUO_MEMFD_PREALLOCATE of more than luo_memory_room() says there is
 *  -ENOSPC, -EFBIG
 *  -EACCES  vm.memfd_noexec=2 and LUO_MEMFD_EXEC
 *
 * Since: 0.1
 */
int luo_memfd_create(const struct luo_memfd_options *options, int *ret_fd);

/**
 * luo_memfd_new_from_data() - a memfd with a copy of a buffer.
 * @options: as for luo_memfd_create(); its size is 0, or more than @size: the rest is hole
 * @data: @size bytes; may be NULL if @size is 0
 * @ret_fd: read-write, offset 0; what @options says about seals is done when it is filled
 *
 * Errors of luo_memfd_create(), and
 *
 *  -EINVAL  the size in @options is less than @size, and not 0
 *
 * Since: 0.1
 */
int luo_memfd_new_from_data(const struct luo_memfd_options *options, const void *data, size_t size,
			    int *ret_fd);

/**
 * luo_memfd_new_from_fd() - a memfd with a copy of what an fd gives.
 * @options: as for luo_memfd_create(); its size is 0
 * @fd: a file, memfd, pipe, socket, device, open for reading
 * @limit: most bytes to take; 0: half of what luo_memory_room() says there is. Set one for a
 *         source that is not trusted.
 * @ret_fd: read-write, offset 0; what @options says about seals is done when it is filled
 *
 * A regular file is copied from its beginning, holes included, and the offset of @fd does not move;
 * its size is that of the begin, whatever is appended meanwhile. Files of /proc and /sys, which do
 * not say their size, are read to the end. Anything else is a stream: it is read from where it is
 * up to its end, waiting where necessary, also if it is non-blocking; what was read of it is gone,
 * whether this succeeds or not. To not wait for ever for a peer, use SO_RCVTIMEO.
 *
 * Copied in the kernel where the two ends allow it: copy_file_range(2), sendfile(2) or splice(2),
 * and else by reading and writing.
 *
 * Errors of luo_memfd_create(), and
 *
 *  -EFBIG       more than @limit
 *  -ENOMEM      more than there is memory, by luo_memory_room(); the kernel would kill us
 *  -EIO         a regular file became smaller meanwhile
 *  -EAGAIN      SO_RCVTIMEO has passed
 *  -EINVAL      options.size is not 0, or @fd cannot be read from
 *  -EISDIR, -ENOTCONN, ...  from reading @fd
 *
 * Since: 0.1
 */
int luo_memfd_new_from_fd(const struct luo_memfd_options *options, int fd, uint64_t limit,
			  int *ret_fd);

/**
 * luo_memfd_new_sealed() - a read-only copy of a buffer.
 * @name: NULL for "luo"
 * @data: @size bytes; may be NULL if @size is 0
 * @ret_fd: sealed with LUO_SEALS_CONSTANT, offset 0
 *
 * Since: 0.1
 */
int luo_memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd);

/**
 * luo_memfd_snapshot() - a read-only copy of what an fd gives, that nobody can change.
 * @name: NULL for "luo"
 * @fd: as for luo_memfd_new_from_fd()
 * @limit: as for luo_memfd_new_from_fd()
 * @ret_fd: sealed with LUO_SEALS_CONSTANT, offset 0
 *
 * Of a regular file it is one state, not a mixture: if the size or the time of last change is
 * another one after copying, that is an error. Writing through a shared mapping does not change
 * that time; against such writers only a seal on the source helps, or to stop them. It is a copy
 * even if the source is sealed already: the same file in two LUO sessions is EBUSY.
 *
 * Errors of luo_memfd_new_from_fd(), and -EBUSY if the source was changed meanwhile: try again.
 * Since: 0.1
 */
int luo_memfd_snapshot(const char *name, int fd, uint64_t limit, int *ret_fd);

/**
 * luo_memfd_copy() - copy content, holes included, into another file.
 * @from_fd: its offset does not move
 * @to_fd: is given the size of @from_fd first; its offset does not move
 *
 * Only the extents that SEEK_DATA finds are copied; what @to_fd had is gone. If the copy fails, the
 * content of @to_fd is undefined.
 *
 *  -EINVAL  one is not a regular file, both are the same, or @to_fd is hugetlb
 *  -EIO     @from_fd became smaller meanwhile
 *  -EPERM   @to_fd is sealed against it, or is in a LUO session, where its size is fixed
 *  -EFBIG, -ENOSPC
 *
 * Since: 0.1
 */
int luo_memfd_copy(int from_fd, int to_fd);

/* ---- seals ----------------------------------------------------------------------------------- */

/**
 * The seals, with the numbers of <linux/fcntl.h>: use either. These are all that kernels up to 7.3
 * have, F_ALL_SEALS in its mm/memfd.c. (A patch for a seventh, against executable mappings, was
 * posted and not merged.) A number that this library does not know goes to the kernel as it is.
 */
enum luo_seal {
	LUO_SEAL_SEAL = 0x01,         /**< no more seals */
	LUO_SEAL_SHRINK = 0x02,       /**< never smaller: safe to map */
	LUO_SEAL_GROW = 0x04,         /**< never larger */
	LUO_SEAL_WRITE = 0x08,        /**< content is constant */
	LUO_SEAL_FUTURE_WRITE = 0x10, /**< only through mappings that are there already; 5.1 */
	/** executable bits of the mode are constant; 6.3. On a file that has one set this also adds
	 * all the seals against writing, growing and shrinking. */
	LUO_SEAL_EXEC = 0x20,

	LUO_SEALS_SIZE = LUO_SEAL_SHRINK | LUO_SEAL_GROW, /**< size is constant */
	/** nothing can change any more */
	LUO_SEALS_CONSTANT = LUO_SEAL_SEAL | LUO_SEALS_SIZE | LUO_SEAL_WRITE,
};

/** luo_memfd_get_seals() - F_GET_SEALS. -EINVAL if @fd cannot have seals. Since: 0.1 */
int luo_memfd_get_seals(int fd, unsigned *ret_seals);

/**
 * luo_memfd_has_seals() - 1 if all of @seals are set, 0 if not.
 *
 * 0 also for a regular file that cannot have seals: nothing is promised about it. -EINVAL if @seals
 * is 0, or @fd is not a regular file. Since: 0.1
 */
int luo_memfd_has_seals(int fd, unsigned seals);

/**
 * luo_memfd_add_seals() - F_ADD_SEALS.
 *
 * A seal that is there already is no error, unless F_SEAL_SEAL is there too. Seals that are added
 * after luo_session_preserve_fd() are lost in the kexec: seal before.
 *
 *  -EPERM   @fd has F_SEAL_SEAL, or is not open for writing
 *  -EBUSY   F_SEAL_WRITE while a writable shared mapping is there or the file is in a LUO session
 *  -EINVAL  a seal that the kernel does not know, or @fd cannot have seals
 *
 * Since: 0.1
 */
int luo_memfd_add_seals(int fd, unsigned seals);

/* ---- size and identity ----------------------------------------------------------------------- */

/** luo_memfd_get_size() - size in bytes. -EINVAL if @fd has none. Since: 0.1 */
int luo_memfd_get_size(int fd, uint64_t *ret_size);

/**
 * luo_memfd_grow() - make it at least @size bytes large.
 *
 * Never makes it smaller, whatever others do meanwhile; 0 if it is that large already. What is new
 * is zeros: a hole, and the last page, which is allocated.
 *
 *  -EPERM   sealed against growing, or in a LUO session
 *  -EBADF   not open for writing
 *  -EFBIG, -ENOSPC, -ENOMEM
 *  -EINVAL  not a regular file
 *
 * Since: 0.1
 */
int luo_memfd_grow(int fd, uint64_t size);

/**
 * luo_memfd_shrink() - make it at most @size bytes large.
 *
 * 0 if it is that small already. What is cut off is freed, and whoever has it mapped and touches it
 * gets SIGBUS. (If others shrink it further at the same time, it may end up with @size bytes.)
 *
 *  -EPERM   sealed against shrinking, or in a LUO session
 *  -EBADF   not open for writing
 *  -EINVAL  not a regular file
 *
 * Since: 0.1
 */
int luo_memfd_shrink(int fd, uint64_t size);

/**
 * luo_memfd_get_name() - the name given at creation.
 * @ret_name: to be freed with free(); "" after a kexec, because the kernel does not keep it
 *
 * -ENOTTY if @fd is not a memfd. Since: 0.1
 */
int luo_memfd_get_name(int fd, char **ret_name);

/** luo_fd_is_memfd() - 1 if @fd is a memfd, 0 if not, negative errno if not open. Since: 0.1 */
int luo_fd_is_memfd(int fd);

/* ---- mapping --------------------------------------------------------------------------------- */

/** How to map: one of the first three, or-ed with the last if wanted. */
enum luo_memfd_map {
	LUO_MAP_READ,    /**< shared, read-only */
	LUO_MAP_SHARED,  /**< shared, read-write */
	LUO_MAP_PRIVATE, /**< copy-on-write, read-write */
	/** Also if somebody can make the file smaller; see luo_memfd_map(). */
	LUO_MAP_MAY_SHRINK = 1 << 8,
};

/**
 * luo_memfd_map() - map the whole file.
 * @how: enum luo_memfd_map
 * @ret_address: NULL for an empty file; unmap with munmap(2)
 * @ret_size: size of the file in bytes
 *
 * To touch a page that was cut off from a file kills the process (SIGBUS). So a file that is not
 * sealed against shrinking is refused, unless LUO_MAP_MAY_SHRINK says that everybody who has it is
 * trusted. Where they are not: add the seal if @fd can, take a luo_memfd_snapshot(), or use
 * pread(2). The mapping does not follow a file that grows.
 *
 *  -EPERM   no F_SEAL_SHRINK and no LUO_MAP_MAY_SHRINK; LUO_MAP_SHARED of a write-sealed file
 *  -EACCES  @fd is not open for reading, or with LUO_MAP_SHARED not for writing
 *  -EINVAL  not a regular file, or unknown @how
 *  -ENOMEM  also if a pool of hugetlb pages is empty
 *  -EFBIG   does not fit into a size_t
 *
 * Since: 0.1
 */
int luo_memfd_map(int fd, unsigned how, void **ret_address, size_t *ret_size);

/**
 * luo_memfd_reopen() - another open file description of the same memory.
 * @flags: O_RDONLY, O_RDWR or O_WRONLY, and O_APPEND if wanted
 * @ret_fd: offset 0
 *
 * What is given to others as O_RDONLY they can open again for writing, if the mode of the file lets
 * them: only a seal keeps them from it. -EACCES, -ENOENT (no /proc), -EAGAIN if somebody has a
 * lease on it (F_SETLEASE), -EINVAL if it is not a regular file. Since: 0.1
 */
int luo_memfd_reopen(int fd, int flags, int *ret_fd);

/* ---- content --------------------------------------------------------------------------------- */

/**
 * luo_memfd_equal() - 1 if two files have the same size and content, 0 if not.
 *
 * Both are regular files, memfds or not. A hole equals zeros; what both have as a hole is not read.
 * -EINVAL if one is not a regular file, -EIO if one becomes smaller meanwhile. Since: 0.1
 */
int luo_memfd_equal(int a_fd, int b_fd);

/* ---- what a live update costs ---------------------------------------------------------------- */

/*
 * Where it matters how a memfd is made (kernel 7.2, mm/memfd_luo.c):
 *
 *  - The kernel pins and notes each folio. 1 GiB in huge ones is preserved in 1 ms instead of 140
 *    and restored in 8 ms instead of 730.
 *  - To pin a hole fills it with memory, for good. More than there is gets the caller killed.
 *  - Memory that was allocated and never written to is zeroed only then, in the blackout.
 *  - Early boot of the next kernel takes about 0.7 ns times the square of the number of physically
 *    separate runs, of all files together: 80,000 of them cost 4.6 s.
 *  - hugetlb is refused. F_SEAL_EXEC comes back as all seals against writing.
 */

/** What preserving a file would be. */
enum luo_cost_class {
	LUO_COST_FAST,    /**< nothing to gain, or nothing worth it */
	LUO_COST_SLOW,    /**< works; luo_memfd_prepare() can make it faster or cheaper */
	LUO_COST_COPIED,  /**< the kernel would damage it: luo_commit_new() sends a copy */
	LUO_COST_REFUSED, /**< the kernel does not take it */
};

/** What to do about it; a set. luo_memfd_advice_to_string() says it in words. */
enum luo_memfd_advice {
	LUO_ADVICE_KIND = 1 << 0,        /**< not of a kind that can be preserved */
	LUO_ADVICE_HUGETLB = 1 << 1,     /**< hugetlb: use transparent huge pages */
	LUO_ADVICE_TOO_LARGE = 1 << 2,   /**< more than 2^32 - 1 pages */
	LUO_ADVICE_SEALS = 1 << 3,       /**< has a seal that kernel 7.3 does not carry */
	LUO_ADVICE_EXEC_SEAL = 1 << 4,   /**< F_SEAL_EXEC: comes back read-only for ever */
	LUO_ADVICE_HOLES = 1 << 5,       /**< holes: preserving fills them with memory */
	LUO_ADVICE_NO_ROOM = 1 << 6,     /**< and there is not enough: the caller would be killed */
	LUO_ADVICE_SMALL_PAGES = 1 << 7, /**< much memory that is not in huge folios */
	LUO_ADVICE_SCATTERED = 1 << 8,   /**< many runs: slows down the boot of the next kernel */
};

/** More bytes than this in small pages, or in holes, make a file LUO_COST_SLOW. */
#define LUO_SLOW_BYTES (UINT64_C(16) << 20)
/** More runs than this make a file LUO_COST_SLOW. */
#define LUO_SLOW_RUNS 4096

/** What preserving a file would cost. All sizes are bytes. */
struct luo_memfd_cost {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	enum luo_cost_class cost_class;
	unsigned advice;    /**< enum luo_memfd_advice */
	const char *reason; /**< static text, why it is refused; NULL if not */
	uint64_t size;      /**< of the file */
	uint64_t data;      /**< of it, not hole; whole pages */
	uint64_t holes;     /**< that will be filled with memory; whole pages */
	uint64_t huge;      /**< of data, in folios as large as a page table's; if huge_known */
	uint64_t small;     /**< of data, the rest; all of it unless huge_known */
	uint64_t kernel;    /**< what the kernel needs in addition */
	uint64_t runs;      /**< physically separate runs of pages; if runs_known */
	bool huge_known;    /**< kernel 6.7 or later, and @fd can be mapped */
	bool runs_known;    /**< CAP_SYS_ADMIN, and @fd can be mapped */
	uint64_t huge_size; /**< of one such huge folio: 2 MiB on x86 */
};

/**
 * luo_memfd_cost() - what preserving @fd in a LUO session would cost; looks only.
 *
 * Any fd will do; one that cannot be preserved is LUO_COST_REFUSED, which is no error. Holes are
 * not filled by looking. Only pages that are in memory count as huge: what lies in swap is small.
 * Takes about 0.1 s for 1 GiB in small pages. Since: 0.1
 */
int luo_memfd_cost(int fd, struct luo_memfd_cost *ret_cost);

/** luo_cost_class_to_string() - "fast", "slow", "copied", "refused"; never NULL. Since: 0.1 */
const char *luo_cost_class_to_string(enum luo_cost_class cost_class);

/**
 * luo_memfd_advice_to_string() - a sentence for the lowest bit of @advice.
 *
 * Static text; NULL if there is no such bit. For all of them: advice &= advice - 1. Since: 0.1
 */
const char *luo_memfd_advice_to_string(unsigned advice);

/** What luo_memfd_prepare() may do. */
enum luo_prepare_flags {
	/** Fill holes with memory, as preserving would, and zero it now. */
	LUO_PREPARE_FILL_HOLES = 1 << 0,
	/** Move pages into huge folios (MADV_COLLAPSE, kernel 6.1), where they have no holes. */
	LUO_PREPARE_COLLAPSE = 1 << 1,
	LUO_PREPARE_ALL = LUO_PREPARE_FILL_HOLES | LUO_PREPARE_COLLAPSE,
};

/** What luo_memfd_prepare() has done. */
struct luo_memfd_prepared {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	int fill_error;     /**< 0, or why not all holes were filled: negative errno */
	int collapse_error; /**< 0, or why not all is in huge folios: negative errno of the first */
};

/**
 * luo_memfd_prepare() - make @fd fast to preserve.
 * @flags: enum luo_prepare_flags; 0 only looks
 * @ret_prepared: may be NULL
 *
 * Content, size, offset and seals stay as they are, also if it fails; while it runs others can use
 * the file. Also for a file that is sealed, or open for reading only. Do it while services still
 * run: it takes about 1 s for 1 GiB, outside the blackout. Not to get all of it is no error: see
 * fill_error and collapse_error. To do it again is cheap.
 *
 *  -EOPNOTSUPP  LUO_COST_REFUSED: the reason is in what luo_memfd_cost() says
 *  -ENOMEM      holes need more than luo_memory_room() says there is; nothing was done
 *  -EACCES      @fd cannot be read
 *  -EINVAL      unknown flag
 *
 * Since: 0.1
 */
int luo_memfd_prepare(int fd, unsigned flags, struct luo_memfd_cost *ret_before,
		      struct luo_memfd_cost *ret_after, struct luo_memfd_prepared *ret_prepared);

#ifdef __cplusplus
}
#endif

#endif
