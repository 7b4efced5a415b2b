/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/luoctl/luoctl.h"
#include "common/util.h"

enum {
	OPTION_JSON = 500,
	OPTION_NO_LEGEND,
	OPTION_SOCKET,
	OPTION_TIMEOUT,
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
};

static const struct option common[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
};

#define OWN_MAX 16

void complain(const char *format, ...)
{
	va_list ap;

	fputs("luoctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int point_to_help(const struct context *c)
{
	if (c->verb)
		fprintf(stderr, "Try 'luoctl help %s'.\n", c->verb->name);
	else
		fputs("Try 'luoctl help'.\n", stderr);
	return LUOCTL_USAGE;
}

int usage_error(const struct context *c, const char *format, ...)
{
	va_list ap;

	fputs("luoctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return point_to_help(c);
}

static int common_option(struct context *c, int value, int *ret_exit)
{
	uint64_t seconds;

	switch (value) {
	case OPTION_JSON:
		c->json = true;
		return 1;
	case OPTION_NO_LEGEND:
		c->legend = false;
		return 1;
	case OPTION_SOCKET:
		c->socket = optarg;
		return 1;
	case OPTION_TIMEOUT:
		if (!parse_number("timeout", optarg, UINT32_MAX, &seconds)) {
			*ret_exit = point_to_help(c);
			return 0;
		}
		c->timeout_usec = seconds ? seconds * USEC_PER_SEC : UINT64_MAX;
		return 1;
	case OPTION_VERSION:
		puts("luoctl " LUO_VERSION);
		*ret_exit = LUOCTL_OK;
		return 0;
	case OPTION_HELP:
		if (c->verb)
			print_verb_help(c->verb);
		else
			print_help();
		*ret_exit = LUOCTL_OK;
		return 0;
	default: /* getopt has said what is wrong */
		*ret_exit = point_to_help(c);
		return 0;
	}
}

static int next(struct context *c, int argc, char **argv, const char *flags,
		const struct option *own, int *ret_exit)
{
	struct option all[OWN_MAX + ELEMENTSOF(common) + 1] = { 0 };
	size_t n = 0;
	int value;

	for (; own && own->name && n < OWN_MAX; own++)
		all[n++] = *own;
	memcpy(&all[n], common, sizeof(common));
	do {
		value = getopt_long(argc, argv, flags, all, NULL);
		if (value == -1 || value >= OPTION_VERB)
			return value;
	} while (common_option(c, value, ret_exit));
	return -2;
}

int next_option(struct context *c, int argc, char **argv, const struct option *own, int *ret_exit)
{
	return next(c, argc, argv, "hV", own, ret_exit);
}

int global_options(struct context *c, int argc, char **argv, int *ret_exit)
{
	return next(c, argc, argv, "+hV", NULL, ret_exit);
}

bool count_arguments(const struct context *c, int argc, int min, int max)
{
	int n = argc - optind;

	if (n >= min && n <= max)
		return true;
	if (n < min)
		usage_error(c, "%s: an argument is missing: luoctl %s %s", c->verb->name,
			    c->verb->name, c->verb->arguments);
	else
		usage_error(c, "%s: too many arguments", c->verb->name);
	return false;
}

bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n > max) {
		complain("--%s takes a number from 0 to %" PRIu64 ", not '%s'", option, max, text);
		return false;
	}
	*ret = n;
	return true;
}
