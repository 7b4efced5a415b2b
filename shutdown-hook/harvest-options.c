/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <getopt.h>
#include <stdio.h>

#include "shutdown-hook/harvest.h"
#include "common/util.h"

static const char help[] =
	"Usage: luo-harvest [OPTION]...\n"
	"\n"
	"Hands the fd stores of systemd's services to luod, on the way into a kexec.\n"
	"luo-harvest.service runs it.\n"
	"\n"
	"  -n, --dry-run      only list what is there, and what would become of it\n"
	"      --force        do it although no kexec is under way, or once more\n"
	"      --pin          keep the units loaded whose stores are to be kept (luo-pin.service)\n"
	"      --user=UID     the same for the services of that user's manager (user@UID.service)\n"
	"      --config=FILE  (" LUO_CONFIG_PATH ")\n"
	"  -v, --verbose      say more\n"
	"  -h, --help         show this\n"
	"  -V, --version      show the version\n"
	"\n"
	"See luo-harvest(8).\n";

enum { OPT_FORCE = 256, OPT_CONFIG, OPT_PIN, OPT_USER };

static const struct option longs[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "pin", no_argument, NULL, OPT_PIN },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "user", required_argument, NULL, OPT_USER },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int apply(struct harvest_options *o, int c)
{
	switch (c) {
	case 'n':
		o->dry_run = true;
		return 1;
	case OPT_FORCE:
		o->force = true;
		return 1;
	case OPT_PIN:
		o->pin = true;
		return 1;
	case OPT_USER:
		o->user = optarg;
		return 1;
	case OPT_CONFIG:
		o->config = optarg;
		return 1;
	case 'v':
		o->verbose = true;
		return 1;
	case 'h':
		fputs(help, stdout);
		return 0;
	case 'V':
		puts("luo-harvest " LUO_VERSION);
		return 0;
	default:
		fputs("Try luo-harvest --help.\n", stderr);
		return -EINVAL;
	}
}

int harvest_options_parse(int argc, char *argv[], struct harvest_options *ret)
{
	struct harvest_options o = { .config = LUO_CONFIG_PATH };
	int c;

	while ((c = getopt_long(argc, argv, "nvhV", longs, NULL)) >= 0) {
		int r = apply(&o, c);

		if (r <= 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "luo-harvest: \"%s\": it takes no arguments.\n", argv[optind]);
		return -EINVAL;
	}
	*ret = o;
	return 1;
}
