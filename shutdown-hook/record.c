/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Creates, writes and reads the record of a harvest. See record.h for its format. */

#include "shutdown-hook/record.h"

#include <fcntl.h>
#include <json-c/json_tokener.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/util.h"

#define RECORD_SIZE_MAX ((size_t)4 << 20)

static struct json_object *string_or_null(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

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

	json_object_object_add(o, "version", json_object_new_int(1));
	record_set_number(o, "when", now_usec(CLOCK_REALTIME));
	json_object_object_add(o, "bootId", string_or_null(boot_id(buffer)));
	record_set_number(o, "entries", 0);
	record_set_number(o, "units", 0);
	json_object_object_add(o, "skipped", json_object_new_array());
	json_object_object_add(o, "problems", json_object_new_array());
	return o;
}

void record_set_number(struct json_object *o, const char *key, uint64_t number)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)number));
}

uint64_t record_number(struct json_object *o, const char *key)
{
	struct json_object *value;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	n = json_object_get_int64(value);
	return n < 0 ? 0 : (uint64_t)n;
}

void record_add_skipped(struct json_object *record, const char *unit, const char *name,
			const char *kind, const char *reason)
{
	struct json_object *list = json_object_object_get(record, "skipped");
	struct json_object *o;

	record_set_number(record, "skippedTotal", record_number(record, "skippedTotal") + 1);
	if (json_object_array_length(list) >= RECORD_SKIPPED_MAX)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "unit", json_object_new_string(unit));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "kind", json_object_new_string(kind));
	json_object_object_add(o, "reason", json_object_new_string(reason));
	json_object_array_add(list, o);
}

void record_add_problem(struct json_object *record, const char *text)
{
	json_object_array_add(json_object_object_get(record, "problems"),
			      json_object_new_string(text));
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
	const char *text = json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN);
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
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	struct stat st;
	ssize_t n;

	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -EBADF : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (size_t)st.st_size > RECORD_SIZE_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = pread(fd, text, (size_t)st.st_size, 0);
	if (n < 0)
		return -errno;
	text[n] = 0;
	o = json_tokener_parse(text);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EBADMSG;
	}
	*ret_record = o;
	return 0;
}
