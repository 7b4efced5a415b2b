/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/*
 * One line to stderr for each event. Under the journal the line starts with the level as "<N>",
 * elsewhere with the level as a word. Whatever the line contains, it stays one line of printable
 * text: other processes chose much of it.
 */

#include <stdint.h>
#include <syslog.h>

#include "common/util.h"

/* Reads $JOURNAL_STREAM. @program: the start of every line */
void log_setup(const char *program, int level);
/* "error", "warning", "notice", "info", "debug"; -EINVAL. */
int log_level_parse(const char *text);
const char *log_level_name(int level);
void log_full(int level, const char *format, ...) _printf_(2, 3);

/* Lets @burst lines through in @interval_usec, and then reports how many more there were. */
struct log_limit {
	uint64_t interval_usec;
	unsigned burst;
	uint64_t begin;
	unsigned n, swallowed;
};
bool log_limit_check(struct log_limit *limit);

#define log_error(...)   log_full(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_full(LOG_DEBUG, __VA_ARGS__)

/* For messages that another process can cause as often as it wants. */
#define log_limited(level, ...)                                                      \
	do {                                                                         \
		static struct log_limit _limit = { 10 * USEC_PER_SEC, 20, 0, 0, 0 }; \
		if (log_limit_check(&_limit))                                        \
			log_full(level, __VA_ARGS__);                                \
	} while (0)

#endif
