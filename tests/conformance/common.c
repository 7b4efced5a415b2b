/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/mman.h>

#include <luo/session.h>
#include <libluo/util.h>

#include "conformance.h"

#define DEVICE_TIMEOUT (5 * USEC_PER_SEC)
#define CHUNK	       4096

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

/* With memfd_create(2) as it is, mode 0777 and all, because that is what services do. */
int make_memfd(const char *name, unsigned seed, uint64_t size)
{
	_cleanup_close_
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_pattern(fd, seed, 0, size);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

static int session_by_name(const char *name, int (*get)(int, const char *, int *))
{
	_cleanup_close_
	int device = -EBADF;
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
