/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

/*
 * What libluo relies on in the kernel, as tests that run unchanged on the real device and on the
 * fake: so that the fake is held to the truth, and a new kernel to the old one.
 *
 * The part before the kexec leaves sessions open in this process; somebody has to keep them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tests/conformance/tap.h"

/* Each returns how many tests failed. @is_fake: skip what a fake cannot do, and say so. */
int conformance_before(bool is_fake);
int conformance_after(bool is_fake);

/* Closes what conformance_before() left open. */
void conformance_release(void);

/* Shared by the two parts */

extern bool conformance_on_fake;

#define SESSION_FILES   "luo-conformance-files"
#define SESSION_SEALS   "luo-conformance-seals"
#define SESSION_NOEXEC  "luo-conformance-noexec"
#define SESSION_SHARED  "luo-conformance-shared-anonymous"
#define SESSION_TMPFS   "luo-conformance-tmpfs"
#define SESSION_FINISH  "luo-conformance-finish"
#define SESSION_CLOSE   "luo-conformance-close"
#define SESSION_COPY    "luo-conformance-copy"
#define SESSION_MANY    "luo-conformance-many"
#define SESSION_EMPTY   "luo-conformance-empty"
#define SESSION_DROPPED "luo-conformance-dropped"
#define SESSION_LONGEST "luo-conformance-a-name-of-63-bytes-which-is-the-longest-allowed"

#define MANY_FILES 200 /* more than 128, the most before kernel 7.2 */

/* Tokens of SESSION_FILES */
enum {
	FILE_ZERO = 0,
	FILE_PLAIN,
	FILE_EMPTY,
	FILE_SPARSE,
	FILE_READ_ONLY,
	FILE_APPEND,
	FILE_WRITTEN_LATER,
	FILE_MOVED_LATER,
	FILE_OWNED,
};

/* Tokens of SESSION_SEALS */
enum {
	SEALS_NONE,
	SEALS_SEAL, /* made without MFD_ALLOW_SEALING */
	SEALS_ALL,
	SEALS_LATE,
};

#define PLAIN_SIZE   (3 * 4096 + 100)
#define PLAIN_OFFSET 1234
#define SPARSE_SIZE  (1024 * 1024)
#define SPARSE_AT    (512 * 1024)

/* A memfd as services make it; or -errno. */
int plain_memfd(const char *name, unsigned flags);

/* A memfd that can be sealed, with a pattern of @size bytes that depends on @seed; or -errno. */
int make_memfd(const char *name, unsigned seed, uint64_t size);
int write_pattern(int fd, unsigned seed, uint64_t offset, uint64_t size);
bool has_pattern(int fd, unsigned seed, uint64_t offset, uint64_t size);
bool has_zeros(int fd, uint64_t offset, uint64_t size);

/* Each takes @fd, which may be a negative errno, and gives it or another negative errno back. */
int with_seals(int fd, unsigned seals);
int reopened(int original, int flags);

/* A directory on a tmpfs that can be written to, or NULL; a new file there, its path in @path. */
const char *tmpfs_directory(void);
int tmpfs_file(char *path, size_t size);

/* The file behind a shared anonymous mapping of one page, filled with a pattern; or -errno. */
int shared_anonymous(unsigned seed);

/* A session of that name, the device being open for that long only. */
int create_session(const char *name);
int retrieve_session(const char *name);

bool is_cloexec(int fd);

#endif
