/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/die.h"
#include "bench/files.h"

#define CHUNK ((size_t)1 << 20)

void files_raise_limit(void)
{
	struct rlimit limit = { .rlim_cur = 200000, .rlim_max = 200000 };

	must_errno(setrlimit(RLIMIT_NOFILE, &limit));
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = must_errno(write(fd, data, size));

		data += n;
		size -= (size_t)n;
	}
}

struct files files_none(size_t n, uint64_t bytes)
{
	struct files files = { .n = n, .bytes = bytes };

	files.fds = malloc(n * sizeof(*files.fds));
	if (!files.fds)
		die(-ENOMEM, "%zu files", n);
	for (size_t i = 0; i < n; i++)
		files.fds[i] = -1;
	return files;
}

struct files files_make(size_t n, uint64_t bytes, uint64_t first_number)
{
	struct files files = files_none(n, bytes);
	char *chunk = malloc(CHUNK);

	if (!chunk)
		die(-ENOMEM, "%zu files", n);
	memset(chunk, 'x', CHUNK);
	for (size_t i = 0; i < n; i++) {
		uint64_t left = bytes, number = first_number + i;

		files.fds[i] = must_errno(memfd_create("bench", MFD_CLOEXEC));
		memcpy(chunk, &number, sizeof(number));
		for (; left > 0; left -= left < CHUNK ? left : CHUNK) {
			write_all(files.fds[i], chunk, left < CHUNK ? left : CHUNK);
			memset(chunk, 'x', sizeof(number));
		}
	}
	free(chunk);
	return files;
}

void files_close(struct files *files)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->fds[i] >= 0) {
			close(files->fds[i]);
			files->fds[i] = -1;
		}
}

void files_free(struct files *files)
{
	files_close(files);
	free(files->fds);
	*files = (struct files){};
}

void files_check(int fd, uint64_t number, uint64_t bytes)
{
	uint64_t found = 0;
	struct stat st;
	char last = 0;

	must_errno(fstat(fd, &st));
	if ((uint64_t)st.st_size != bytes)
		die(-EBADMSG, "file %llu has a size of %lld", (unsigned long long)number,
		    (long long)st.st_size);
	must_errno(pread(fd, &found, sizeof(found), 0));
	must_errno(pread(fd, &last, 1, (off_t)bytes - 1));
	if (found != number || last != 'x')
		die(-EBADMSG, "file %llu has come back with another content",
		    (unsigned long long)number);
}

struct luo_store *files_to_store(const struct files *files)
{
	struct luo_unit *unit = NULL;
	struct luo_store *store;
	char name[64];
	int fd;

	must(luo_store_new(&store));
	for (size_t i = 0; i < files->n; i++) {
		if (i % FILES_PER_UNIT == 0) {
			snprintf(name, sizeof(name), "unit-%zu.service", i / FILES_PER_UNIT);
			must(luo_store_add_unit(store, name, NULL, &unit));
		}
		snprintf(name, sizeof(name), "file-%zu", i);
		fd = must_errno(fcntl(files->fds[i], F_DUPFD_CLOEXEC, 3));
		must(luo_unit_add_fd(unit, name, fd, NULL));
	}
	return store;
}
