/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The parser of luo.conf. The format is the part of systemd's configuration format that a few
 * settings need: sections, NAME=VALUE, comments that start with # or ;. Continued lines and
 * drop-ins are not supported.
 */

#include "shutdown-hook/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/read-file.h"
#include "common/util.h"

/* systemd-shutdown waits at most 90 s for the programs that it runs. */
#define TIME_MAX_USEC (80 * USEC_PER_SEC)
#define TIME_MIN_USEC (100 * USEC_PER_MSEC)

void config_defaults(struct config *ret)
{
	*ret = (struct config){
		.deadline_usec = 30 * USEC_PER_SEC,
		.harvest_timeout_usec = 10 * USEC_PER_SEC,
		.on_failure = ON_FAILURE_CONTINUE,
	};
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Moves *p behind the unit of time. No unit means seconds. Returns 0 if the unit is unknown. */
static uint64_t take_unit(const char **p)
{
	static const struct {
		const char *name;
		uint64_t usec;
	} units[] = {
		{ "us", 1 },
		{ "ms", USEC_PER_MSEC },
		{ "s", USEC_PER_SEC },
		{ "sec", USEC_PER_SEC },
		{ "m", 60 * USEC_PER_SEC },
		{ "min", 60 * USEC_PER_SEC },
		{ "h", 3600 * USEC_PER_SEC },
	};
	size_t n = 0;

	while (isalpha((unsigned char)(*p)[n]))
		n++;
	if (n == 0)
		return USEC_PER_SEC;
	for (size_t i = 0; i < ELEMENTSOF(units); i++)
		if (strlen(units[i].name) == n && strncmp(*p, units[i].name, n) == 0) {
			*p += n;
			return units[i].usec;
		}
	return 0;
}

int config_parse_time(const char *text, uint64_t *ret_usec)
{
	uint64_t sum = 0;
	const char *p = text;

	if (!*p)
		return -EINVAL;
	while (*p) {
		uint64_t number = 0, part, unit;

		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		for (; isdigit((unsigned char)*p); p++)
			if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
			    __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
				return -ERANGE;
		while (*p == ' ')
			p++;
		unit = take_unit(&p);
		if (unit == 0)
			return -EINVAL;
		if (__builtin_mul_overflow(number, unit, &part) ||
		    __builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
		while (*p == ' ')
			p++;
	}
	*ret_usec = sum;
	return 0;
}

static const char *set_time(const char *value, uint64_t *ret)
{
	uint64_t usec;
	int r = config_parse_time(value, &usec);

	if (r == -EINVAL)
		return "is not a time span such as 30s, 500ms or 1min";
	if (r < 0 || usec > TIME_MAX_USEC)
		return "is longer than the maximum of 80s";
	/* 0 often means "no limit", but a shutdown must end. */
	if (usec < TIME_MIN_USEC)
		return "is shorter than the minimum of 100ms";
	*ret = usec;
	return NULL;
}

static const char *set_deadline(struct config *c, const char *value)
{
	return set_time(value, &c->deadline_usec);
}

static const char *set_harvest_timeout(struct config *c, const char *value)
{
	return set_time(value, &c->harvest_timeout_usec);
}

static const char *set_on_failure(struct config *c, const char *value)
{
	if (streq(value, "continue"))
		c->on_failure = ON_FAILURE_CONTINUE;
	else if (streq(value, "reboot"))
		c->on_failure = ON_FAILURE_REBOOT;
	else
		return "is neither \"continue\" nor \"reboot\"";
	return NULL;
}

static const struct {
	const char *name;
	const char *(*set)(struct config *c, const char *value); /* returns the error, or NULL */
} settings[] = {
	{ "Deadline", set_deadline },
	{ "HarvestTimeout", set_harvest_timeout },
	{ "OnFailure", set_on_failure },
};

/* ---- lines ----------------------------------------------------------------------------------- */

/* More lines would scroll important ones off the console. */
#define WARNINGS_MAX 8

struct parser {
	const char *path;
	unsigned line;
	enum { SECTION_NONE, SECTION_SHUTDOWN, SECTION_OTHER } section;
	config_warn_fn warn;
	void *userdata;
	unsigned n_warnings;
	struct config *config;
};

static void _printf_(2, 3) warn_line(struct parser *p, const char *format, ...)
{
	char text[256], full[512];
	va_list ap;

	if (!p->warn || p->n_warnings++ >= WARNINGS_MAX)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* The text goes to a console: only printable ASCII. */
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (p->line > 0)
		snprintf(full, sizeof(full), "%s:%u: %s", p->path, p->line, text);
	else
		snprintf(full, sizeof(full), "%s: %s", p->path, text);
	p->warn(full, p->userdata);
}

static char *strip(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

static void parse_section(struct parser *p, const char *line)
{
	if (streq(line, "[Shutdown]")) {
		p->section = SECTION_SHUTDOWN;
		return;
	}
	p->section = SECTION_OTHER;
	warn_line(p, "unknown section %.60s, ignoring its settings", line);
}

static void parse_setting(struct parser *p, char *line)
{
	char *value = strchr(line, '=');
	const char *name, *wrong;

	if (p->section == SECTION_OTHER)
		return;
	if (!value) {
		warn_line(p, "expected [SECTION] or NAME=VALUE, ignoring");
		return;
	}
	*value++ = 0;
	name = strip(line);
	value = strip(value);
	if (p->section == SECTION_NONE) {
		warn_line(p, "%.60s= is not in a section, ignoring", name);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
		if (!streq(settings[i].name, name))
			continue;
		wrong = settings[i].set(p->config, value);
		if (wrong)
			warn_line(p, "%s=%.60s %s, ignoring", name, value, wrong);
		return;
	}
	warn_line(p, "unknown setting %.60s=, ignoring", name);
}

static void parse_line(struct parser *p, char *line)
{
	line = strip(line);
	if (!*line || *line == '#' || *line == ';')
		return;
	if (*line == '[')
		parse_section(p, line);
	else
		parse_setting(p, line);
}

void config_parse(const char *path, const char *text, size_t size, config_warn_fn warn,
		  void *userdata, struct config *ret)
{
	_cleanup_free_ char *line = NULL;
	struct parser p = { .path = path, .warn = warn, .userdata = userdata, .config = ret };

	config_defaults(ret);
	if (size > LUO_CONFIG_SIZE_MAX) {
		warn_line(&p, "larger than %zu KiB, ignoring the whole file",
			  LUO_CONFIG_SIZE_MAX >> 10);
		return;
	}
	line = malloc(size + 1);
	if (!line)
		return;
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;

		p.line++;
		memcpy(line, text, n);
		line[n] = 0;
		if (memchr(line, 0, n))
			warn_line(&p, "contains a NUL byte, ignoring");
		else
			parse_line(&p, line);
		n += end != NULL;
		text += n;
		size -= n;
	}
}

/* ---- the file -------------------------------------------------------------------------------- */

void config_load(const char *path, config_warn_fn warn, void *userdata, struct config *ret)
{
	_cleanup_free_ char *text = NULL;
	struct parser p = { .path = path, .warn = warn, .userdata = userdata };
	size_t size = 0;
	int r;

	config_defaults(ret);
	r = read_file(path, LUO_CONFIG_SIZE_MAX, &text, &size);
	if (r == -ENOENT || r == -ENOTDIR)
		return;
	if (r < 0) {
		warn_line(&p, "cannot read the file, ignoring it: %s", strerror(-r));
		return;
	}
	config_parse(path, text, size, warn, userdata, ret);
}
