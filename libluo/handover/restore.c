/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Retrieves one entry from an incoming session.
 *
 * The ioctl cannot be undone: if the kernel cannot charge the memory, the preserved memory is gone,
 * and the kernel may kill the caller inside the ioctl. So the memory limits are checked first.
 */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "libluo/handover/fixup.h"
#include "libluo/handover/incoming.h"
#include "libluo/memfd/memory-room.h"
#include "libluo/handover/packed.h"
#include "common/util.h"

#define ROOM_MARGIN         (UINT64_C(8) << 20)
#define SMALL               (UINT64_C(1) << 20)
#define LOOK_LASTS_USEC     (USEC_PER_SEC / 2)
#define DEVICE_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* The kernel charges pages, and some overhead for each file. */
static uint64_t with_overhead(uint64_t bytes, uint64_t page)
{
	return (bytes / page + 3) * page;
}

uint64_t luo_restore_charge(const struct luo_entry_meta *meta, uint64_t page)
{
	uint64_t bytes = 0;

	if (!meta->packed)
		return with_overhead(meta->size, page);
	/* The packed copy and the file that is made from it exist at the same time for a moment. */
	for (size_t i = 0; i < meta->n_extents; i++)
		bytes += 2 * with_overhead(meta->extents[i].length, page);
	return bytes;
}

static bool has_room(uint64_t room, uint64_t needed)
{
	return room >= ROOM_MARGIN && room - ROOM_MARGIN >= needed;
}

/*
 * Preserved memory is occupied already, so only the limits of cgroups can be exceeded; a packed
 * file needs new pages too. Reading those limits costs more than restoring a small file, so small
 * files use the last result until it is used up or old.
 */
static int check_room(struct luo_incoming *incoming, const struct luo_entry_meta *meta)
{
	uint64_t needed = luo_restore_charge(meta, page_size()), now, available;
	int r;

	/* systemd records no sizes, so with a limit the result is unknown. */
	if (!meta->packed && !(meta->known & LUO_META_SIZE)) {
		r = luo_memory_cgroup_room(&available);
		if (r < 0)
			return r;
		return available == UINT64_MAX ? 0 : -EDQUOT;
	}
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

/*
 * Whether the error is permanent. EMFILE comes before the kernel touches anything; ENFILE comes in
 * the middle and is permanent. Our own failures before or after the ioctl never are, because the
 * kernel still has the file.
 */
static bool is_final(int error)
{
	return error != -EMFILE && error != -EINTR;
}

static int duplicate(int fd, int *ret_fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

/* The unit stored its session under several names, and the kernel returns it only once. */
static bool another_wants(const struct luo_incoming *incoming, const struct luo_entry *entry)
{
	struct luo_entry *other;
	struct luo_unit *unit;

	LUO_FOREACH_UNIT (unit, incoming->mapping->store)
		LUO_FOREACH_ENTRY (other, unit)
			if (other != entry && other->type == LUO_ENTRY_SESSION && other->fd < 0 &&
			    streq(other->session_name, entry->session_name))
				return true;
	return false;
}

static int remember_session(struct luo_incoming *incoming, const char *name, int fd)
{
	struct luo_fetched_session *grown;
	int r;

	grown = reallocarray(incoming->fetched, incoming->n_fetched + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	incoming->fetched = grown;
	grown += incoming->n_fetched;
	grown->name = strdup(name);
	if (!grown->name)
		return -ENOMEM;
	r = duplicate(fd, &grown->fd);
	if (r < 0) {
		free(grown->name);
		return r;
	}
	incoming->n_fetched++;
	return 0;
}

static int fetch_session(struct luo_incoming *incoming, const struct luo_entry *entry,
			 bool *ret_final, int *ret_fd)
{
	_cleanup_close_ int device = -EBADF;
	int fd, r;

	for (size_t i = 0; i < incoming->n_fetched; i++)
		if (streq(incoming->fetched[i].name, entry->session_name))
			return duplicate(incoming->fetched[i].fd, ret_fd);

	r = luo_device_open(DEVICE_TIMEOUT_USEC, &device);
	if (r < 0)
		return r;
	r = luo_session_retrieve(device, entry->session_name, &fd);
	if (r < 0) {
		/*
		 * The session does not exist, or another process retrieved it: the kernel returns
		 * it only once.
		 */
		*ret_final = r == -ENOENT || r == -EINVAL;
		return r;
	}
	/* Failing to record the fd does not justify closing it, which would finish the session. */
	if (another_wants(incoming, entry))
		(void)remember_session(incoming, entry->session_name, fd);
	*ret_fd = fd;
	return 0;
}

static int fetch_file(struct luo_incoming *incoming, unsigned session, uint64_t token,
		      const struct luo_entry_meta *meta, bool *ret_final, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF, unpacked = -EBADF;
	int session_fd, r;

	session_fd = luo_incoming_session(incoming, session);
	if (session_fd < 0) {
		*ret_final = session_fd == -ENOENT;
		return session_fd;
	}
	r = check_room(incoming, meta);
	if (r < 0)
		return r;
	r = luo_session_retrieve_fd(session_fd, token, &fd);
	if (r < 0) {
		*ret_final = is_final(r);
		return r;
	}
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

/* The alias has its own open file description of the file. */
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

/* Also if only the access mode differs: sharing must not make a read-only alias writable. */
static bool needs_own_description(const struct luo_shared_file *shared,
				  const struct luo_entry *entry)
{
	return entry->alias && ((entry->meta.known & LUO_META_OFFSET) ||
				open_flags_of(&entry->meta) != open_flags_of(&shared->meta));
}

static int fetch_shared(struct luo_incoming *incoming, struct luo_shared_file *shared,
			const struct luo_entry *entry, bool *ret_final, int *ret_fd)
{
	int r;

	if (shared->fd < 0) {
		r = fetch_file(incoming, shared->session, shared->token, &shared->meta, ret_final,
			       &shared->fd);
		if (r < 0)
			return r;
	}
	if (needs_own_description(shared, entry))
		return open_alias(shared->fd, &entry->meta, ret_fd);
	return duplicate(shared->fd, ret_fd);
}

static int fetch(struct luo_incoming *incoming, const struct luo_entry *entry, bool *ret_final,
		 int *ret_fd)
{
	struct luo_shared_file *shared;

	if (entry->failed < 0)
		return entry->failed;
	if (entry->fd >= 0)
		return duplicate(entry->fd, ret_fd);
	if (entry->type == LUO_ENTRY_SESSION)
		return fetch_session(incoming, entry, ret_final, ret_fd);

	shared = luo_incoming_shared_of(incoming, entry);
	if (shared)
		return fetch_shared(incoming, shared, entry, ret_final, ret_fd);
	return fetch_file(incoming, entry->session, entry->token, &entry->meta, ret_final, ret_fd);
}

_public_ int luo_incoming_fetch(struct luo_incoming *incoming, const struct luo_entry *entry,
				int *ret_fd)
{
	bool final = false;

	return fetch(incoming, entry, &final, ret_fd);
}

_public_ int luo_incoming_restore(struct luo_incoming *incoming, struct luo_entry *entry)
{
	_cleanup_close_ int fd = -EBADF;
	bool final = false;
	int r;

	if (entry->fd >= 0)
		return 0;
	r = fetch(incoming, entry, &final, &fd);
	if (r < 0) {
		if (final)
			entry->failed = r;
		return r;
	}
	r = luo_entry_set_fd(entry, fd);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}
