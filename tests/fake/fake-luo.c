/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * See fake-luo.h. The order of checks in each call is the kernel's: kernel/liveupdate/luo_core.c,
 * luo_session.c, luo_file.c and mm/memfd_luo.c of 7.2.
 */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <luo/memfd.h>
#include "libluo/session/kernel-abi.h"
#include "libluo/session/kernel.h"
#include "common/util.h"

#include "tests/fake/fake-luo.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* A memfd without a name cannot be made from outside the kernel; link_of hides this one. */
#define RESTORED_NAME "luo-fake-restored"

#define TMPFS_TYPE 0x01021994
#define OWN_FDS_AT 16384 /* out of the way of tests that look at numbers */
#define FAILS_MAX  32

struct fake_file {
	uint64_t token;
	int fd; /* our copy: keeps the inode; -EBADF if the retrieve failed */
	dev_t device;
	ino_t inode;
	uint64_t size;
	unsigned seals;
	int status; /* as retrieve_status in the kernel: 0, 1, negative errno */
};

struct fake_session {
	char name[LUO_ABI_NAME_LENGTH];
	bool incoming;
	bool retrieved;
	int kept;    /* our end; -EBADF if it has not been retrieved */
	ino_t inode; /* of the other end */
	struct fake_file *files;
	size_t n_files;
};

struct fail {
	enum fake_luo_op op;
	unsigned nth;
	int error;
};

static struct {
	enum luo_support support;
	bool unreadable;
	size_t file_limit;
	int get_name_error;
	int device_kept;
	ino_t device_inode;
	struct fake_session **sessions;
	size_t n_sessions;
	struct fail fails[FAILS_MAX];
	size_t n_fails;
	uint64_t calls[_FAKE_LUO_OP_MAX];
} fake = { .support = LUO_SUPPORT_ON, .device_kept = -EBADF };

static void fatal(const char *what)
{
	perror(what);
	abort();
}

static void *must(void *p)
{
	if (!p)
		fatal("fake-luo: memory");
	return p;
}

/* A copy of @fd at a high number, or anywhere if there is no room. */
static int own_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FDS_AT);

	return copy < 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : copy;
}

/* One end for the caller, its inode, and one for us. */
static int make_pair(int *ret_fd, int *ret_kept, ino_t *ret_inode)
{
	struct stat st;
	int pair[2], kept;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	kept = own_copy(pair[1]);
	safe_close(pair[1]);
	if (kept < 0 || fstat(pair[0], &st) < 0) {
		safe_close(pair[0]);
		safe_close(kept);
		return -EMFILE;
	}
	*ret_fd = pair[0];
	*ret_kept = kept;
	*ret_inode = st.st_ino;
	return 0;
}

/* Sessions and files */

static void session_drop_files(struct fake_session *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		safe_close(s->files[i].fd);
	free(s->files);
	s->files = NULL;
	s->n_files = 0;
}

static void session_free(struct fake_session *s)
{
	session_drop_files(s);
	safe_close(s->kept);
	free(s);
}

static void session_remove(size_t i)
{
	session_free(fake.sessions[i]);
	fake.n_sessions--;
	memmove(fake.sessions + i, fake.sessions + i + 1,
		(fake.n_sessions - i) * sizeof(fake.sessions[0]));
}

static void session_insert(struct fake_session *s)
{
	fake.sessions =
		must(realloc(fake.sessions, (fake.n_sessions + 1) * sizeof(fake.sessions[0])));
	fake.sessions[fake.n_sessions++] = s;
}

static struct fake_session *session_by_name(const char *name, bool incoming)
{
	for (size_t i = 0; i < fake.n_sessions; i++) {
		struct fake_session *s = fake.sessions[i];

		if (s->incoming == incoming && strncmp(s->name, name, sizeof(s->name)) == 0)
			return s;
	}
	return NULL;
}

static bool socket_inode(int fd, ino_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	*ret = st.st_ino;
	return true;
}

