/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <syslog.h>

#include <luo/client.h>
#include <luo/handover.h>
#include <luo/session.h>

#include "common/runtime-dir.h"
#include "common/log.h"
#include "common/util.h"

static const char help[] =
	"Usage: luod [OPTION]...\n"
	"\n"
	"Keep the file descriptors of services, also over a kernel live update.\n"
	"\n"
	"  --supervise              restart luod when it ends, and keep every fd meanwhile;\n"
	"                           not needed under systemd with FileDescriptorStoreMax=\n"
	"  --session=NAME           use NAME for the session in the kernel (" LUO_DEFAULT_SESSION
	")\n"
	"  --runtime-dir=DIR        make the sockets \"notify\" and \"io.luo\" in DIR\n"
	"                           ($LUO_RUNTIME_DIR, else " LUO_RUNTIME_DIR ")\n"
	"  --fdstore-max-total=N    store at most N fds of all units (16384, at most 18000)\n"
	"  --fdstore-max=N          store at most N fds of a unit that sets no limit (1024)\n"
	"  --no-live-update         be a plain fd store: do not use the kernel's live update\n"
	"  --log-level=LEVEL        log messages from this level up: error, warning, notice,\n"
	"                           info or debug (info)\n"
	"  -h, --help               show this help\n"
	"  -V, --version            show the version\n"
	"\n"
	"See luod(8).\n";

static int parse_count(const char *option, const char *text, unsigned max, unsigned *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || n < 1 || n > max) {
		fprintf(stderr, "luod: invalid --%s=%s: use a number from 1 to %u\n", option, text,
			max);
		return -EINVAL;
	}
	*ret = (unsigned)n;
	return 0;
}

static int usage_error(const char *format, const char *text)
{
	fprintf(stderr, "luod: ");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	fprintf(stderr, format, text);
#pragma GCC diagnostic pop
	fprintf(stderr, "\nTry luod --help.\n");
	return -EINVAL;
}

enum { OPT_SESSION = 256, OPT_RUNTIME_DIR, OPT_TOTAL, OPT_MAX, OPT_SUPERVISE, OPT_NO_LUO, OPT_LOG };

static int apply_option(struct options *o, int c, const char *value)
{
	switch (c) {
	case OPT_SESSION:
		if (!luo_session_name_is_valid(value))
			return usage_error(
				"invalid --session=%s: use 1 to 63 printable bytes without a slash",
				value);
		o->session = value;
		return 1;
	case OPT_RUNTIME_DIR:
		o->runtime_dir = value;
		return 1;
	case OPT_TOTAL:
		return parse_count("fdstore-max-total", value, FDSTORE_MAX_TOTAL_LIMIT,
				   &o->fdstore_max_total) < 0
			       ? -EINVAL
			       : 1;
	case OPT_MAX:
		return parse_count("fdstore-max", value, FDSTORE_MAX_TOTAL_LIMIT, &o->fdstore_max) <
				       0
			       ? -EINVAL
			       : 1;
	case OPT_SUPERVISE:
		o->supervise = true;
		return 1;
	case OPT_NO_LUO:
		o->no_live_update = true;
		return 1;
	case OPT_LOG:
		o->log_level = log_level_parse(value);
		if (o->log_level < 0)
			return usage_error(
				"invalid --log-level=%s: use error, warning, notice, info or debug",
				value);
		return 1;
	case 'h':
		fputs(help, stdout);
		return 0;
	case 'V':
		puts("luod " LUO_VERSION);
		return 0;
	default:
		fprintf(stderr, "Try luod --help.\n");
		return -EINVAL;
	}
}

int options_parse(int argc, char *argv[], struct options *ret)
{
	static const struct option longs[] = {
		{ "session", required_argument, NULL, OPT_SESSION },
		{ "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
		{ "fdstore-max-total", required_argument, NULL, OPT_TOTAL },
		{ "fdstore-max", required_argument, NULL, OPT_MAX },
		{ "supervise", no_argument, NULL, OPT_SUPERVISE },
		{ "no-live-update", no_argument, NULL, OPT_NO_LUO },
		{ "log-level", required_argument, NULL, OPT_LOG },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = {
		.session = LUO_DEFAULT_SESSION,
		.runtime_dir = runtime_dir(),
		.fdstore_max_total = FDSTORE_MAX_TOTAL_DEFAULT,
		.fdstore_max = FDSTORE_MAX_DEFAULT,
		.log_level = LOG_INFO,
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) >= 0) {
		int r = apply_option(&o, c, optarg);

		if (r <= 0)
			return r;
	}
	if (optind < argc)
		return usage_error("unexpected argument \"%s\"", argv[optind]);
	*ret = o;
	return 1;
}
