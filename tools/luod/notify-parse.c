/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/notify-parse.h"

#include <stdio.h>

#include "common/json-writer.h"
#include "common/util.h"

#define STATUS_MAX 1024

/* The status goes to terminals and into JSON later. */
static bool status_is_valid(const char *s)
{
	if (strlen(s) > STATUS_MAX || !utf8_is_valid(s))
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool parse_pid(const char *s, pid_t *ret)
{
	unsigned long n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (unsigned long)(*s - '0');
		if (n > INT32_MAX)
			return false;
	}
	if (n == 0)
		return false;
	*ret = (pid_t)n;
	return true;
}

/* A key whose only valid value is 1. */
static bool take_flag(struct notify_message *m, const char *value, bool *flag)
{
	if (streq(value, "1"))
		*flag = true;
	else
		m->bad++;
	return true;
}

static bool is_key(const char *line, size_t n, const char *key)
{
	return strlen(key) == n && memcmp(line, key, n) == 0;
}

static bool parse_flag(struct notify_message *m, const char *line, size_t n, const char *value)
{
	if (is_key(line, n, "FDSTORE"))
		return take_flag(m, value, &m->fdstore);
	if (is_key(line, n, "FDSTOREREMOVE"))
		return take_flag(m, value, &m->fdstore_remove);
	if (is_key(line, n, "BARRIER"))
		return take_flag(m, value, &m->barrier);
	if (is_key(line, n, "READY"))
		return take_flag(m, value, &m->ready);
	if (is_key(line, n, "STOPPING"))
		return take_flag(m, value, &m->stopping);
	if (is_key(line, n, "RELOADING"))
		return take_flag(m, value, &m->reloading);
	return false;
}

static void parse_line(struct notify_message *m, const char *line)
{
	const char *value = strchr(line, '=');
	size_t n;

	if (!*line)
		return;
	if (!value) {
		m->bad++;
		return;
	}
	n = (size_t)(value++ - line);
	if (parse_flag(m, line, n, value))
		return;
	if (is_key(line, n, "FDNAME"))
		m->fdname = value;
	else if (is_key(line, n, "FDPOLL")) {
		if (streq(value, "0"))
			m->no_poll = true;
		else if (!streq(value, "1"))
			m->bad++;
	} else if (is_key(line, n, "STATUS")) {
		if (status_is_valid(value))
			m->status = value;
		else
			m->bad++;
	} else if (is_key(line, n, "MAINPID")) {
		if (!parse_pid(value, &m->mainpid))
			m->bad++;
	} else
		m->unknown++;
}

int notify_parse(char *text, size_t size, struct notify_message *ret)
{
	struct notify_message m = { 0 };

	if (size > NOTIFY_SIZE_MAX)
		return -EMSGSIZE;
	/* Some senders include the NUL at the end of the string. */
	if (size > 0 && text[size - 1] == 0)
		size--;
	if (memchr(text, 0, size))
		return -EBADMSG;
	text[size] = 0;

	for (char *line = text, *end; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = 0;
		parse_line(&m, line);
	}
	*ret = m;
	return 0;
}