static struct fake_session *session_of_fd(int fd)
{
	ino_t inode;

	if (!socket_inode(fd, &inode))
		return NULL;
	for (size_t i = 0; i < fake.n_sessions; i++)
		if (fake.sessions[i]->kept >= 0 && fake.sessions[i]->inode == inode)
			return fake.sessions[i];
	return NULL;
}

static bool is_device_fd(int fd)
{
	ino_t inode;

	return fake.device_kept >= 0 && socket_inode(fd, &inode) && inode == fake.device_inode;
}

static struct fake_file *file_by_token(struct fake_session *s, uint64_t token)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].token == token)
			return &s->files[i];
	return NULL;
}

/* Preserved and not undone, or retrieved and not finished. */
static bool inode_is_taken(dev_t device, ino_t inode)
{
	for (size_t i = 0; i < fake.n_sessions; i++) {
		const struct fake_session *s = fake.sessions[i];

		for (size_t j = 0; j < s->n_files; j++) {
			const struct fake_file *f = &s->files[j];

			if (f->device == device && f->inode == inode && f->fd >= 0 &&
			    (!s->incoming || f->status == 1))
				return true;
		}
	}
	return false;
}

/* The last copy is closed: the kernel's release */

static bool has_hung_up(int kept)
{
	struct pollfd p = { .fd = kept };

	return kept >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void settle(void)
{
	if (has_hung_up(fake.device_kept))
		fake.device_kept = safe_close(fake.device_kept);
	for (size_t i = fake.n_sessions; i-- > 0;)
		if (has_hung_up(fake.sessions[i]->kept))
			session_remove(i);
}

/* Failing on request */

static int requested_failure(enum fake_luo_op op)
{
	fake.calls[op]++;
	for (size_t i = 0; i < fake.n_fails; i++) {
		struct fail *f = &fake.fails[i];
		int error = f->error;

		if (f->op != op)
			continue;
		if (f->nth == 0)
			return -error;
		if (--f->nth > 0)
			continue;
		*f = fake.fails[--fake.n_fails];
		return -error;
	}
	return 0;
}

void fake_luo_fail(enum fake_luo_op op, unsigned nth, int error)
{
	if (fake.n_fails == FAILS_MAX)
		fatal("fake-luo: too many failures asked for");
	fake.fails[fake.n_fails++] = (struct fail){ .op = op, .nth = nth, .error = error };
}

/* The calls */

static int do_open(void)
{
	int fd, r;

	settle();
	r = requested_failure(FAKE_LUO_OPEN);
	if (r < 0)
		return r;
	if (fake.support != LUO_SUPPORT_ON)
		return -ENOENT;
	if (fake.device_kept >= 0)
		return -EBUSY;
	if (fake.unreadable)
		return -EIO;
	r = make_pair(&fd, &fake.device_kept, &fake.device_inode);
	return r < 0 ? r : fd;
}

static int do_create(struct luo_abi_session *arg)
{
	size_t length = strnlen((const char *)arg->name, sizeof(arg->name));
	struct fake_session *s;
	int r;

	r = requested_failure(FAKE_LUO_CREATE);
	if (r < 0)
		return r;
	if (length == 0 || length >= sizeof(arg->name))
		return -EINVAL;
	if (session_by_name((const char *)arg->name, false))
		return -EEXIST;
	s = must(calloc(1, sizeof(*s)));
	memcpy(s->name, arg->name, length);
	r = make_pair(&arg->fd, &s->kept, &s->inode);
	if (r < 0) {
		free(s);
		return r;
	}
	session_insert(s);
	return 0;
}

static int do_retrieve_session(struct luo_abi_session *arg)
{
	struct fake_session *s;
	int r;

	r = requested_failure(FAKE_LUO_RETRIEVE_SESSION);
	if (r < 0)
		return r;
	s = session_by_name((const char *)arg->name, true);
	if (!s)
		return -ENOENT;
	if (s->retrieved)
		return -EINVAL;
	r = make_pair(&arg->fd, &s->kept, &s->inode);
	if (r < 0)
		return r;
	s->retrieved = true;
	return 0;
}

/* shmem_file() && !i_nlink */
static bool can_preserve(int fd, const struct stat *st)
{
	struct statfs fs;

	return S_ISREG(st->st_mode) && st->st_nlink == 0 && fstatfs(fd, &fs) == 0 &&
	       (unsigned long)fs.f_type == TMPFS_TYPE && fcntl(fd, F_GET_SEALS) >= 0;
}

static int add_file(struct fake_session *s, uint64_t token, int fd, const struct stat *st)
{
	struct fake_file file = {
		.token = token,
		.fd = own_copy(fd),
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.seals = (unsigned)fcntl(fd, F_GET_SEALS),
	};

	if (file.fd < 0)
		return -ENOMEM;
	s->files = must(realloc(s->files, (s->n_files + 1) * sizeof(file)));
	s->files[s->n_files++] = file;
	return 0;
}

static int do_preserve_fd(struct fake_session *s, struct luo_abi_fd *arg)
{
	struct stat st;
	int flags, r;

	r = requested_failure(FAKE_LUO_PRESERVE_FD);
	if (r < 0)
		return r;
	if (file_by_token(s, arg->token))
		return -EEXIST;
	if (fake.file_limit > 0 && s->n_files >= fake.file_limit)
		return -ENOSPC;
	flags = fcntl(arg->fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH) || fstat(arg->fd, &st) < 0)
		return -EBADF;
	if (!can_preserve(arg->fd, &st))
		return -ENOENT;
	if (inode_is_taken(st.st_dev, st.st_ino))
		return -EBUSY;
	return add_file(s, arg->token, arg->fd, &st);
}

