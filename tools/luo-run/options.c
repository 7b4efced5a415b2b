/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include <luo/client.h>
#include <luo/store.h>

#include "tools/luo-run/options.h"
#include "common/runtime-dir.h"
#include "common/util.h"

#define WAIT_SECONDS_DEFAULT 10

/* A claim may mean to bring back many GiB. */
#define TIMEOUT_SECONDS_DEFAULT 300

static const char help[] =
	"Usage: luo-run --unit NAME [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	"\n"
	"Gives PROGRAM the file descriptors that luod keeps for a unit, and becomes it.\n"
	"\n"
	"  -u, --unit NAME            the unit that this process is from now on\n"
	"  -m, --fdstore-max N        how many fds it may store (default: luod's)\n"
	"  -s, --restart-safe[=SECS]  wait for luod if it is not there (default: 10)\n"
	"  -r, --required             fail if luod is not there\n"
	"  -i, --ignore-errors        start without what cannot be claimed\n"
	"  -t, --timeout SECS         how long luod may take to answer (default: 300)\n"
	"      --runtime-dir DIR      where luod's sockets are (default: /run/luo)\n"
	"  -h, --help                 print this\n"
	"  -V, --version              print the version\n"
	"\n"
	"See luo-run(1) for the exit codes.\n";

enum {
	OPTION_RUNTIME_DIR = 256,
	OPTION_VERSION = 'V',
};

static const struct option long_options[] = {
	{ "unit", required_argument, NULL, 'u' },
	{ "fdstore-max", required_argument, NULL, 'm' },
	{ "restart-safe", optional_argument, NULL, 's' },
	{ "required", no_argument, NULL, 'r' },
	{ "ignore-errors", no_argument, NULL, 'i' },
	{ "timeout", required_argument, NULL, 't' },
	{ "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

static int usage_error(void)
{
	fputs("Try 'luo-run --help'.\n", stderr);
	return EXIT_USAGE;
}

static int parse_number(const char *option, const char *text, unsigned min, unsigned *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < min || n > INT_MAX) {
		fprintf(stderr, "luo-run: --%s takes a number from %u to %d, not '%s'\n", option,
			min, INT_MAX, text);
		return usage_error();
	}
	*ret = (unsigned)n;
	return -1;
}

static int parse_one(struct options *o, int c)
{
	unsigned seconds = WAIT_SECONDS_DEFAULT;
	int r = -1;

	switch (c) {
	case 'u':
		o->unit = optarg;
		return -1;
	case 'm':
		return parse_number("fdstore-max", optarg, 1, &o->fdstore_max);
	case 's':
		if (optarg)
			r = parse_number("restart-safe", optarg, 0, &seconds);
		o->wait_usec = seconds * USEC_PER_SEC;
		return r;
	case 'r':
		o->required = true;
		return -1;
	case 'i':
		o->ignore_errors = true;
		return -1;
	case 't':
		r = parse_number("timeout", optarg, 1, &seconds);
		o->timeout_usec = seconds * USEC_PER_SEC;
		return r;
	case OPTION_RUNTIME_DIR:
		o->runtime_dir = optarg;
		return -1;
	case OPTION_VERSION:
		puts("luo-run " LUO_VERSION);
		return 0;
	case 'h':
		fputs(help, stdout);
		return 0;
	default: /* getopt has said what is wrong */
		return usage_error();
	}
}

static int check(const struct options *o)
{
	if (!o->unit)
		fputs("luo-run: --unit is missing\n", stderr);
	else if (!luo_unit_name_is_valid(o->unit))
		fputs("luo-run: a unit's name has 1 to 255 letters, digits and any of :-_.\\@\n",
		      stderr);
	else if (!o->command[0])
		fputs("luo-run: which program?\n", stderr);
	else
		return -1;
	return usage_error();
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c, r;

	*o = (struct options){
		.timeout_usec = TIMEOUT_SECONDS_DEFAULT * USEC_PER_SEC,
		.runtime_dir = runtime_dir(),
	};
	/* '+': the options of the program are its own */
	while ((c = getopt_long(argc, argv, "+u:m:s::rit:hV", long_options, NULL)) != -1) {
		r = parse_one(o, c);
		if (r >= 0)
			return r;
	}
	o->command = argv + optind;
	return check(o);
}
