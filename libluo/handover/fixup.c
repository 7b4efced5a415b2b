/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <luo/memfd.h>

#include "libluo/handover/fixup.h"
#include "common/util.h"

int luo_entry_learn_name(struct luo_entry *entry)
{
	_cleanup_free_ char *name = NULL;
	int r;

	if (entry->fd < 0 || (entry->meta.known & LUO_META_FILE_NAME))
		return 0;

	r = luo_memfd_get_name(entry->fd, &name);
	if (r < 0)
		return r == -ENOTTY ? 0 : r;
	/* A memfd that was restored has an empty name, so there is nothing to record. */
	if (name[0] == '\0')
		return 0;

	entry->meta.file_name = TAKE_PTR(name);
	entry->meta.known |= LUO_META_FILE_NAME;
	return 0;
}

int luo_meta_copy(const struct luo_entry_meta *from, struct luo_entry_meta *ret_meta)
{
	struct luo_entry_meta copy = *from;

	copy.file_name = NULL;
	copy.extents = NULL;
	if (from->file_name) {
		copy.file_name = strdup(from->file_name);
		if (!copy.file_name)
			return -ENOMEM;
	}
	if (from->n_extents > 0) {
		copy.extents = calloc(from->n_extents, sizeof(*copy.extents));
		if (!copy.extents) {
			free(copy.file_name);
			return -ENOMEM;
		}
		memcpy(copy.extents, from->extents, from->n_extents * sizeof(*copy.extents));
	}
	*ret_meta = copy;
	return 0;
}

/* Restore the mode before the seals, because F_SEAL_EXEC forbids changes of the executable bits. */
static int fix_inode(int fd, const struct luo_entry_meta *meta)
{
	int r;

	if ((meta->known & LUO_META_OWNER) && fchown(fd, meta->uid, meta->gid) < 0)
		return -errno;
	if ((meta->known & LUO_META_MODE) && fchmod(fd, meta->mode & 07777) < 0)
		return -errno;
	if ((meta->known & LUO_META_SEALS) && meta->seals != 0) {
		unsigned seals;

		r = luo_memfd_get_seals(fd, &seals);
		if (r < 0)
			return r;
		/* After a restart of the caller the file may have the seals already. */
		if ((seals & meta->seals) != meta->seals) {
			r = luo_memfd_add_seals(fd, meta->seals & ~seals);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The kernel restores every file read-write; less access needs a new open file description. */
static int narrow_access(int fd, int flags, int *ret_fd)
{
	_cleanup_close_ int narrowed = -EBADF;
	off_t offset;
	int r;

	r = luo_memfd_reopen(fd, flags & (O_ACCMODE | O_APPEND), &narrowed);
	if (r < 0)
		return r;

	offset = lseek(fd, 0, SEEK_CUR);
	if (offset > 0 && lseek(narrowed, offset, SEEK_SET) < 0)
		return -errno;

	*ret_fd = TAKE_FD(narrowed);
	return 0;
}

static int set_append(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, flags | O_APPEND) < 0)
		return -errno;
	return 0;
}

int luo_fixup_consume_fd(int fd, const struct luo_entry_meta *meta, int *ret_fd)
{
	_cleanup_close_ int owned = fd;
	int r;

	r = fix_inode(owned, meta);
	if (r < 0)
		return r;

	if (meta->known & LUO_META_OPEN_FLAGS) {
		if ((meta->open_flags & O_ACCMODE) != O_RDWR) {
			int narrowed = -EBADF;

			r = narrow_access(owned, meta->open_flags, &narrowed);
			if (r < 0)
				return r;
			safe_close(owned);
			owned = narrowed;
		} else if (meta->open_flags & O_APPEND) {
			r = set_append(owned);
			if (r < 0)
				return r;
		}
	}
	if ((meta->known & LUO_META_OFFSET) && lseek(owned, (off_t)meta->offset, SEEK_SET) < 0)
		return -errno;

	*ret_fd = TAKE_FD(owned);
	return 0;
}
