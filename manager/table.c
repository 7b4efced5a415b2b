/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The descriptor table of PID 1, and copies out of it.
 *
 * What can be preserved at all has no name any more, or is a session; both show in the link of the
 * fd. So only those are looked at: stat(2) of a file on a dead network mount would hang. All the
 * anonymous inodes of a machine have one inode number (PID 1 has dozens of them), so of these the
 * link has to be the same, too.
 *
 * PID 1 goes on working meanwhile and may close an fd and open another under its number. What comes
 * back from pidfd_getfd(2) is therefore compared again.
 */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "manager/internal.h"
#include "common/util.h"

#ifndef O_LARGEFILE
#define O_LARGEFILE 0100000
#endif

#define ANON_INODE "anon_inode:"

struct slot {
	int number; /* in PID 1 */
	dev_t device;
	ino_t inode;
	char *link; /* of an anonymous inode; else NULL */
	int fd;     /* our copy, once it was fetched */
	int flags;
	bool gone;
	unsigned uses;
};

struct luo_manager_table {
	int pidfd;
	struct slot *slots; /* by inode, then by number */
	size_t n;
};

/* ---- reading --------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && streq(s + n - m, end);
}

/* 1 and a slot for an fd that may be worth a look, 0 for another. */
static int look_at(int directory, const char *name, struct slot *ret)
{
	char link[PATH_MAX];
	struct stat st;
	ssize_t n;

	n = readlinkat(directory, name, link, sizeof(link) - 1);
	/* Too long a path cannot be told; it is no anonymous inode. */
	if (n < 0 && errno != ENAMETOOLONG)
		return 0;
	link[n < 0 ? 0 : n] = 0;
	if (n >= 0 && !startswith(link, ANON_INODE) && !ends_with(link, " (deleted)"))
		return 0;
	if (fstatat(directory, name, &st, 0) < 0)
		return 0;
	*ret = (struct slot){
		.number = atoi(name),
		.device = st.st_dev,
		.inode = st.st_ino,
		.fd = -EBADF,
	};
	if (startswith(link, ANON_INODE)) {
		ret->link = strdup(link);
		return ret->link ? 1 : -ENOMEM;
	}
	return 1;
}

static int add_slot(struct luo_manager_table *t, const struct slot *slot)
{
	if ((t->n & (t->n - 1)) == 0) {
		struct slot *more = reallocarray(t->slots, t->n ? t->n * 2 : 1, sizeof(*more));

		if (!more) {
			free(slot->link);
			return -ENOMEM;
		}
		t->slots = more;
	}
	t->slots[t->n++] = *slot;
	return 0;
}

static int compare_files(dev_t device_a, ino_t inode_a, dev_t device_b, ino_t inode_b)
{
	if (inode_a != inode_b)
		return inode_a < inode_b ? -1 : 1;
	if (device_a != device_b)
		return device_a < device_b ? -1 : 1;
	return 0;
}

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return compare_files(x->device, x->inode, y->device, y->inode)
		       ?: (x->number > y->number) - (x->number < y->number);
}

static int read_table(struct luo_manager_table *t, pid_t pid)
{
	struct dirent *entry;
	char path[64];
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r >= 0 && (entry = readdir(dir))) {
		struct slot slot;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		r = look_at(dirfd(dir), entry->d_name, &slot);
		if (r > 0)
			r = add_slot(t, &slot);
	}
	closedir(dir);
	if (r >= 0 && t->n > 0)
		qsort(t->slots, t->n, sizeof(*t->slots), compare_slots);
	return r < 0 ? r : 0;
}

int luo_manager_table_open(struct luo_manager_table **ret_table)
{
	const char *forced = secure_getenv("LUO_MANAGER_PID");

	return luo_manager_table_open_pid(forced ? (pid_t)atoi(forced) : 1, ret_table);
}

int luo_manager_table_open_pid(pid_t pid, struct luo_manager_table **ret_table)
{
	struct luo_manager_table *t;
	int r;

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = t->pidfd < 0 ? -errno : read_table(t, pid);
	if (r < 0) {
		luo_manager_table_free(t);
		return r;
	}
	*ret_table = t;
	return 0;
}

bool luo_manager_table_is_alive(const struct luo_manager_table *t)
{
	return syscall(SYS_pidfd_send_signal, t->pidfd, 0, NULL, 0) == 0;
}

struct luo_manager_table *luo_manager_table_free(struct luo_manager_table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n; i++) {
		safe_close(t->slots[i].fd);
		free(t->slots[i].link);
	}
	free(t->slots);
	safe_close(t->pidfd);
	free(t);
	return NULL;
}

/* ---- fetching -------------------------------------------------------------------------------- */

/* 0, or -ENOENT if it is not what it was any more. */
static int fetch_slot(struct luo_manager_table *t, struct slot *s)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (s->fd >= 0)
		return 0;
	if (s->gone)
		return -ENOENT;
	fd = (int)syscall(SYS_pidfd_getfd, t->pidfd, s->number, 0);
	if (fd < 0 && errno != EBADF)
		return -errno;
	s->flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (s->flags < 0 || fstat(fd, &st) < 0 || st.st_dev != s->device || st.st_ino != s->inode) {
		s->gone = true;
		return -ENOENT;
	}
	s->fd = TAKE_FD(fd);
	return 0;
}

static size_t first_of(const struct luo_manager_table *t, dev_t device, ino_t inode)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct slot *s = &t->slots[middle];

		if (compare_files(s->device, s->inode, device, inode) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Fewer is better. What fcntl(2) tells of O_LARGEFILE depends on who asks. */
static unsigned distance(const struct slot *s, const struct luo_manager_fd *entry)
{
	return s->uses * 2 +
	       ((s->flags | O_LARGEFILE) != (entry->flags | O_LARGEFILE) ? 100000 : 0);
}

int luo_manager_table_fetch(struct luo_manager_table *t, const struct luo_manager_fd *entry,
			    int *ret_fd)
{
	struct slot *best = NULL;
	int fd, error = -ENOENT;

	for (size_t i = first_of(t, entry->device, entry->inode);
	     i < t->n && t->slots[i].inode == entry->inode && t->slots[i].device == entry->device;
	     i++) {
		struct slot *s = &t->slots[i];
		int r;

		if (s->link && !streq(s->link, entry->path))
			continue;
		r = fetch_slot(t, s);
		if (r < 0) {
			error = error == -ENOENT ? r : error;
			continue;
		}
		if (!best || distance(s, entry) < distance(best, entry))
			best = s;
	}
	if (!best)
		return error;
	fd = fcntl(best->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	best->uses++;
	*ret_fd = fd;
	return 0;
}
