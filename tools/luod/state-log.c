/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/state-log.h"

#include <json-c/json_tokener.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/read-file.h"
#include "common/util.h"
#include "tools/luod/state.h"

#define SUM_SIZE  9 /* eight digits and a blank */
#define DEPTH_MAX 16

/* CRC-32 as in zip and Ethernet. */
uint32_t state_log_crc(const void *data, size_t size)
{
	static uint32_t table[256];
	const uint8_t *p = data;
	uint32_t crc = UINT32_MAX;

	if (table[1] == 0)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int k = 0; k < 8; k++)
				c = c & 1 ? UINT32_C(0xedb88320) ^ (c >> 1) : c >> 1;
			table[i] = c;
		}
	while (size-- > 0)
		crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

int state_log_create(struct state_log *ret)
{
	int fd = memfd_create("luod-state", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = (struct state_log){ .fd = fd };
	return 0;
}

void state_log_close(struct state_log *log)
{
	log->fd = safe_close(log->fd);
	log->end = 0;
}

int state_log_append(struct state_log *log, const char *json, size_t size)
{
	_cleanup_free_ char *line = NULL;
	size_t length = SUM_SIZE + size + 1, done = 0;

	if (size > STATE_LOG_RECORD_MAX)
		return -EMSGSIZE;
	if (log->end + length > STATE_LOG_SIZE_MAX)
		return -EFBIG;
	line = malloc(length + 1);
	if (!line)
		return -ENOMEM;
	snprintf(line, SUM_SIZE + 1, "%08x ", state_log_crc(json, size));
	memcpy(line + SUM_SIZE, json, size);
	line[length - 1] = '\n';

	while (done < length) {
		ssize_t n = pwrite(log->fd, line + done, length - done, (off_t)(log->end + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int r = n < 0 ? -errno : -EIO;

			/* A reader would see the part as an unfinished record. */
			ignore_result(ftruncate(log->fd, (off_t)log->end));
			return r;
		}
		done += (size_t)n;
	}
	log->end += length;
	return 0;
}

static bool hex_value(const char *s, uint32_t *ret)
{
	uint32_t n = 0;

	for (int i = 0; i < 8; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			n = n << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = n;
	return true;
}

/* The record in one line without its line break; NULL if it is invalid. */
static struct json_object *parse_line(struct json_tokener *tokener, const char *line, size_t size)
{
	struct json_object *record;
	uint32_t sum;

	if (size <= SUM_SIZE || size > SUM_SIZE + STATE_LOG_RECORD_MAX || line[8] != ' ' ||
	    !hex_value(line, &sum) || state_log_crc(line + SUM_SIZE, size - SUM_SIZE) != sum)
		return NULL;
	json_tokener_reset(tokener);
	record = json_tokener_parse_ex(tokener, line + SUM_SIZE, (int)(size - SUM_SIZE));
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != size - SUM_SIZE ||
	    !json_object_is_type(record, json_type_object)) {
		json_object_put(record);
		return NULL;
	}
	return record;
}

static int parse_lines(struct json_tokener *tokener, const char *data, size_t size,
		       state_log_fn callback, void *userdata, struct state_log_report *report)
{
	size_t at = 0;

	while (at < size) {
		const char *end = memchr(data + at, '\n', size - at);
		struct json_object *record;
		int r;

		if (!end)
			break;
		record = parse_line(tokener, data + at, (size_t)(end - (data + at)));
		at = (size_t)(end - data) + 1;
		report->end = at;
		/* The line break is written last: a line that has one is complete. */
		if (!record) {
			report->damaged++;
			continue;
		}
		report->records++;
		r = callback(record, userdata);
		json_object_put(record);
		if (r < 0)
			return r;
	}
	report->cut = size - report->end;
	return 0;
}

int state_log_parse(const char *data, size_t size, state_log_fn callback, void *userdata,
		    struct state_log_report *ret)
{
	struct state_log_report report = { 0 };
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	int r;

	if (!tokener)
		return -ENOMEM;
	/* Not JSON_TOKENER_STRICT: see common/json-scan.c. The sum says that luod wrote the line.
	 */
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	r = parse_lines(tokener, data, size, callback, userdata, &report);
	json_tokener_free(tokener);
	*ret = report;
	return r;
}

int state_log_open(int fd, state_log_fn callback, void *userdata, struct state_log *ret_log,
		   struct state_log_report *ret)
{
	_cleanup_free_ char *data = NULL;
	struct state_log_report report;
	size_t size = 0;
	int r;

	r = read_file_fd(fd, STATE_LOG_SIZE_MAX, &data, &size);
	if (r < 0)
		return r;
	r = state_log_parse(data, size, callback, userdata, &report);
	if (r < 0)
		return r;
	if (report.cut > 0 && ftruncate(fd, (off_t)report.end) < 0)
		return -errno;
	*ret_log = (struct state_log){ .fd = fd, .end = report.end };
	*ret = report;
	return 0;
}
