/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <luo/memfd.h>
#include <luo/session.h>
#include "common/util.h"

#include "tests/conformance/conformance.h"

#define DEVICE_TIMEOUT (5 * USEC_PER_SEC)
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define TMPFS_TYPE 0x01021994
#define CHUNK      4096

bool conformance_on_fake;

static void fill(unsigned char *buffer, unsigned seed, uint64_t at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buffer[i] = (unsigned char)(seed * 31 + (at + i) * 7 + ((at + i) >> 8) + 1);
}

int write_pattern(int fd, unsigned seed, uint64_t offset, uint64_t size)
{
	unsigned char buffer[CHUNK];

	for (uint64_t done = 0; done < size;) {
		size_t n = (size_t)MIN2(size - done, (uint64_t)CHUNK);

		fill(buffer, seed, offset + done, n);
		if (pwrite(fd, buffer, n, (off_t)(offset + done)) != (ssize_t)n)
			return errno ? -errno : -EIO;
		done += n;
	}
	return 0;
}

bool has_pattern(int fd, unsigned seed, uint64_t offset, uint64_t size)
{
	unsigned char buffer[CHUNK], expected[CHUNK];

	for (uint64_t done = 0; done < size;) {
		size_t n = (size_t)MIN2(size - done, (uint64_t)CHUNK);

		fill(expected, seed, offset + done, n);
		if (pread(fd, buffer, n, (off_t)(offset + done)) != (ssize_t)n ||
		    memcmp(buffer, expected, n) != 0)
			return false;
		done += n;
	}
	return true;
}

bool has_zeros(int fd, uint64_t offset, uint64_t size)
{
	static const unsigned char zeros[CHUNK];
	unsigned char buffer[CHUNK];

	for (uint64_t done = 0; done < size;) {
		size_t n = (size_t)MIN2(size - done, (uint64_t)CHUNK);

		if (pread(fd, buffer, n, (off_t)(offset + done)) != (ssize_t)n ||
		    memcmp(buffer, zeros, n) != 0)
			return false;
		done += n;
	}
	return true;
}

/*
 * Mode 0777 and no exec seal, as memfd_create(2) always was, and as it is today unless sysctl
 * vm.memfd_noexec is 1 and the caller does not say otherwise.
 */
int plain_memfd(const char *name, unsigned flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC | flags);

	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

int make_memfd(const char *name, unsigned seed, uint64_t size)
{
	_cleanup_close_ int fd = plain_memfd(name, MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return fd;
	r = write_pattern(fd, seed, 0, size);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

static int session_by_name(const char *name, int (*get)(int, const char *, int *))
{
	_cleanup_close_ int device = -EBADF;
	int session, r;

	r = luo_device_open(DEVICE_TIMEOUT, &device);
	if (r < 0)
		return r;
	r = get(device, name, &session);
	return r < 0 ? r : session;
}

int create_session(const char *name)
{
	return session_by_name(name, luo_session_create);
}

int retrieve_session(const char *name)
{
	return session_by_name(name, luo_session_retrieve);
}

bool is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

int with_seals(int fd, unsigned seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : fd;
}

int reopened(int original, int flags)
{
	_cleanup_close_ int mine = original;
	int fd, r;

	r = luo_memfd_reopen(mine, flags, &fd);
	return r < 0 ? r : fd;
}

const char *tmpfs_directory(void)
{
	static const char *const candidates[] = { "/dev/shm", "/run", "/tmp" };
	struct statfs fs;

	for (size_t i = 0; i < ELEMENTSOF(candidates); i++)
		if (statfs(candidates[i], &fs) == 0 && (unsigned long)fs.f_type == TMPFS_TYPE &&
		    access(candidates[i], W_OK) == 0)
			return candidates[i];
	return NULL;
}

int tmpfs_file(char *path, size_t size)
{
	int fd;

	snprintf(path, size, "%s/luo-conformance-XXXXXX", tmpfs_directory());
	fd = mkostemp(path, O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int shared_anonymous(unsigned seed)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[96];
	int fd;

	if (p == MAP_FAILED)
		return -errno;
	p[0] = 0;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		(void)write_pattern(fd, seed, 0, size);
	munmap(p, size);
	return fd;
}
