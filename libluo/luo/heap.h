/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_HEAP_H
#define LUO_HEAP_H

/*
 * A persistent heap: ordinary C objects, with references between them, in memory that outlives the
 * process (through the fd store of systemd or luod) and the kernel (through LUO).
 *
 * A heap is consistent whenever its process is killed, at any instruction: what was allocated is
 * allocated, what was freed is free, and opening it takes the same time whatever its size. For the
 * program's own data the same holds if it does one of two things:
 *
 *  - build an object, then publish it with one luo_set() (or one store of up to 8 bytes), or
 *  - change several places between luo_heap_begin() and luo_heap_commit(), each after
 *    luo_heap_save().
 *
 * A heap on a disk survives the death of the process in the same way, but not the loss of power:
 * nothing here flushes caches.
 *
 * Except where it says otherwise, functions return 0 (or what they say) on success and a negative
 * errno otherwise; outputs are written on success. Every function may be called by several threads
 * at once, except open and close. What threads do to the same object is theirs to order.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct luo_heap;

/** Flags of struct luo_heap_options. */
enum luo_heap_flags {
	/** Attach beside a possible owner, without changing anything. Allocating gives EROFS. */
	LUO_HEAP_READ_ONLY = 1 << 0,
	/** Map it where it was mapped first, always: then plain pointers into it stay right. The
	 * heap remembers that; later openings need not say it. -EINVAL for a heap that was made
	 * without. */
	LUO_HEAP_FIXED_ADDRESS = 1 << 1,
	/** Ask for transparent huge pages: preserved and restored 100 times faster by LUO. */
	LUO_HEAP_HUGEPAGE = 1 << 2,
	/** Do not make a heap where there is none: -ENOENT. */
	LUO_HEAP_MUST_EXIST = 1 << 3,
	/** Do not store a new heap with the service manager (luo_heap_open() only). */
	LUO_HEAP_NO_STORE = 1 << 4,
};

/** How to open a heap. Zero-initialise it; what is zero is the default. */
struct luo_heap_options {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	/** Largest size in bytes; address space of that size is reserved. 0: 16 GiB. At most
	 * LUO_HEAP_MAX. May differ at every opening, but not be below what the heap has grown to.
	 */
	uint64_t max_size;
	unsigned flags; /**< enum luo_heap_flags */
	/** With LUO_HEAP_FIXED_ADDRESS and a new heap: the address, a multiple of 2 MiB.
	 * NULL: one that is free in most programs is chosen. */
	void *address;
	/** What a new heap is called in messages, for the functions that take no name; at most 63
	 * bytes. */
	const char *name;
};

#define LUO_HEAP_MAX (UINT64_C(1) << 39) /**< 512 GiB */

/**
 * luo_heap_open() - find the heap of that name among the fds of this process, or make it.
 * @name: of the entry in the fd store: 1 to 63 printable ASCII bytes without ':'
 * @options: NULL for the defaults
 * @ret_heap: to be closed with luo_heap_close()
 *
 * Looks among the fds that systemd, luod or luo-run passed (luo_fdstore_get()). If it is not
 * there, a heap is made in a sealed memfd and stored with the service manager (luo_fdstore_push());
 * with nobody there to store it ($NOTIFY_SOCKET is not set) it lasts as long as the process.
 *
 *  -EINVAL  bad name or options
 *  -EBUSY   another process, or this one, has it open for writing: luo_heap_problem() says which
 *  -EUCLEAN  there is something of that name, and it is not a heap, or is damaged or cut off
 *  -EPROTONOSUPPORT  it is a heap of a newer format
 *  -EEXIST  its fixed address range is taken in this process
 *  -ENOMEM  memory, or the address space (RLIMIT_AS)
 *  -ENOENT  LUO_HEAP_MUST_EXIST, and there is none
 *  -EPERM, -EACCES  the fd may not be written to
 *
 * Whatever the error, what was there is not changed. Since: 0.1
 */
int luo_heap_open(const char *name, const struct luo_heap_options *options,
		  struct luo_heap **ret_heap);

/**
 * luo_heap_open_fd() - the same, on an fd.
 * @fd: of a regular file or memfd; stays the caller's and may be closed afterwards. If the file is
 *      empty, a heap is made in it (and a memfd that can be sealed is sealed against shrinking)
 *
 * Since: 0.1
 */
