/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Opens and closes a heap: by name among the fds of the process, on an fd, on a path, or in memory.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <luo/fdstore.h>
#include <luo/memfd.h>
#include "libluo/fdstore/internal.h"
#include "libluo/heap/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define OPTIONS_FIRST_SIZE SIZE_UP_TO(struct luo_heap_options, name)
#define STAT_FIRST_SIZE    SIZE_UP_TO(struct luo_heap_stat, address)

#define MAX_SIZE_DEFAULT (UINT64_C(16) << 30)
#define NAME_MAX_LEN     63
#define ADDRESS_ALIGN    ((uint64_t)2 << 20)

#define ALL_FLAGS                                                                    \
	(unsigned)(LUO_HEAP_READ_ONLY | LUO_HEAP_FIXED_ADDRESS | LUO_HEAP_HUGEPAGE | \
		   LUO_HEAP_MUST_EXIST | LUO_HEAP_NO_STORE)

static bool name_is_valid(const char *name, size_t max)
{
	size_t n = strnlen(name, max + 1);

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
			return false;
	return true;
}

static int check_options(const struct luo_heap_options *o)
{
	if (o->flags & ~ALL_FLAGS)
		return heap_problem(-EINVAL, "unknown flags 0x%x", o->flags & ~ALL_FLAGS);
	if (o->max_size > LUO_HEAP_MAX)
		return heap_problem(-EINVAL,
				    "max_size is %" PRIu64 " bytes, and %" PRIu64 " is the most",
				    o->max_size, LUO_HEAP_MAX);
	if (o->max_size > 0 && o->max_size < 4 * HEAP_PAGE)
		return heap_problem(-EINVAL,
				    "max_size is %" PRIu64 " bytes, and %" PRIu64 " is the least",
				    o->max_size, 4 * HEAP_PAGE);
	if (o->address &&
	    (!(o->flags & LUO_HEAP_FIXED_ADDRESS) || (uintptr_t)o->address % ADDRESS_ALIGN))
		return heap_problem(
			-EINVAL,
			"the address must be a multiple of 2 MiB, and LUO_HEAP_FIXED_ADDRESS set");
	if (o->name && !name_is_valid(o->name, NAME_MAX_LEN))
		return heap_problem(-EINVAL,
				    "the name must have 1 to 63 printable bytes, and no ':'");
	return 0;
}

static int init_locks(struct luo_heap *h)
{
	pthread_mutexattr_t recursive;
	int r;

	r = pthread_mutexattr_init(&recursive);
	if (r != 0)
		return -r;
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&h->lock, &recursive);
	pthread_mutex_init(&h->roots_lock, NULL);
	for (unsigned i = 0; i < HEAP_SLOTS; i++) {
		h->slots[i].index = i;
		h->slots[i].shared = i == HEAP_SLOTS - 1;
		pthread_mutex_init(&h->slots[i].remote_lock, NULL);
		pthread_mutex_init(&h->slots[i].shared_lock, &recursive);
	}
	pthread_mutexattr_destroy(&recursive);
	return 0;
}

