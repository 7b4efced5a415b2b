/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include <luo/memfd.h>

#include "tools/luoctl/entries.h"
#include "common/format.h"
#include "common/json.h"
#include "tools/luoctl/text.h"
#include "common/util.h"

#define CHUNK ((size_t)64 << 10)

typedef int (*chunk_fn)(const char *data, size_t size, void *userdata);

/* With pread: the file is the unit's as well, and its position is not ours to move. */
static int for_each_chunk(int fd, chunk_fn callback, void *userdata)
{
	_cleanup_free_ char *buffer = malloc(CHUNK);
	off_t at = 0;
	ssize_t n;
	int r;

	if (!buffer)
		return -ENOMEM;
	while ((n = pread(fd, buffer, CHUNK, at)) > 0) {
		r = callback(buffer, (size_t)n, userdata);
		if (r != 0)
			return r;
		at += n;
	}
	return n < 0 ? -errno : 0;
}

static int is_binary(const char *data, size_t size, void *userdata)
{
	return text_is_safe(data, size) ? 0 : 1;
}

static int write_out(const char *data, size_t size, void *userdata)
{
	return fwrite(data, 1, size, stdout) == size ? 0 : -EIO;
}

static int dump_to_stdout(int fd)
{
	int r;

	if (isatty(STDOUT_FILENO)) {
		r = for_each_chunk(fd, is_binary, NULL);
		if (r > 0) {
			complain(
				"the content is binary, and a terminal would obey it; write it to a file with --to FILE");
			return LUOCTL_FAILED;
		}
	}
	r = for_each_chunk(fd, write_out, NULL);
	if (r < 0)
		complain("cannot dump the content: %s", strerror(-r));
	return r < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

/* Holes stay holes. */
static int dump_to_file(const struct context *c, int fd, uint64_t bytes, const char *path)
{
	_cleanup_json_ struct json_object *report = NULL;
	_cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = to < 0 ? -errno : luo_memfd_copy(fd, to);

	if (r < 0) {
		complain("cannot write %s: %s", path, strerror(-r));
		return LUOCTL_FAILED;
	}
	if (c->json) {
		report = json_strings("file", path, NULL);
		json_add(report, "bytes", json_object_new_int64((int64_t)bytes));
		json_print(report);
	}
	return LUOCTL_OK;
}

static int append(const char *data, size_t size, void *userdata)
{
	return fwrite(data, 1, size, userdata) == size ? 0 : -ENOMEM;
}

static int dump_as_json(int fd, const char *unit, const char *name)
{
	_cleanup_json_ struct json_object *report = json_strings("unit", unit, "name", name, NULL);
	_cleanup_free_ char *content = NULL, *encoded = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&content, &size);
	int r;

	if (!f)
		return -ENOMEM;
	r = for_each_chunk(fd, append, f);
	if (fclose(f) != 0)
		r = -ENOMEM;
	if (r < 0)
		return r;
	encoded = text_base64(content, size);
	if (!encoded)
		return -ENOMEM;
	json_add(report, "bytes", json_object_new_int64((int64_t)size));
	json_add_string(report, "base64", encoded);
	json_print(report);
	return 0;
}

static int dump(struct context *c, const char *unit, const char *name, size_t nth, const char *to)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	r = open_entry(c, unit, name, nth, &fd);
	if (r != LUOCTL_OK)
		return r;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		complain("\"%s\" of unit %s is not memory, it has no content to dump", name, unit);
		return LUOCTL_FAILED;
	}
	if (to)
		return dump_to_file(c, fd, (uint64_t)st.st_size, to);
	if (!c->json)
		return dump_to_stdout(fd);
	r = dump_as_json(fd, unit, name);
	if (r < 0)
		complain("cannot dump the content: %s", strerror(-r));
	return r < 0 ? LUOCTL_FAILED : LUOCTL_OK;
}

int verb_dump(struct context *c, int argc, char **argv)
{
	enum { NTH = OPTION_VERB, TO };
	static const struct option options[] = {
		{ "nth", required_argument, NULL, NTH },
		{ "to", required_argument, NULL, TO },
		{ 0 },
	};
	const char *to = NULL;
	uint64_t nth = 0;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		if (option == TO)
			to = optarg;
		else if (!parse_number("nth", optarg, INT32_MAX, &nth))
			return LUOCTL_USAGE;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 2, 2) || !unit_is_valid(c, argv[optind]) ||
	    !name_is_valid(c, argv[optind + 1]))
		return LUOCTL_USAGE;
	return dump(c, argv[optind], argv[optind + 1], nth, to);
}
