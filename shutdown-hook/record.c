/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Creates, writes and reads the record of a harvest. See record.h for its format. */

#include "shutdown-hook/record.h"

#include <fcntl.h>
#include <json-c/json_tokener.h>
#include <stdio.h>

#include "common/json.h"
#include "common/read-file.h"
#include "common/util.h"

#define RECORD_SIZE_MAX ((size_t)4 << 20)

static char *boot_id(char buffer[64])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, 63);

	if (n <= 0)
		return NULL;
	buffer[n] = 0;
	buffer[strcspn(buffer, "\n")] = 0;
	return buffer;
}

struct json_object *record_new(void)
{
	struct json_object *o = json_object_new_object();
	char buffer[64];

	json_add_number(o, "version", 1);
	json_add_number(o, "when", now_usec(CLOCK_REALTIME));
	json_add_string(o, "bootId", boot_id(buffer));
	json_add_number(o, "entries", 0);
	json_add_number(o, "units", 0);
	json_add(o, "skipped", json_object_new_array());
	json_add(o, "problems", json_object_new_array());
	return o;
}

void record_add_skipped(struct json_object *record, const char *unit, const char *name,
			const char *kind, const char *reason)
{
	struct json_object *list = json_child(record, "skipped");

	json_add_number(record, "skippedTotal", json_number(record, "skippedTotal") + 1);
	if (json_length(list) >= RECORD_SKIPPED_MAX)
		return;
	json_append(list,
		    json_strings("unit", unit, "name", name, "kind", kind, "reason", reason, NULL));
}

void record_add_problem(struct json_object *record, const char *text)
{
	json_append_string(json_child(record, "problems"), text);
}

static int write_all(int fd, const char *text)
{
	size_t size = strlen(text);

	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

int record_write(struct json_object *record, const char *directory, const char *name)
{
	const char *text = json_to_text(record);
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	char temporary[64];
	int r;

	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	snprintf(temporary, sizeof(temporary), ".%.40s.new", name);
	(void)unlinkat(dir, temporary, 0);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = text ? write_all(fd, text) : -ENOMEM;
	if (r == 0 && renameat(dir, temporary, dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, temporary, 0);
	return r;
}

int record_read(const char *directory, const char *name, struct json_object **ret_record)
{
	_cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	size_t size;
	int r;

	if (dir < 0)
		return -errno;
	r = read_file_at(dir, name, RECORD_SIZE_MAX, &text, &size);
	if (r < 0)
		return r;
	o = json_tokener_parse(text);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EBADMSG;
	}
	*ret_record = o;
	return 0;
}
