/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "libluo/handover/commit-plan.h"
#include "libluo/handover/fixup.h"
#include "libluo/handover/packed.h"
#include "libluo/store/internal.h"
#include "common/util.h"

/* Debian 12's headers lack F_SEAL_EXEC. */
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/*
 * A file with more holes than this is packed. Below this size, the kernel fills the holes: that
 * costs little memory, and writes after the commit are still carried over.
 */
#define HOLES_TO_FILL_MAX (UINT64_C(64) << 20)

/* Memory that must stay free when holes are filled or copies are made. */
#define MEMORY_MARGIN (UINT64_C(32) << 20)

static void decide(struct luo_commit_result *result, enum luo_result what, int error,
		   const char *reason)
{
	result->result = what;
	result->error = error;
	result->reason = reason;
}

/*
 * An incoming session cannot be preserved again; only its files can, after they are retrieved. The
 * first error of the kernel tells the two kinds apart: an incoming session refuses the call
 * (EINVAL), an outgoing one checks the fd (EBADF) or says that it is full. Neither changes
 * anything.
 */
static bool session_is_outgoing(int fd)
{
	return luo_session_preserve_fd(fd, -1, UINT64_MAX) != -EINVAL;
}

static void plan_session(struct luo_commit_item *item, struct luo_commit_result *result)
{
	if (!session_is_outgoing(item->entry->fd)) {
		decide(result, LUO_RESULT_NOT_PRESERVABLE, 0,
		       "a session that came from the previous kernel: take its files out and put them into a new one");
		return;
	}
	decide(result, LUO_RESULT_SESSION, 0, NULL);
	item->travels = true;
}

/*
 * Three system calls for an ordinary memfd, because this runs inside the blackout. Only other files
 * get the full inspection.
 */
