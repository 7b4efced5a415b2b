/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* store: put the content of a file into memory that a unit is given at its next start. */

#include <fcntl.h>
#include <stdio.h>

#include <luo/memfd.h>

#include "tools/luoctl/entries.h"
#include "common/json.h"
#include "common/util.h"

static int append_all(int from, int to)
{
	char buffer[65536];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, m; done < n; done += m) {
			m = write(to, buffer + done, (size_t)(n - done));
			if (m < 0)
				return -errno;
		}
	if (n < 0)
		return -errno;
	/* The receiver starts to read at the beginning. */
	return lseek(to, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* A file on stdin of which the beginning was read already: store the rest. */
static int make_from_rest(const struct luo_memfd_options *options, int from, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = luo_memfd_create(options, &fd);
	if (r == 0)
		r = append_all(from, fd);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

static int make(const char *name, const char *path, int *ret_fd)
{
	const struct luo_memfd_options options = {
		.struct_size = sizeof(options),
		.name = strlen(name) <= 249 ? name : NULL,
		.flags = LUO_MEMFD_ALLOW_SEALING,
	};
	_cleanup_close_ int opened = -EBADF, fd = -EBADF;
	int from = STDIN_FILENO, r;

	if (!streq(path, "-")) {
		opened = from = open(path, O_RDONLY | O_CLOEXEC);
		if (from < 0) {
			complain("cannot open %s: %m", path);
			return LUOCTL_FAILED;
		}
	}
	r = lseek(from, 0, SEEK_CUR) > 0 ? make_from_rest(&options, from, &fd)
					 : luo_memfd_new_from_fd(&options, from, 0, &fd);
	if (r < 0) {
		complain("cannot copy %s into memory: %s", path, strerror(-r));
		return LUOCTL_FAILED;
	}
	*ret_fd = TAKE_FD(fd);
	return LUOCTL_OK;
}

static int store(struct context *c, const char *unit, const char *name, int fd)
{
	_cleanup_json_ struct json_object *parameters = json_strings("unit", unit, NULL);
	struct json_object *names = json_object_new_array();
	_cleanup_free_ char *reply = NULL;
	const char *text;
	int r;

	json_append_string(names, name);
	json_add(parameters, "names", names);
	text = json_to_text(parameters);
	if (!text) {
		complain("cannot store: out of memory");
		return LUOCTL_FAILED;
	}
	r = connect_to_luod(c);
	if (r != LUOCTL_OK)
		return r;
	r = luo_client_call(c->client, "Store", text, &fd, 1, &reply, NULL, NULL);
	if (r < 0)
		return explain(c, "store", r);
	if (c->json)
		puts(reply);
	return LUOCTL_OK;
}

int verb_store(struct context *c, int argc, char **argv)
{
	_cleanup_close_ int fd = -EBADF;
	const char *unit, *name;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 2, 3))
		return LUOCTL_USAGE;
	unit = argv[optind];
	name = argv[optind + 1];
	if (!unit_is_valid(c, unit) || !name_is_valid(c, name))
		return LUOCTL_USAGE;
	r = make(name, argc - optind > 2 ? argv[optind + 2] : "-", &fd);
	return r != LUOCTL_OK ? r : store(c, unit, name, fd);
}
