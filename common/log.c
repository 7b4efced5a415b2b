/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *log_program = "luod";
static int log_max = LOG_INFO;
static bool log_journal;

static bool stderr_is_journal(void)
{
	const char *e = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return e && sscanf(e, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

void log_setup(const char *program, int level)
{
	log_program = program;
	log_max = level;
	log_journal = stderr_is_journal();
}

static const char *const level_names[] = {
	[LOG_ERR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

int log_level_parse(const char *text)
{
	for (int i = 0; i < (int)ELEMENTSOF(level_names); i++)
		if (level_names[i] && streq(level_names[i], text))
			return i;
	return -EINVAL;
}

const char *log_level_name(int level)
{
	return level_names[level];
}

void log_full(int level, const char *format, ...)
{
	char line[2048];
	int saved = errno, n;
	va_list ap;

	if (level > log_max)
		return;
	if (log_journal)
		n = snprintf(line, sizeof(line), "<%d>", level);
	else if (level <= LOG_WARNING || level == LOG_DEBUG)
		n = snprintf(line, sizeof(line), "%s[%d]: %s: ", log_program, (int)getpid(),
			     level_names[level]);
	else
		n = snprintf(line, sizeof(line), "%s[%d]: ", log_program, (int)getpid());
	va_start(ap, format);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	n = MIN2(n, (int)sizeof(line) - 2);
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	/* One write, so that lines of luod and its supervisor do not mix. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0) {
		/* There is no other place to report it. */
	}
	errno = saved;
}

bool log_limit_check(struct log_limit *limit)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC);

	if (limit->begin == 0 || now - limit->begin >= limit->interval_usec) {
		if (limit->swallowed > 0)
			log_warning("%u similar %s not shown.", limit->swallowed,
				    plural(limit->swallowed, "message was", "messages were"));
		limit->begin = now;
		limit->n = limit->swallowed = 0;
	}
	if (limit->n >= limit->burst) {
		limit->swallowed++;
		return false;
	}
	limit->n++;
	return true;
}
