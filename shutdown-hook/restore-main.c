/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <luo/store.h>

#include "common/runtime-dir.h"
#include "common/util.h"
#include "shutdown-hook/restore.h"

#define LUOD_TIMEOUT (5 * USEC_PER_SEC)
#define BUS_TIMEOUT  (RESTORE_LOOK_TIMEOUT / 2) /* to connect, and to be answered */

static const char help[] =
	"Usage: luo-restore [OPTION]... UNIT\n"
	"\n"
	"Pushes what luod holds for a unit into its fd store in systemd. luo-generator makes it\n"
	"run before the main process of the unit; see luo-restore(8).\n"
	"\n"
	"  --notify-access=WHO  what NotifyAccess= is to be again afterwards\n"
	"  --required           say that the unit is not started if this fails\n"
	"  --user               the unit is of the manager of the user who runs this\n"
	"  --timeout=SECONDS    wait so long for luod (5)\n"
	"  -h, --help           show this\n"
	"  -V, --version        show the version\n";

/*
 * A connection for each question. PID 1 sends every change of every unit to each connection to its
 * private socket, and makes the message anew for each: a hundred services that start together, and
 * have one open meanwhile, would keep it busy for minutes.
 */
static int dump(void *userdata, const char *unit, struct luo_manager_fd **ret, size_t *ret_n)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	int r = luo_manager_connect(BUS_TIMEOUT, &bus);

	return r < 0 ? r : luo_manager_dump(bus, unit, ret, ret_n);
}

static int usage(const char *message)
{
	if (message)
		fprintf(stderr, "luo-restore: %s\n", message);
	fprintf(stderr, "Try luo-restore --help.\n");
	return -EINVAL;
}

/* ---- in the manager of a user ---------------------------------------------------------------- */

static int dump_user(void *userdata, const char *unit, struct luo_manager_fd **ret, size_t *ret_n)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	int r = luo_manager_connect_user(geteuid(), BUS_TIMEOUT, &bus);

	return r < 0 ? r : luo_manager_dump(bus, unit, ret, ret_n);
}

static void be_user(struct restore *restore)
{
	static char owner[64], prefix[LUO_UNIT_NAME_MAX + 2];

	snprintf(owner, sizeof(owner), "user@%u.service", (unsigned)geteuid());
	snprintf(prefix, sizeof(prefix), "%s/", restore->unit);
	restore->owner = owner;
	restore->prefix = prefix;
	restore->dump = dump_user;
}

/* ---- options --------------------------------------------------------------------------------- */

enum { OPT_NOTIFY_ACCESS = 256, OPT_REQUIRED, OPT_TIMEOUT, OPT_USER };

static int apply(struct restore *restore, int c, const char *value)
{
	char *end;

	switch (c) {
	case OPT_NOTIFY_ACCESS:
		if (!streq(value, "none") && !streq(value, "main") && !streq(value, "exec") &&
		    !streq(value, "all"))
			return usage("--notify-access takes none, main, exec or all.");
		restore->notify_access = value;
		return 1;
	case OPT_REQUIRED:
		restore->required = true;
		return 1;
	case OPT_USER:
		/* Who that is comes when the unit is known. */
		restore->owner = "";
		return 1;
	case OPT_TIMEOUT:
		restore->timeout_usec = strtoul(value, &end, 10) * USEC_PER_SEC;
		if (*end || end == value || restore->timeout_usec > 3600 * USEC_PER_SEC)
			return usage("--timeout takes a number of seconds, at most 3600.");
		return 1;
	case 'h':
		fputs(help, stdout);
		return 0;
	case 'V':
		puts("luo-restore " LUO_VERSION);
		return 0;
	default:
		return usage(NULL);
	}
}

static int parse(int argc, char *argv[], struct restore *restore)
{
	static const struct option longs[] = {
		{ "notify-access", required_argument, NULL, OPT_NOTIFY_ACCESS },
		{ "required", no_argument, NULL, OPT_REQUIRED },
		{ "user", no_argument, NULL, OPT_USER },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) >= 0) {
		int r = apply(restore, c, optarg);

		if (r <= 0)
			return r;
	}
	if (argc - optind != 1 || !luo_unit_name_is_valid(argv[optind]))
		return usage("it takes the name of one unit.");
	restore->unit = argv[optind];
	if (restore->owner)
		be_user(restore);
	return 1;
}

int main(int argc, char *argv[])
{
	struct restore restore = {
		.runtime_dir = runtime_dir(),
		.fdstore = getenv("FDSTORE"),
		.timeout_usec = LUOD_TIMEOUT,
		.dump = dump,
	};
	int r;

	r = parse(argc, argv, &restore);
	if (r <= 0)
		return r < 0 ? 2 : EXIT_SUCCESS;
	/* A luod that is killed while it is called. */
	(void)signal(SIGPIPE, SIG_IGN);
	return restore_run(&restore);
}
