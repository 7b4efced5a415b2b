/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_UTIL_H
#define COMMON_UTIL_H

/* Ownership helpers used by every part of the tree; header only. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((__cleanup__(f)))
#define _public_       __attribute__((__visibility__("default")))
#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _unused_       __attribute__((__unused__))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN2(a, b)    ((a) < (b) ? (a) : (b))
#define MAX2(a, b)    ((a) > (b) ? (a) : (b))

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)

/* Moves a pointer or fd out of a variable that would otherwise be cleaned up. */
#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) *_pp = &(p); \
		__typeof__(p) _v = *_pp;   \
		*_pp = NULL;               \
		_v;                        \
	})
#define TAKE_FD(fd)               \
	({                        \
		int *_pf = &(fd); \
		int _f = *_pf;    \
		*_pf = -EBADF;    \
		_f;               \
	})

/* A result that is ignored on purpose. gcc -D_FORTIFY_SOURCE=3 warns in spite of (void). */
static inline void ignore_result(int r)
{
}

/* Closes without touching errno; always gives -EBADF back: fd = safe_close(fd). */
static inline int safe_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -EBADF;
}

static inline void safe_closep(int *fd)
{
	*fd = safe_close(*fd);
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(safe_closep)
#define _cleanup_free_  _cleanup_(freep)

static inline void close_many(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		safe_close(fds[i]);
}

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool startswith(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The noun for a count: "1 fd", "2 fds", "0 fds". */
static inline const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/* The unit in which the kernel maps and charges memory: 4 KiB on x86-64, up to 64 KiB elsewhere. */
static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static inline uint64_t now_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / NSEC_PER_USEC;
}

#endif
