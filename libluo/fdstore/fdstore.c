/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The service's side of an fd store.
 *
 * There are two one-way paths. The manager passes fds in $LISTEN_FDS when the process starts, and
 * this never changes. The process pushes fds to the manager with sd_notify datagrams, which have no
 * answers. So every call ends with a barrier: a pipe that the manager closes when it has processed
 * everything before it. Without the barrier, a process that stores an fd and exits at once may be
 * gone before the manager asks the kernel for its identity, and the fd is lost.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <threads.h>

#include <systemd/sd-daemon.h>

#include <luo/fdstore.h>
#include <luo/memfd.h>
#include <luo/store.h>

#include "common/util.h"
#include "libluo/fdstore/internal.h"

#define BARRIER_USEC (30 * USEC_PER_SEC)

/* "FDSTORE=1\nFDPOLL=0\nFDNAME=" and the longest name */
#define MESSAGE_MAX (64 + LUO_FDNAME_MAX)

/* The fds that this process received at its start; filled once, then read-only. */
static struct {
	int n; /* or a negative errno */
	char **names;
} given;
static once_flag given_once = ONCE_FLAG_INIT;

/*
 * sd_listen_fds_with_names() interprets quotes and backslashes, which names may contain, so it is
 * not used here.
 */
static int split_names(const char *text, int n, char ***ret)
{
	char **names = calloc((size_t)n + 1, sizeof(*names));
	int r = names ? 0 : -ENOMEM;

	for (int i = 0; i < n && r == 0; i++) {
		size_t length = text ? strcspn(text, ":") : 0;

		names[i] = text ? strndup(text, length) : strdup("unknown");
		if (!names[i])
			r = -ENOMEM;
		else if (text && (text[length] == ':') != (i + 1 < n))
			r = -EINVAL; /* fewer or more names than fds */
		if (text)
			text += length + 1;
	}
	if (r == 0) {
		*ret = names;
		return n;
	}
	for (int i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
	return r;
}

static int listen_fds(char ***ret_names)
{
	int n = sd_listen_fds(false);

	if (n <= 0)
		return n;
	return split_names(getenv("LISTEN_FDNAMES"), n, ret_names);
}

static void load_given(void)
{
	int n = listen_fds(&given.names);

	/*
	 * The caller sees one error for all of these: not a number, more names than fds, a number
	 * that is not an open fd. Out of memory is a different error.
	 */
	given.n = n < 0 && n != -ENOMEM ? -EINVAL : n;
}

static int get_given(void)
{
	call_once(&given_once, load_given);
	return given.n;
}

_public_ int luo_fdstore_count(void)
{
	return get_given();
}

_public_ int luo_fdstore_at(size_t index, const char **ret_name, int *ret_fd)
{
	int n = get_given();

	if (n < 0)
		return n;
	if (index >= (size_t)n)
		return -ENOENT;
	if (ret_name)
		*ret_name = given.names[index];
	if (ret_fd)
		*ret_fd = SD_LISTEN_FDS_START + (int)index;
	return 0;
}

_public_ int luo_fdstore_get(const char *name, size_t nth, int *ret_fd)
{
	int n;

	if (!name || !ret_fd)
		return -EINVAL;
	n = get_given();
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		if (streq(given.names[i], name) && nth-- == 0) {
			*ret_fd = SD_LISTEN_FDS_START + i;
			return 0;
		}
	return -ENOENT;
}

static int wait_for_manager(void)
{
	int r = sd_notify_barrier(false, BARRIER_USEC);

	return r < 0 ? r : 0;
}

static int notify(const char *message, const int *fds, unsigned n_fds, bool wait)
{
	int r = sd_pid_notify_with_fds(0, false, message, fds, n_fds);

	if (r < 0)
		return r;
	if (r == 0)
		return -ENOTCONN;
	return wait ? wait_for_manager() : 0;
}

/* ---- the memfds that this process made --------------------------------------------------------
 */

static mtx_t made_lock;
static once_flag made_lock_once = ONCE_FLAG_INIT;
static struct luo_made *made_list;

static void made_lock_init(void)
{
	(void)mtx_init(&made_lock, mtx_plain);
}

void luo_made_lock(void)
{
	call_once(&made_lock_once, made_lock_init);
	(void)mtx_lock(&made_lock);
}

void luo_made_unlock(void)
{
	(void)mtx_unlock(&made_lock);
}

struct luo_made *luo_made_find(const char *name)
{
	for (struct luo_made *made = made_list; made; made = made->next)
		if (streq(made->name, name))
			return made;
	return NULL;
}

int luo_made_add(const char *name, int fd, struct luo_made **ret_made)
{
	struct luo_made *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->name = strdup(name);
	if (!made->name) {
		free(made);
		return -ENOMEM;
	}
	made->fd = fd;
	made->next = made_list;
	made_list = made;
	*ret_made = made;
	return 0;
}

void luo_made_forget(struct luo_made *made)
{
	struct luo_made **p = &made_list;

	while (*p != made)
		p = &(*p)->next;
	*p = made->next;
	safe_close(made->fd);
	free(made->name);
	free(made);
}

int luo_made_store(struct luo_made *made, unsigned flags)
{
	int r;

	if (made->stored)
		return 0;
	r = luo_fdstore_push(made->name, made->fd, flags | LUO_FDSTORE_NO_WAIT);
	if (r < 0 && r != -ENOTCONN) {
		luo_made_forget(made);
		return r;
	}
	if (r == 0)
		r = wait_for_manager();
	if (r < 0 && r != -ENOTCONN)
		return r;
	made->stored = true;
	return 0;
}

static void forget_made(const char *name)
{
	struct luo_made *made;

	luo_made_lock();
	made = luo_made_find(name);
	if (made)
		luo_made_forget(made);
	luo_made_unlock();
}

/* ---- storing --------------------------------------------------------------------------------- */

_public_ int luo_fdstore_push(const char *name, int fd, unsigned flags)
{
	char message[MESSAGE_MAX];

	if (flags & ~(unsigned)(LUO_FDSTORE_NO_POLL | LUO_FDSTORE_NO_WAIT))
		return -EINVAL;
	if (!name || !luo_fdname_is_valid(name))
		return -EINVAL;
	if (fd < 0 || fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(message, sizeof(message), "FDSTORE=1\n%sFDNAME=%s",
		 flags & LUO_FDSTORE_NO_POLL ? "FDPOLL=0\n" : "", name);
	return notify(message, &fd, 1, !(flags & LUO_FDSTORE_NO_WAIT));
}

_public_ int luo_fdstore_remove(const char *name)
{
	char message[MESSAGE_MAX];
	int r;

	if (!name || !luo_fdname_is_valid(name))
		return -EINVAL;
	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	r = notify(message, NULL, 0, true);
	/* If it was not sent, the manager still has the fd, so keep the record. */
	if (r == 0 || r == -ETIMEDOUT || r == -ENOTCONN)
		forget_made(name);
	return r;
}

static int check_size(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* Sockets and pipes define the size differently; only a regular file can match. */
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -EUCLEAN;
	return 0;
}

static int make(const char *name, uint64_t size, struct luo_made **ret_made)
{
	struct luo_memfd_options options = {
		.struct_size = sizeof(options),
		/* a memfd's name may be shorter than an fd's name */
		.name = strlen(name) <= 249 ? name : NULL,
		.size = size,
		.flags = LUO_MEMFD_ALLOW_SEALING,
	};
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = luo_memfd_create(&options, &fd);
	if (r >= 0)
		r = luo_made_add(name, fd, ret_made);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

/* Called with the lock. Returns a copy of the fd, because the caller may close it. */
static int find_or_make(const char *name, uint64_t size, int *ret_fd)
{
	struct luo_made *made = luo_made_find(name);
	_cleanup_close_ int fd = -EBADF;
	bool found = made && made->stored;
	int r;

	r = made ? check_size(made->fd, size) : make(name, size, &made);
	if (r < 0)
		return r;
	fd = fcntl(made->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	r = luo_made_store(made, 0);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return found ? 0 : 1;
}

_public_ int luo_fdstore_memfd(const char *name, uint64_t size, int *ret_fd)
{
	int fd, r;

	if (!name || !luo_fdname_is_valid(name) || !ret_fd)
		return -EINVAL;
	r = luo_fdstore_get(name, 0, &fd);
	if (r == -ENOENT) {
		luo_made_lock();
		r = find_or_make(name, size, ret_fd);
		luo_made_unlock();
		return r;
	}
	if (r < 0)
		return r;
	r = check_size(fd, size);
	if (r < 0)
		return r;
	*ret_fd = fd;
	return 0;
}