static int do_retrieve_fd(struct fake_session *s, struct luo_abi_fd *arg)
{
	struct fake_file *f;
	int failure, fd;

	failure = requested_failure(FAKE_LUO_RETRIEVE_FD);
	if (failure == -EMFILE)
		return failure;
	f = file_by_token(s, arg->token);
	if (!f)
		return -ENOENT;
	if (f->status < 0)
		return f->status;
	if (failure < 0 && f->status == 0) {
		f->status = failure;
		f->fd = safe_close(f->fd);
		return failure;
	}
	fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -EMFILE;
	f->status = 1;
	arg->fd = fd;
	return 0;
}

static int do_finish(struct fake_session *s, const struct luo_abi_finish *arg)
{
	int r = requested_failure(FAKE_LUO_FINISH);

	if (r < 0)
		return r;
	if (arg->reserved)
		return -EINVAL;
	session_drop_files(s);
	return 0;
}

static int do_get_name(const struct fake_session *s, struct luo_abi_get_name *arg)
{
	int r = requested_failure(FAKE_LUO_GET_NAME);

	if (r < 0)
		return r;
	if (arg->reserved)
		return -EINVAL;
	memcpy(arg->name, s->name, sizeof(arg->name));
	return 0;
}

/* A shorter structure is EINVAL; a longer one is fine if the rest is zero. */
static int check_size(const void *argument, size_t expected)
{
	const unsigned char *bytes = argument;
	uint32_t size;

	memcpy(&size, argument, sizeof(size));
	if (size < expected)
		return -EINVAL;
	for (size_t i = expected; i < size; i++)
		if (bytes[i] != 0)
			return -E2BIG;
	return 0;
}

static int device_ioctl(unsigned long request, void *argument)
{
	int r;

	if (_IOC_NR(request) > _IOC_NR(LUO_ABI_RETRIEVE_SESSION))
		return -EINVAL;
	if (request != LUO_ABI_CREATE_SESSION && request != LUO_ABI_RETRIEVE_SESSION)
		return -ENOTTY;
	r = check_size(argument, sizeof(struct luo_abi_session));
	if (r < 0)
		return r;
	return request == LUO_ABI_CREATE_SESSION ? do_create(argument)
						 : do_retrieve_session(argument);
}