int luo_heap_open_fd(int fd, const struct luo_heap_options *options, struct luo_heap **ret_heap);

/**
 * luo_heap_open_path() - the same, on a file (tmpfs, a disk, DAX), made with mode 0600 if needed.
 *
 * A file appears under @path only when it is a whole heap. Since: 0.1
 */
int luo_heap_open_path(const char *path, const struct luo_heap_options *options,
		       struct luo_heap **ret_heap);

/** luo_heap_open_memory() - a heap that ends with the process, for tests. Since: 0.1 */
int luo_heap_open_memory(const struct luo_heap_options *options, struct luo_heap **ret_heap);

/**
 * luo_heap_close() - unmap it and let others open it. Takes NULL and returns NULL.
 *
 * Not needed before exit. No thread may use the heap any more; open transactions are undone. A
 * child process that was forked does not have the memory, unless it is read-only: there closing is
 * all that can be done with it, and changes nothing for the parent. Since: 0.1
 */
struct luo_heap *luo_heap_close(struct luo_heap *heap);

/**
 * luo_heap_problem() - why the last function of this header failed in this thread, as a sentence.
 *
 * Valid until the next call; "" if nothing failed yet. Since: 0.1
 */
const char *luo_heap_problem(void);

/** What opening found. */
enum luo_heap_state {
	LUO_HEAP_NEW,            /**< made just now */
	LUO_HEAP_RESTARTED,      /**< from an earlier opening under this kernel */
	LUO_HEAP_KERNEL_UPDATED, /**< last opened under another boot (boot_id) of the kernel */
};

/** luo_heap_get_state() - what opening found. Since: 0.1 */
enum luo_heap_state luo_heap_get_state(const struct luo_heap *heap);

/** luo_heap_state_to_string() - "new", "restarted", "kernel-updated". Since: 0.1 */
const char *luo_heap_state_to_string(enum luo_heap_state state);

/** luo_heap_get_fd() - the fd of its memory; stays the heap's. Since: 0.1 */
int luo_heap_get_fd(const struct luo_heap *heap);

/** What a heap is; see luo_heap_stat(). */
struct luo_heap_stat {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	char name[64];
	uint64_t id;              /**< random, made with the heap */
	uint32_t format;          /**< version of the format in memory */
	uint32_t owner_pid;       /**< who has it open for writing now; 0: nobody */
	char owner_name[16];      /**< its name, or that of the last owner */
	uint64_t kernels;         /**< boots of a kernel under which it was opened for writing */
	uint64_t openings;        /**< how often it was opened for writing */
	uint64_t created_usec;    /**< CLOCK_REALTIME */
	uint64_t size;            /**< bytes it has grown to */
	uint64_t max_size;        /**< bytes it may grow to, as opened */
	uint64_t free_pages_size; /**< bytes in free pages: neither objects nor part of a slab */
	bool recovered;   /**< this opening completed or undid what a death had interrupted */
	uint64_t address; /**< the fixed address; 0: mapped anywhere */
};

/** luo_heap_stat() - in constant time. Since: 0.1 */
int luo_heap_stat(struct luo_heap *heap, struct luo_heap_stat *ret_stat);

/* ------------------------------- Allocation ------------------------------- */

/**
 * luo_heap_alloc() - @size bytes, aligned to 16.
 *
 * The content is undefined, and may hold what was there before. A process that is killed before it
 * has stored the address anywhere leaks the block: where that matters, allocate in a transaction.
 *
 * Returns NULL and sets errno: ENOMEM (the largest size is reached), ENOSPC (the file system is
 * full), EBUSY (the memory is in a LUO session at this moment, and cannot grow), EUCLEAN (damage
 * was found), EROFS (read-only). With @size 0 a block that can be freed. Since: 0.1
 */
void *luo_heap_alloc(struct luo_heap *heap, size_t size);

/** luo_heap_calloc() - @n times @size bytes of zeros; otherwise as luo_heap_alloc(). Since: 0.1 */
void *luo_heap_calloc(struct luo_heap *heap, size_t n, size_t size);

/** luo_heap_aligned_alloc() - aligned to @alignment, a power of 2 up to 2 MiB. Since: 0.1 */
void *luo_heap_aligned_alloc(struct luo_heap *heap, size_t alignment, size_t size);