static void destroy(struct luo_heap *h)
{
	heap_unmap(h);
	h->fd = safe_close(h->fd);
	h->lock_fd = safe_close(h->lock_fd);
	for (unsigned i = 0; i < HEAP_SLOTS; i++) {
		pthread_mutex_destroy(&h->slots[i].remote_lock);
		pthread_mutex_destroy(&h->slots[i].shared_lock);
	}
	pthread_mutex_destroy(&h->roots_lock);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void destroyp(struct luo_heap **h)
{
	if (*h)
		destroy(*h);
}

static struct luo_heap *new_heap(int fd, const struct luo_heap_options *o)
{
	struct luo_heap *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	if (init_locks(h) < 0) {
		free(h);
		return NULL;
	}
	h->fd = fd;
	h->lock_fd = -EBADF;
	h->read_only = o->flags & LUO_HEAP_READ_ONLY;
	h->max_size = (o->max_size ?: MAX_SIZE_DEFAULT) / HEAP_PAGE * HEAP_PAGE;
	h->limited = heap_file_is_limited(fd);
	h->state = LUO_HEAP_RESTARTED;
	return h;
}

/*
 * Empty, or left by a process that crashed while making it, so it cannot have content. The mark
 * "being made" is two bits of the magic number, which is too little to overwrite a heap for. So the
 * file must not be larger than it was then, and must never have been opened.
 */
static int is_unmade(int fd)
{
	struct {
		struct heap_super super;
		struct heap_owner owner;
	} head = { 0 };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return heap_problem(-EINVAL, "it is not a regular file or memfd");
	if (st.st_size == 0)
		return 1;
	if (pread(fd, &head, sizeof(head), HEAP_SUPER_OFFSET) < 0)
		return -errno;
	return head.super.magic == HEAP_MAGIC_MAKING &&
	       (uint64_t)st.st_size <= HEAP_MADE_PAGES * HEAP_PAGE && head.owner.openings == 0 &&
	       head.owner.pid == 0;
}

/* Makes the file empty again. */
static void unmake(const struct luo_heap *h)
{
	if (ftruncate(h->fd, 0) < 0)
		return; /* sealed meanwhile: then it is a heap without content */
}

static int make_if_needed(struct luo_heap *h, const struct luo_heap_options *o, const char *name)
{
	uint64_t address = 0;
	int r;

	r = is_unmade(h->fd);
	if (r <= 0)
		return r;
	if (o->flags & (LUO_HEAP_MUST_EXIST | LUO_HEAP_READ_ONLY))
		return heap_problem(-ENOENT, "there is no heap in it yet");
	if (o->flags & LUO_HEAP_FIXED_ADDRESS)
		address = o->address ? (uint64_t)(uintptr_t)o->address
				     : heap_find_address(h->max_size);
	h->state = LUO_HEAP_NEW;
	r = heap_make(h->fd, name, address);
	if (r == 0 && h->limited)
		r = heap_file_reserve(h, 0, 4 * HEAP_PAGE);
	if (r == 0)
		return 0;
	unmake(h);
	return heap_problem(r, "making a heap in it: %s", strerror(-r));
}

static int reopen_problem(int r)
{
	if (r == -EINVAL)
		return heap_problem(r, "it is not a regular file or memfd");
	if (r == -ENOENT)
		return heap_problem(r, "opening it again through /proc/self/fd; is /proc mounted?");
	return heap_problem(r, "opening it again through /proc/self/fd: %s", strerror(-r));
}

/* @fd is an open file description of our own, and is closed on failure. */
static int open_own(int fd, const char *name, const struct luo_heap_options *o,
		    struct luo_heap **ret_heap)
{
	_cleanup_(destroyp) struct luo_heap *h = new_heap(fd, o);
	struct heap_owner owner = { 0 };
	int r;

	if (!h) {
		safe_close(fd);
		return -ENOMEM;
	}
	r = luo_memfd_reopen(fd, h->read_only ? O_RDONLY : O_RDWR, &h->lock_fd);
	if (r < 0)
		return reopen_problem(r);
	if (!h->read_only) {
		if (pread(fd, &owner, sizeof(owner), HEAP_OWNER_OFFSET) < 0)
			return heap_problem(-errno, "reading it: %s", strerror(errno));
		r = heap_owner_lock(h, &owner);
		if (r < 0)
			return r;
	}
	r = make_if_needed(h, o, o->name ?: name);
	if (r < 0)
		return r;
	r = heap_attach(h, o);
	if (r < 0) {
		if (h->state == LUO_HEAP_NEW)
			unmake(h);
		return r;
	}
	if (!h->read_only) {
		/* Prevent shortening under our mapping. Not all files can be sealed. */
		(void)luo_memfd_add_seals(fd, F_SEAL_SHRINK);
		heap_owner_record(h);
	}
	r = heap_slots_open(h);
	if (r < 0)
		return r;
	*ret_heap = TAKE_PTR(h);
	return 0;
}

/* Use the access that the caller's fd has. */
static int open_shared(int fd, const char *name, const struct luo_heap_options *o,
		       struct luo_heap **ret_heap)
{
	bool read_only = o->flags & LUO_HEAP_READ_ONLY;
	int flags = fcntl(fd, F_GETFL), own, r;

	if (flags < 0)
		return heap_problem(-errno, "the fd is not open");
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY ||
	    ((flags & O_ACCMODE) == O_RDONLY && !read_only))
		return heap_problem(
			-EACCES,
			"the fd may not be read and written; LUO_HEAP_READ_ONLY needs reading only");
	r = luo_memfd_reopen(fd, read_only ? O_RDONLY : O_RDWR, &own);
	if (r < 0)
		return reopen_problem(r);
	return open_own(own, name, o, ret_heap);
}

static int read_options(const struct luo_heap_options *from, struct luo_heap_options *ret)
{
	int r;

	*ret = (struct luo_heap_options){ .struct_size = sizeof(*ret) };
	if (!from)
		return 0;
	r = sized_struct_read(from, OPTIONS_FIRST_SIZE, ret, sizeof(*ret));
	if (r == -EINVAL)
		return heap_problem(r, "struct_size of the options is not set");
	if (r < 0)
		return heap_problem(r, "the options are of a newer version of the library");
	return check_options(ret);
}