static int session_ioctl(struct fake_session *s, unsigned long request, void *argument)
{
	size_t size;
	int r;

	switch (request) {
	case LUO_ABI_PRESERVE_FD:
		if (s->incoming)
			return -EINVAL;
		size = sizeof(struct luo_abi_fd);
		break;
	case LUO_ABI_RETRIEVE_FD:
		if (!s->incoming)
			return -EINVAL;
		size = sizeof(struct luo_abi_fd);
		break;
	case LUO_ABI_FINISH:
		if (!s->incoming)
			return -EINVAL;
		size = sizeof(struct luo_abi_finish);
		break;
	case LUO_ABI_GET_NAME:
		if (fake.get_name_error)
			return -fake.get_name_error;
		size = sizeof(struct luo_abi_get_name);
		break;
	default:
		return _IOC_NR(request) >= _IOC_NR(LUO_ABI_PRESERVE_FD) &&
				       _IOC_NR(request) <= _IOC_NR(LUO_ABI_GET_NAME)
			       ? -ENOTTY
			       : -EINVAL;
	}
	r = check_size(argument, size);
	if (r < 0)
		return r;
	if (request == LUO_ABI_PRESERVE_FD)
		return do_preserve_fd(s, argument);
	if (request == LUO_ABI_RETRIEVE_FD)
		return do_retrieve_fd(s, argument);
	return request == LUO_ABI_FINISH ? do_finish(s, argument) : do_get_name(s, argument);
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
	struct fake_session *s;

	settle();
	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	if (is_device_fd(fd))
		return device_ioctl(request, argument);
	s = session_of_fd(fd);
	if (!s)
		return -ENOTTY;
	return session_ioctl(s, request, argument);
}

/* /proc */

static int real_link(int fd, char *buffer, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buffer, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buffer[n] = '\0';
	return 0;
}

static int fake_link_of(int fd, char *buffer, size_t size)
{
	struct fake_session *s;
	int r;

	settle();
	s = session_of_fd(fd);
	if (s) {
		snprintf(buffer, size, "anon_inode:[luo_session] %s", s->name);
		return 0;
	}
	if (is_device_fd(fd)) {
		snprintf(buffer, size, "/dev/liveupdate");
		return 0;
	}
	r = real_link(fd, buffer, size);
	if (r == 0 && streq(buffer, "/memfd:" RESTORED_NAME " (deleted)"))
		snprintf(buffer, size, "/ (deleted)");
	return r;
}

static bool fake_is_device(int fd_dir, const char *name)
{
	struct stat st;

	settle();
	return fake.device_kept >= 0 && fstatat(fd_dir, name, &st, 0) == 0 &&
	       S_ISSOCK(st.st_mode) && st.st_ino == fake.device_inode;
}

static enum luo_support fake_support(void)
{
	return fake.support;
}

/* The kexec */