/**
 * luo_heap_realloc() - the block with another size; NULL as @ptr allocates.
 *
 * Where the block moves, the old one is freed: call it in a transaction if a reference to it is in
 * the heap, and store the new one before the commit. On failure the block stays as it is.
 * Since: 0.1
 */
void *luo_heap_realloc(struct luo_heap *heap, void *ptr, size_t size);

/**
 * luo_heap_free() - NULL does nothing. Any thread may free what any other allocated.
 *
 * In a transaction it happens at the commit.
 *
 *  -EINVAL  @ptr is not the begin of a block of this heap
 *  -EALREADY  it is free already
 *  -EROFS, -EUCLEAN
 *
 * Nothing is changed then. Since: 0.1
 */
int luo_heap_free(struct luo_heap *heap, void *ptr);

/** luo_heap_usable_size() - bytes at @ptr that may be used; 0 if it is not a block. Since: 0.1 */
size_t luo_heap_usable_size(struct luo_heap *heap, const void *ptr);

/** luo_heap_trim() - give all free pages back to the system. Also done now and then by itself.
 * Since: 0.1 */
int luo_heap_trim(struct luo_heap *heap);

/* -------------------------------- References ------------------------------- */

/**
 * LUO_REF() - declares a reference to a T that can be stored in a heap.
 *
 *	struct node { LUO_REF(struct node) next; int value; };
 *
 * It holds the distance from itself, so it stays right wherever the heap is mapped, and 0 (as from
 * luo_heap_calloc()) is null. It must not be copied as bytes: luo_set(copy, luo_get(original)).
 *
 * The distance is counted from its second byte: nothing that can be referred to begins there, so 0
 * is free to be null, and an object can refer to itself with its first member.
 */
#define LUO_REF(T)                              \
	union {                                 \
		int64_t luo_distance;           \
		__typeof__(T) *luo_target_type; \
	}

/** luo_get() - what a reference refers to, as a T pointer; NULL for null. Reads with acquire. */
#define luo_get(ref) ((__typeof__((ref).luo_target_type))luo_ref_get(&(ref).luo_distance))

/** luo_set() - make it refer to @pointer: one store, with release, so that whoever finds the object
 * through it, after a death as well, finds what was written to the object before. */
#define luo_set(ref, pointer)                                                              \
	do {                                                                               \
		__typeof__((ref).luo_target_type) luo_set_pointer_ = (pointer);            \
		luo_ref_set(&(ref).luo_distance, (const volatile void *)luo_set_pointer_); \
	} while (0)

static inline void *luo_ref_get(const int64_t *distance)
{
	int64_t d = __atomic_load_n(distance, __ATOMIC_ACQUIRE);

	return d ? (void *)((uintptr_t)distance + 1 + (uintptr_t)d) : NULL;
}

static inline void luo_ref_set(int64_t *distance, const volatile void *target)
{
	int64_t d = target ? (int64_t)((uintptr_t)target - (uintptr_t)distance - 1) : 0;

	__atomic_store_n(distance, d, __ATOMIC_RELEASE);
}

/* ------------------------------- Transactions ------------------------------- */

/**
 * luo_heap_begin() - begin a transaction of this thread.
 *
 * Until luo_heap_commit() what is allocated is provisional, what is freed stays, and whatever is
 * saved comes back: after luo_heap_abort(), after the death of the process, after an error. Other
 * threads see the changes as they are made. -EBUSY if this thread already has an open transaction
 * on this heap, -EROFS. Since: 0.1
 */
int luo_heap_begin(struct luo_heap *heap);

/**
 * luo_heap_save() - save @size bytes at @ptr, before they are changed.
 *
 * What was allocated in the same transaction need not be saved. -EINVAL outside of a transaction,
 * or where no object can be; -ENOMEM, -ENOSPC, -EBUSY: the log cannot grow, abort. Since: 0.1
 */
int luo_heap_save(struct luo_heap *heap, void *ptr, size_t size);

/**
 * luo_heap_commit() - make it all so, at one instant.
 *
 * If a luo_heap_save() or luo_heap_free() failed since luo_heap_begin(), the transaction is undone
 * instead, and that error returned: a program may look at errors here only. -EINVAL without a
 * transaction. Since: 0.1
 */
int luo_heap_commit(struct luo_heap *heap);

