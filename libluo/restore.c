/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Getting one entry out of an incoming session.
 *
 * The ioctl is the point of no return: if the kernel cannot charge the memory, what was preserved
 * is gone, and the caller may be killed inside it. So memory limits are looked at first.
 */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "fixup.h"
#include "incoming.h"
#include "memory-room.h"
#include "packed.h"
#include "util.h"

#define ROOM_MARGIN         (UINT64_C(8) << 20)
#define SMALL               (UINT64_C(1) << 20)
#define LOOK_LASTS_USEC     (USEC_PER_SEC / 2)
#define DEVICE_TIMEOUT_USEC (10 * USEC_PER_SEC)

static uint64_t bytes_to_charge(const struct luo_entry_meta *meta)
{
	uint64_t bytes = 0;

	if (!meta->packed)
		return (meta->known & LUO_META_SIZE) ? meta->size : 0;
	/* The packed copy and what is made of it are both there for a moment. */
	for (size_t i = 0; i < meta->n_extents; i++)
		bytes += 2 * meta->extents[i].length;
	return bytes;
}

static bool has_room(uint64_t room, uint64_t needed)
{
	return room >= ROOM_MARGIN && room - ROOM_MARGIN >= needed;
}

/*
 * What was preserved occupies its memory already, so only the limits of the cgroups can be in the
 * way; a packed file needs new pages too. Reading those limits costs more than restoring a small
 * file, so for small ones the last look is used until it is eaten up or old.
 */
static int check_room(struct luo_incoming *incoming, const struct luo_entry_meta *meta)
{
	uint64_t needed = bytes_to_charge(meta), now, available;
	int r;

	if (needed == 0)
		return 0;
	now = now_usec(CLOCK_MONOTONIC_COARSE);
	if (meta->packed || needed > SMALL || now - incoming->room_at > LOOK_LASTS_USEC ||
	    !has_room(incoming->room, needed)) {
		r = luo_memory_cgroup_room(&incoming->room);
		if (r < 0)
			return r;
		incoming->room_at = now;
		if (!has_room(incoming->room, needed))
			return -EDQUOT;
	}
	if (meta->packed) {
		r = luo_memory_available(&available);
		if (r < 0)
			return r;
		if (!has_room(available, needed))
			return -EDQUOT;
	}
	if (incoming->room != UINT64_MAX)
		incoming->room -= needed;
	return 0;
}

/* EMFILE comes before the kernel touches anything; ENFILE from the middle, and it is kept. */
static bool is_final(int error)
{
	return error != -EMFILE && error != -EINTR && error != -EDQUOT;
}

static int fetch_session(const struct luo_entry *entry, int *ret_fd)
{
	_cleanup_close_ int device = -EBADF;
	int r;

	r = luo_device_open(DEVICE_TIMEOUT_USEC, &device);
	if (r < 0)
		return r;
	return luo_session_retrieve(device, entry->session_name, ret_fd);
}

static int fetch_file(struct luo_incoming *incoming, unsigned session, uint64_t token,
		      const struct luo_entry_meta *meta, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF, unpacked = -EBADF;
	int r;

	if (session >= incoming->n_sessions || incoming->sessions[session] < 0)
		return -ENOENT;
	r = check_room(incoming, meta);
	if (r < 0)
		return r;
	r = luo_session_restore_fd(incoming->sessions[session], token, &fd);
	if (r < 0)
		return r;
	if (meta->packed) {
		r = luo_unpack(fd, meta, &unpacked);
		if (r < 0)
			return r;
		safe_close(fd);
		fd = TAKE_FD(unpacked);
	}
	return luo_fixup_consume_fd(TAKE_FD(fd), meta, ret_fd);
}

static int open_flags_of(const struct luo_entry_meta *meta)
{
	return (meta->known & LUO_META_OPEN_FLAGS) ? meta->open_flags : O_RDWR;
}

/* A description of its own of a file that another entry has as well. */
static int open_alias(int primary_fd, const struct luo_entry_meta *meta, int *ret_fd)
{
	int flags = (meta->known & LUO_META_OPEN_FLAGS) ? meta->open_flags : O_RDWR;
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = luo_memfd_reopen(primary_fd, flags & (O_ACCMODE | O_APPEND), &fd);
	if (r < 0)
		return r;
	if (lseek(fd, (off_t)meta->offset, SEEK_SET) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int duplicate(int fd, int *ret_fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

/* Also if only the access differs: a read-only alias must not become writable by sharing. */
static bool needs_own_description(const struct luo_shared_file *shared,
				  const struct luo_entry *entry)
{
	return entry->alias && ((entry->meta.known & LUO_META_OFFSET) ||
				open_flags_of(&entry->meta) != open_flags_of(&shared->meta));
}

static int fetch_shared(struct luo_incoming *incoming, struct luo_shared_file *shared,
			const struct luo_entry *entry, int *ret_fd)
{
	int r;

	if (shared->fd < 0) {
		r = fetch_file(incoming, shared->session, shared->token, &shared->meta,
			       &shared->fd);
		if (r < 0)
			return r;
	}
	if (needs_own_description(shared, entry))
		return open_alias(shared->fd, &entry->meta, ret_fd);
	return duplicate(shared->fd, ret_fd);
}

_public_ int luo_incoming_fetch(struct luo_incoming *incoming, const struct luo_entry *entry,
				int *ret_fd)
{
	struct luo_shared_file *shared;

	if (entry->failed < 0)
		return entry->failed;
	if (entry->fd >= 0)
		return duplicate(entry->fd, ret_fd);
	if (entry->type == LUO_ENTRY_SESSION)
		return fetch_session(entry, ret_fd);

	shared = luo_incoming_shared_of(incoming, entry);
	if (shared)
		return fetch_shared(incoming, shared, entry, ret_fd);
	return fetch_file(incoming, entry->session, entry->token, &entry->meta, ret_fd);
}

_public_ int luo_incoming_restore(struct luo_incoming *incoming, struct luo_entry *entry)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (entry->fd >= 0)
		return 0;
	r = luo_incoming_fetch(incoming, entry, &fd);
	if (r < 0) {
		/* A session of its own may be asked for again: nothing of it was touched. */
		if (is_final(r) && entry->type == LUO_ENTRY_FD)
			entry->failed = r;
		return r;
	}
	r = luo_entry_set_fd(entry, fd);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}