static int look_at(struct luo_commit_item *item, struct luo_commit_result *result)
{
	struct luo_entry_meta *meta = &item->meta;
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	uint64_t allocated;
	struct stat st;
	int flags, seals, r;

	if (fstat(item->entry->fd, &st) < 0)
		return -errno;
	flags = fcntl(item->entry->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	item->device = st.st_dev;
	item->inode = st.st_ino;

	/* Only shmem and hugetlbfs have seals; O_PATH returns EBADF. */
	seals = fcntl(item->entry->fd, F_GET_SEALS);
	if (seals < 0 || st.st_nlink > 0) {
		r = luo_fd_inspect(item->entry->fd, &info);
		if (r < 0)
			return r;
		if (info.kind == LUO_KIND_SESSION) {
			plan_session(item, result);
			return 0;
		}
		decide(result, LUO_RESULT_NOT_PRESERVABLE, 0,
		       info.reason ? info.reason
				   : "a kind of file that the kernel cannot preserve");
		return 0;
	}

	item->seals = (unsigned)seals;
	item->size = (uint64_t)st.st_size;
	allocated = (uint64_t)st.st_blocks * 512;
	item->holes = allocated < item->size ? item->size - allocated : 0;

	meta->size = item->size;
	meta->known |= LUO_META_SIZE;
	if ((st.st_mode & 07777) != LUO_KERNEL_MODE) {
		meta->mode = st.st_mode & 07777;
		meta->known |= LUO_META_MODE;
	}
	if (st.st_uid != 0 || st.st_gid != 0) {
		meta->uid = st.st_uid;
		meta->gid = st.st_gid;
		meta->known |= LUO_META_OWNER;
	}
	if ((flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND)) {
		meta->open_flags = flags & (O_ACCMODE | O_APPEND);
		meta->known |= LUO_META_OPEN_FLAGS;
	}
	decide(result, LUO_RESULT_PRESERVED, 0, NULL);
	item->travels = true;
	return 0;
}

static int plan_item(struct luo_commit_item *item, struct luo_commit_result *result)
{
	struct luo_entry *entry = item->entry;
	int r;

	result->entry = entry;
	item->copy_fd = -EBADF;
	if (entry->failed < 0) {
		decide(result, LUO_RESULT_FAILED, entry->failed,
		       "the kernel could not restore it after the last live update");
		return 0;
	}
	if (entry->fd < 0)
		return -EINVAL;

	r = luo_entry_learn_name(entry);
	if (r < 0)
		return r;
	/* Of the recorded attributes, only the name and the age are certainly still true. */
	item->meta.stored_at = entry->meta.stored_at;
	item->meta.known = entry->meta.known & LUO_META_STORED_AT;
	if (entry->meta.known & LUO_META_FILE_NAME) {
		item->meta.file_name = strdup(entry->meta.file_name);
		if (!item->meta.file_name)
			return -ENOMEM;
		item->meta.known |= LUO_META_FILE_NAME;
	}
	return look_at(item, result);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct luo_commit_item *x = *(struct luo_commit_item *const *)a;
	const struct luo_commit_item *y = *(struct luo_commit_item *const *)b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	/* The first entry in the order of the stores becomes the primary. */
	return x < y ? -1 : x > y;
}

/*
 * Another open file description of the same file has its own offset; the kernel keeps only the
 * primary's.
 */
static int make_alias(struct luo_commit_item *item, struct luo_commit_item *primary,
		      struct luo_commit_result *result)
{
	int r;

	r = luo_fd_same_description(item->entry->fd, primary->entry->fd);
	if (r < 0)
		return r;
	if (r == 0) {
		off_t offset = lseek(item->entry->fd, 0, SEEK_CUR);

		item->meta.offset = offset > 0 ? (uint64_t)offset : 0;
		item->meta.known |= LUO_META_OFFSET;
	}
	item->primary = primary;
	decide(result, LUO_RESULT_ALIAS, 0, "the same file as another entry");
	result->alias_of = primary->entry;
	return 0;
}

static int find_aliases(struct luo_commit_plan *plan)
{
	_cleanup_free_ struct luo_commit_item **sorted = NULL;
	struct luo_commit_item *primary = NULL;
	size_t n = 0;
	int r;

	sorted = calloc(plan->n ? plan->n : 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++)
		if (plan->items[i].travels && plan->results[i].result == LUO_RESULT_PRESERVED)
			sorted[n++] = &plan->items[i];
	if (n == 0)
		return 0;
	/* The kernel numbers inodes upward, so files made in this order are sorted already. */
	for (size_t i = 1; i < n; i++)
		if (compare_inodes(&sorted[i - 1], &sorted[i]) > 0) {
			qsort(sorted, n, sizeof(*sorted), compare_inodes);
			break;
		}

	for (size_t i = 0; i < n; i++) {
		struct luo_commit_item *item = sorted[i];

		if (!primary || item->device != primary->device || item->inode != primary->inode) {
			primary = item;
			continue;
		}
		r = make_alias(item, primary, &plan->results[item - plan->items]);
		if (r < 0)
			return r;
	}
	return 0;
}

bool luo_commit_travels_plain(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	uint64_t allocated;

	if (seals < 0 || fstat(fd, &st) < 0)
		return true;
	allocated = (uint64_t)st.st_blocks * 512;
	return !(seals & F_SEAL_EXEC) && (uint64_t)st.st_size <= allocated + HOLES_TO_FILL_MAX;
}

int luo_commit_plan_make(struct luo_store *const *stores, size_t n_stores,
			 const struct luo_commit_options *options, struct luo_commit_plan *ret_plan)
{
	struct luo_commit_plan plan = {};
	struct luo_entry *entry;
	struct luo_unit *unit;
	size_t total = 0;
	int r = 0;

	for (size_t i = 0; i < n_stores; i++)
		total += luo_store_n_entries(stores[i]);

	plan.items = calloc(total ? total : 1, sizeof(*plan.items));
	plan.results = calloc(total ? total : 1, sizeof(*plan.results));
	if (!plan.items || !plan.results) {
		luo_commit_plan_clear(&plan);
		return -ENOMEM;
	}

	for (size_t i = 0; i < n_stores && r >= 0; i++)
		LUO_FOREACH_UNIT (unit, stores[i])
			LUO_FOREACH_ENTRY (entry, unit) {
				struct luo_commit_item *item = &plan.items[plan.n];

				if (options->wants && !options->wants(entry, options->userdata))
					continue;
				item->entry = entry;
				if (r >= 0)
					r = plan_item(item, &plan.results[plan.n]);
				plan.n++;
			}
	if (r >= 0)
		r = find_aliases(&plan);
	if (r < 0) {
		luo_commit_plan_clear(&plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

static int check_room(uint64_t needed, const char **ret_reason)
{
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	int r;

	r = luo_memory_room(&room);
	if (r < 0) {
		*ret_reason = "cannot tell how much memory is left";
		return r;
	}
	if (room.bytes < MEMORY_MARGIN || needed > room.bytes - MEMORY_MARGIN) {
		*ret_reason =
			"it has holes or needs a copy, and the memory that is left is not enough for that";
		return -EDQUOT;
	}
	return 0;
}

static int prepare_packed(struct luo_commit_item *item, size_t *extents_left, bool *ret_done,
			  const char **ret_reason)
{
	uint64_t bytes;
	int r;

	r = luo_extents_list(item->entry->fd, item->size, &item->meta.extents,
			     &item->meta.n_extents, &bytes);
	if (r >= 0 && item->meta.n_extents > *extents_left) {
		free(TAKE_PTR(item->meta.extents));
		item->meta.n_extents = 0;
		r = -E2BIG;
	}
	if (r == -E2BIG) { /* too many pieces to describe: fill the holes */
		*ret_done = false;
		return 0;
	}
	if (r < 0) {
		*ret_reason = "cannot list its data";
		return r;
	}
	r = check_room(bytes, ret_reason);
	if (r < 0)
		return r;
	r = luo_pack(item->entry->fd, item->meta.extents, item->meta.n_extents, &item->copy_fd);
	if (r < 0) {
		*ret_reason = "cannot make a packed copy of it";
		return r;
	}
	*extents_left -= item->meta.n_extents;
	item->meta.packed = true;
	*ret_done = true;
	return 0;
}

static int prepare_plain_copy(struct luo_commit_item *item, const char **ret_reason)
{
	_cleanup_close_ int copy = -EBADF, source = -EBADF;
	off_t offset;
	int r;

	r = check_room(item->size, ret_reason);
	if (r < 0)
		return r;
	/* The entry may be write-only. */
	r = luo_memfd_reopen(item->entry->fd, O_RDONLY, &source);
	if (r >= 0)
		r = luo_memfd_create(
			/* The seals are added after the kexec. */
			&(struct luo_memfd_options){ .struct_size =
							     sizeof(struct luo_memfd_options),
						     .name = "luo-copy",
						     .flags = LUO_MEMFD_ALLOW_SEALING },
			&copy);
	if (r >= 0)
		r = luo_memfd_copy(source, copy);
	if (r < 0) {
		*ret_reason = "cannot make a copy of it";
		return r;
	}
	/* The kernel keeps the offset of the file that it preserves, which is the copy. */
	offset = lseek(item->entry->fd, 0, SEEK_CUR);
	if (offset > 0 && lseek(copy, offset, SEEK_SET) < 0) {
		*ret_reason = "cannot set the position of its copy";
		return -errno;
	}
	item->copy_fd = TAKE_FD(copy);
	return 0;
}

/* A copy has no seals and the mode of a new memfd; both are restored after the kexec. */
static void note_for_copy(struct luo_commit_item *item)
{
	struct stat st;
	off_t offset;

	item->meta.seals = item->seals;
	item->meta.known |= LUO_META_SEALS;
	if (fstat(item->entry->fd, &st) >= 0) {
		item->meta.mode = st.st_mode & 07777;
		item->meta.known |= LUO_META_MODE;
	}
	offset = lseek(item->entry->fd, 0, SEEK_CUR);
	if (item->meta.packed && offset > 0) {
		item->meta.offset = (uint64_t)offset;
		item->meta.known |= LUO_META_OFFSET;
	}
}

/*
 * With vm.memfd_noexec=2 every new memfd has the exec seal, the copy too. For a packed file this
 * does not matter, because the unit gets a new file after the kexec.
 */
static int prepare_exec_sealed(struct luo_commit_item *item, unsigned flags, size_t *extents_left,
			       const char **ret_reason)
{
	bool packed = false;
	unsigned seals;
	int r;

	r = prepare_plain_copy(item, ret_reason);
	if (r < 0 || luo_memfd_get_seals(item->copy_fd, &seals) < 0 || !(seals & F_SEAL_EXEC))
		return r;
	item->copy_fd = safe_close(item->copy_fd);
	if (!(flags & LUO_COMMIT_NO_PACK)) {
		r = prepare_packed(item, extents_left, &packed, ret_reason);
		if (r < 0 || packed)
			return r;
	}
	*ret_reason =
		"the kernel would bring it back read-only, and vm.memfd_noexec=2 forbids the copy that would not";
	return -EOPNOTSUPP;
}

/* Fill the holes if there is room, else pack the file if that is allowed. */
static int prepare_holes(struct luo_commit_item *item, unsigned flags, size_t *extents_left,
			 const char **ret_reason)
{
	bool packed = false;
	int r;

	/* For holes of a few pages, reading /proc is not worth its cost. */
	if (item->holes <= (UINT64_C(64) << 10))
		return 0;
	r = check_room(item->holes, ret_reason);
	if (r != -EDQUOT || (flags & LUO_COMMIT_NO_PACK))
		return r;
	r = prepare_packed(item, extents_left, &packed, ret_reason);
	if (r < 0 || packed)
		return r;
	return -EDQUOT;
}

int luo_commit_item_prepare(struct luo_commit_item *item, unsigned flags, size_t *extents_left,
			    const char **ret_reason)
{
	bool packed = false;
	int r = 0;

	if (item->holes > HOLES_TO_FILL_MAX && !(flags & LUO_COMMIT_NO_PACK))
		r = prepare_packed(item, extents_left, &packed, ret_reason);
	if (r >= 0 && !packed && (item->seals & F_SEAL_EXEC))
		r = prepare_exec_sealed(item, flags, extents_left, ret_reason);
	else if (r >= 0 && !packed)
		r = prepare_holes(item, flags, extents_left, ret_reason);
	if (r >= 0 && item->copy_fd >= 0)
		note_for_copy(item);
	return r;
}

void luo_commit_plan_clear(struct luo_commit_plan *plan)
{
	for (size_t i = 0; plan->items && i < plan->n; i++) {
		luo_entry_meta_clear(&plan->items[i].meta);
		safe_close(plan->items[i].copy_fd);
		free(plan->items[i].session_name);
	}
	free(plan->items);
	free(plan->results);
	*plan = (struct luo_commit_plan){};
}