static int begin(const char *verb, const char *name, const struct luo_heap_options *options,
		 struct luo_heap_options *ret_options, struct luo_heap **ret_heap)
{
	heap_problem_begin(verb, name);
	return ret_heap ? read_options(options, ret_options) : -EINVAL;
}

_public_ int luo_heap_open_fd(int fd, const struct luo_heap_options *options,
			      struct luo_heap **ret_heap)
{
	struct luo_heap_options o;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "fd %d", fd);
	r = begin("opening the heap", name, options, &o, ret_heap);
	if (r == 0)
		r = open_shared(fd, name, &o, ret_heap);
	return heap_problem_end(r);
}

/* ------------------------------------- by name ------------------------------------- */

static int new_memfd(const char *name, int *ret_fd)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options),
					     .name = name,
					     .flags = LUO_MEMFD_ALLOW_SEALING };
	int r = luo_memfd_create(&options, ret_fd);

	return r < 0 ? heap_problem(r, "making a memfd: %s", strerror(-r)) : 0;
}

static int add_made(const char *name, struct luo_made **ret_made)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = new_memfd(name, &fd);
	if (r == 0)
		r = luo_made_add(name, fd, ret_made);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

/*
 * The memfd is a complete heap before the manager gets it. A heap that the manager has not
 * confirmed is new, because no caller has seen it.
 */
static int store_made(struct luo_made *made, const struct luo_heap_options *o,
		      struct luo_heap **ret_heap)
{
	_cleanup_(destroyp) struct luo_heap *h = NULL;
	int r;

	r = open_shared(made->fd, made->name, o, &h);
	if (r < 0) {
		luo_made_forget(made);
		return r;
	}
	if (o->flags & LUO_HEAP_NO_STORE)
		made->stored = true;
	r = luo_made_store(made, LUO_FDSTORE_NO_POLL);
	if (r < 0) {
		heap_slots_close(h);
		return heap_problem(r, "storing it with the service manager: %s", strerror(-r));
	}
	h->state = LUO_HEAP_NEW;
	*ret_heap = TAKE_PTR(h);
	return 0;
}

/* Called with the lock. */
static int open_made(const char *name, const struct luo_heap_options *o, struct luo_heap **ret_heap)
{
	struct luo_made *made = luo_made_find(name);
	int r;

	if (made && made->stored)
		return open_shared(made->fd, name, o, ret_heap);
	if (o->flags & (LUO_HEAP_MUST_EXIST | LUO_HEAP_READ_ONLY))
		return heap_problem(-ENOENT, "this process was given no fd of that name");
	if (!made) {
		r = add_made(name, &made);
		if (r < 0)
			return r;
	}
	return store_made(made, o, ret_heap);
}

static int open_named(const char *name, const struct luo_heap_options *o,
		      struct luo_heap **ret_heap)
{
	int fd, r;

	if (!name || !name_is_valid(name, NAME_MAX_LEN))
		return heap_problem(-EINVAL,
				    "the name must have 1 to 63 printable bytes, and no ':'");
	r = luo_fdstore_get(name, 0, &fd);
	if (r == 0)
		return open_shared(fd, name, o, ret_heap);
	if (r != -ENOENT)
		return heap_problem(r, "looking among the fds of this process (LISTEN_FDS): %s",
				    strerror(-r));
	luo_made_lock();
	r = open_made(name, o, ret_heap);
	luo_made_unlock();
	return r;
}

_public_ int luo_heap_open(const char *name, const struct luo_heap_options *options,
			   struct luo_heap **ret_heap)
{
	struct luo_heap_options o;
	int r = begin("opening the heap", name, options, &o, ret_heap);

	if (r == 0)
		r = open_named(name, &o, ret_heap);
	return heap_problem_end(r);
}

_public_ int luo_heap_open_memory(const struct luo_heap_options *options,
				  struct luo_heap **ret_heap)
{
	struct luo_heap_options o;
	int fd, r;

	r = begin("making the heap", "memory", options, &o, ret_heap);
	if (r == 0)
		r = new_memfd(o.name ?: "memory", &fd);
	if (r == 0)
		r = open_own(fd, "memory", &o, ret_heap);
	return heap_problem_end(r);
}

/* ------------------------------------- by path ------------------------------------- */

/* The name of a heap in a file, for messages. */
static const char *name_of_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return name_is_valid(name, NAME_MAX_LEN) ? name : "heap";
}