static int new_unnamed_memfd(void)
{
	int fd = memfd_create(RESTORED_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create(RESTORED_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		fatal("fake-luo: memfd");
	return fd;
}

/*
 * Content as it is now, size and seals as they were at the preserve, offset as it is now. A file
 * with an executable mode that is sealed against exec changes becomes write-sealed, and every
 * memfd is born executable: that is the kernel's bug.
 */
static void restore_content(const struct fake_file *f, int fd)
{
	unsigned seals = f->seals;
	off_t offset = lseek(f->fd, 0, SEEK_CUR);

	if (luo_memfd_copy(f->fd, fd) < 0 || ftruncate(fd, (off_t)f->size) < 0)
		fatal("fake-luo: copying at kexec");
	if (f->size > 0 && fallocate(fd, 0, 0, (off_t)f->size) < 0)
		fatal("fake-luo: filling holes");
	if (lseek(fd, offset, SEEK_SET) < 0)
		fatal("fake-luo: offset");
	if (seals & F_SEAL_EXEC)
		seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	/* A kernel without F_SEAL_EXEC cannot have handed us one. */
	if (seals && fcntl(fd, F_ADD_SEALS, seals) < 0)
		fatal("fake-luo: seals");
}

static void restore_file(struct fake_file *f)
{
	int fd = new_unnamed_memfd();
	struct stat st;

	restore_content(f, fd);
	safe_close(f->fd);
	f->fd = own_copy(fd);
	safe_close(fd);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		fatal("fake-luo: keeping a file");
	f->device = st.st_dev;
	f->inode = st.st_ino;
}

void fake_luo_kexec(void)
{
	settle();
	fake.device_kept = safe_close(fake.device_kept);
	for (size_t i = fake.n_sessions; i-- > 0;) {
		struct fake_session *s = fake.sessions[i];

		if (s->incoming) {
			session_remove(i);
			continue;
		}
		s->kept = safe_close(s->kept);
		s->incoming = true;
		for (size_t j = 0; j < s->n_files; j++)
			restore_file(&s->files[j]);
	}
}

/* Control */

static const struct luo_kernel fake_kernel = {
	.open_device = do_open,
	.ioctl = fake_ioctl,
	.link_of = fake_link_of,
	.support = fake_support,
	.is_device = fake_is_device,
};

void fake_luo_reset(void)
{
	while (fake.n_sessions > 0)
		session_remove(fake.n_sessions - 1);
	free(fake.sessions);
	safe_close(fake.device_kept);
	memset(&fake, 0, sizeof(fake));
	fake.support = LUO_SUPPORT_ON;
	fake.device_kept = -EBADF;
}

/* Each preserved file costs us an fd: as many as we may have. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 4 * OWN_FDS_AT)
		return;
	limit.rlim_cur = MIN2(limit.rlim_max, (rlim_t)4 * OWN_FDS_AT);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void fake_luo_install(void)
{
	fake_luo_reset();
	raise_fd_limit();
	(void)luo_kernel_set(&fake_kernel);
}

void fake_luo_uninstall(void)
{
	fake_luo_reset();
	(void)luo_kernel_set(NULL);
}

void fake_luo_set_support(enum luo_support support)
{
	fake.support = support;
}

void fake_luo_set_unreadable(bool unreadable)
{
	fake.unreadable = unreadable;
}

void fake_luo_set_file_limit(size_t limit)
{
	fake.file_limit = limit;
}

void fake_luo_set_get_name_error(int error)
{
	fake.get_name_error = error;
}

static void count_files(const struct fake_session *s, struct fake_luo_stats *stats)
{
	stats->files += s->n_files;
	for (size_t i = 0; i < s->n_files; i++) {
		const struct fake_file *f = &s->files[i];

		stats->fds += f->fd >= 0;
		if (f->fd >= 0 && f->status == 0)
			stats->bytes += f->size;
	}
}

void fake_luo_stats(struct fake_luo_stats *ret)
{
	struct fake_luo_stats stats = {};

	settle();
	stats.device_open = fake.device_kept >= 0;
	stats.fds = stats.device_open;
	memcpy(stats.calls, fake.calls, sizeof(stats.calls));
	for (size_t i = 0; i < fake.n_sessions; i++) {
		const struct fake_session *s = fake.sessions[i];

		stats.outgoing += !s->incoming;
		stats.incoming += s->incoming;
		stats.retrieved += s->retrieved;
		stats.fds += s->kept >= 0;
		count_files(s, &stats);
	}
	*ret = stats;
}

bool fake_luo_has_session(const char *name, bool incoming, size_t *ret_files)
{
	struct fake_session *s;

	settle();
	s = session_by_name(name, incoming);
	if (s && ret_files)
		*ret_files = s->n_files;
	return s;
}
