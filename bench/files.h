/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

/*
 * Memfds to preserve. Each begins with its number and is filled to the end, so that no hole is
 * filled while the clock runs, and so that what comes back can be told from what should.
 */

#include <stddef.h>
#include <stdint.h>

#include <luo/store.h>

/* How many files a unit of the benchmarks has: 10,000 files are 100 services. */
#define FILES_PER_UNIT 100

struct files {
	int *fds;
	size_t n;
	uint64_t bytes; /* of each */
};

/* Room for many more fds than a process has by default. */
void files_raise_limit(void);

struct files files_make(size_t n, uint64_t bytes, uint64_t first_number);
/* An array of n fds that are not there yet. */
struct files files_none(size_t n, uint64_t bytes);
void files_close(struct files *files);
void files_free(struct files *files);

/* That number i is what files_make() made it. */
void files_check(int fd, uint64_t number, uint64_t bytes);

/* "file-12", in "unit-0.service". The store takes duplicates: the files stay the caller's. */
struct luo_store *files_to_store(const struct files *files);

#endif