/* A file without a name in the directory of @path. */
static int open_unnamed(const char *path)
{
	_cleanup_free_ char *directory = strdup(path);
	char *slash = directory ? strrchr(directory, '/') : NULL;
	int fd;

	if (!directory)
		return -ENOMEM;
	if (slash)
		slash[slash == directory ? 1 : 0] = '\0';
	fd = open(slash ? directory : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int make_at(const char *path, const struct luo_heap_options *o, struct luo_heap **ret_heap)
{
	_cleanup_(destroyp) struct luo_heap *h = NULL;
	char link[sizeof("/proc/self/fd/") + 11];
	int fd, r;

	fd = open_unnamed(path);
	if (fd < 0)
		return heap_problem(fd, "making a file (O_TMPFILE) there: %s", strerror(-fd));
	r = open_own(fd, name_of_path(path), o, &h);
	if (r < 0)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0) {
		r = -errno;
		heap_slots_close(h);
		return r == -EEXIST ? r : heap_problem(r, "naming the file: %s", strerror(-r));
	}
	*ret_heap = TAKE_PTR(h);
	return 0;
}

static int open_path(const char *path, const struct luo_heap_options *o, struct luo_heap **ret_heap)
{
	int access = o->flags & LUO_HEAP_READ_ONLY ? O_RDONLY : O_RDWR;
	int fd, r;

	for (unsigned attempt = 0; attempt < 3; attempt++) {
		fd = open(path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0)
			return open_own(fd, name_of_path(path), o, ret_heap);
		if (errno != ENOENT || (o->flags & (LUO_HEAP_READ_ONLY | LUO_HEAP_MUST_EXIST)))
			return -errno;
		r = make_at(path, o, ret_heap);
		if (r != -EEXIST) /* another process was faster */
			return r;
	}
	return -EEXIST;
}

_public_ int luo_heap_open_path(const char *path, const struct luo_heap_options *options,
				struct luo_heap **ret_heap)
{
	struct luo_heap_options o;
	int r = begin("opening the heap", path, options, &o, ret_heap);

	if (r == 0)
		r = path ? open_path(path, &o, ret_heap) : -EINVAL;
	return heap_problem_end(r);
}

/* -------------------------------------- after -------------------------------------- */

_public_ struct luo_heap *luo_heap_close(struct luo_heap *h)
{
	if (!h)
		return NULL;
	heap_slots_close(h);
	for (unsigned i = 0; i < HEAP_SLOTS && !h->read_only; i++)
		if (h->slots[i].slot && h->slots[i].in_tx)
			(void)heap_tx_unwind(h, &h->slots[i]);
	destroy(h);
	return NULL;
}

_public_ enum luo_heap_state luo_heap_get_state(const struct luo_heap *h)
{
	return h ? h->state : LUO_HEAP_NEW;
}

_public_ const char *luo_heap_state_to_string(enum luo_heap_state state)
{
	switch (state) {
	case LUO_HEAP_NEW:
		return "new";
	case LUO_HEAP_RESTARTED:
		return "restarted";
	case LUO_HEAP_KERNEL_UPDATED:
		return "kernel-updated";
	}
	return "unknown";
}

_public_ int luo_heap_get_fd(const struct luo_heap *h)
{
	return h ? h->fd : -EINVAL;
}

static void fill_in_stat(struct luo_heap *h, struct luo_heap_stat *stat)
{
	const struct heap_super *super = heap_super(h);
	const struct heap_owner *owner = heap_owner(h);
	uint64_t pages = heap_pages(h), free_pages = heap_load32(&heap_index(h)->free_pages);

	*stat = (struct luo_heap_stat){
		.struct_size = sizeof(*stat),
		.id = super->id,
		.format = super->format,
		.kernels = heap_load(&owner->kernels),
		.openings = heap_load(&owner->openings),
		.created_usec = super->created_usec,
		.size = pages << HEAP_PAGE_SHIFT,
		.max_size = h->max_size,
		.free_pages_size = free_pages << HEAP_PAGE_SHIFT,
		.address = super->address,
		.recovered = h->recovered,
	};
	if (!h->read_only || heap_owner_is_alive(h))
		stat->owner_pid = (uint32_t)heap_load(&owner->pid);
	memcpy(stat->name, super->name, sizeof(stat->name) - 1);
	memcpy(stat->owner_name, owner->name, sizeof(stat->owner_name) - 1);
}

_public_ int luo_heap_stat(struct luo_heap *h, struct luo_heap_stat *ret_stat)
{
	struct luo_heap_stat stat;
	int r;

	if (!h)
		return -EINVAL;
	r = sized_struct_check(ret_stat, STAT_FIRST_SIZE);
	if (r < 0)
		return r;
	fill_in_stat(h, &stat);
	return sized_struct_return(ret_stat, STAT_FIRST_SIZE, &stat, sizeof(stat));
}