/** luo_heap_abort() - undo it all; nothing without a transaction. Since: 0.1 */
void luo_heap_abort(struct luo_heap *heap);

/* ---------------------------------- Roots ---------------------------------- */

/**
 * What is behind a root. A root is a named object from which the program finds all others.
 */
struct luo_heap_root_type {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	const char *name;   /**< 1 to 47 printable ASCII bytes */
	uint64_t type_id;   /**< any number; another program should not use the same */
	uint32_t version;   /**< of the layout; 1 or more */
	uint64_t size;      /**< of the object in bytes, 1 or more */
	/** Fills a new root object, which is all zeros. NULL: zeros are right. Runs in a
	 * transaction; a negative return undoes it all. */
	int (*init)(struct luo_heap *heap, void *object, void *userdata);
	/**
	 * Called when the heap has another version. Makes *@ret_object the new root object: a new
	 * one (and frees the old), or @object itself, changed after luo_heap_save(). Runs in a
	 * transaction: it happens completely, together with the new version number, or not at all.
	 * A negative return undoes it and is what luo_heap_root() returns. NULL: other versions
	 * are refused.
	 */
	int (*upgrade)(struct luo_heap *heap, void *object, uint32_t version, uint64_t size,
		       void **ret_object, void *userdata);
	void *userdata;
};

/**
 * luo_heap_root() - find a root, upgrade it, or make it.
 * @ret_object: the object; an address in the mapping
 *
 * Returns 0 if it was there, 1 if it was made, 2 if it was upgraded.
 *
 *  -EINVAL  bad type, or the thread has a transaction open
 *  -EPROTOTYPE  there is a root of that name with another type id or size
 *  -EPROTONOSUPPORT  it has another version, and no upgrade function was given
 *  -ENOSPC  there are 128 roots
 *  -ENOENT  a read-only heap does not have it; as allocating, otherwise
 *
 * Since: 0.1
 */
int luo_heap_root(struct luo_heap *heap, const struct luo_heap_root_type *type, void **ret_object);

/** A root, as it lies in the heap. */
struct luo_heap_root_info {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	char name[48];
	uint64_t type_id;
	uint32_t version;
	uint64_t size;
	void *object;
};

/**
 * luo_heap_root_at() - the @index-th root, in no special order. -ENOENT past the end.
 *
 * Since: 0.1
 */
int luo_heap_root_at(struct luo_heap *heap, size_t index, struct luo_heap_root_info *ret_info);

/** luo_heap_remove_root() - forget the name, and free the object (not what it refers to), at one
 * instant. -ENOENT, -EINVAL in a transaction. Since: 0.1 */
int luo_heap_remove_root(struct luo_heap *heap, const char *name);

/* -------------------------------- Inspection -------------------------------- */

/** What luo_heap_check() counted. */
struct luo_heap_usage {
	size_t struct_size;     /**< sizeof of this struct, set by the caller; see luo/luo.h */
	uint64_t objects;       /**< blocks in use */
	uint64_t object_size;   /**< their usable bytes */
	uint64_t free_size;     /**< bytes that allocations can have before the heap grows */
	uint64_t overhead_size; /**< headers, tables, logs, what is left over in slabs */
	uint64_t slabs;
	uint64_t runs;     /**< objects that have pages of their own */
	uint64_t problems; /**< how many were found */
};

/**
 * luo_heap_check() - look at everything; takes time in proportion to the size.
 * @problem: called with a sentence for each problem; may be NULL
 * @ret_usage: may be NULL; written also when there are problems
 *
 * No other thread may use the heap. On a read-only heap whose owner is alive, it may see problems
 * that are none. -EUCLEAN if there are problems. Since: 0.1
 */
int luo_heap_check(struct luo_heap *heap, void (*problem)(const char *text, void *userdata),
		   void *userdata, struct luo_heap_usage *ret_usage);

/**
 * luo_heap_walk() - call @visit for every block in use, in the order of their addresses.
 *
 * Stops when @visit returns something else than 0, and returns that. @visit must not allocate or
 * free; no other thread may use the heap. Since: 0.1
 */
int luo_heap_walk(struct luo_heap *heap, int (*visit)(void *ptr, size_t size, void *userdata),
		  void *userdata);

#ifdef __cplusplus
}
#endif

#endif
