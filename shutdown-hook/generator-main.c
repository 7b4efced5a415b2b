/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include <luo/client.h>

#include "shutdown-hook/generator.h"
#include "shutdown-hook/generator-pins.h"
#include "manager/manager.h"
#include "common/help.h"
#include "common/util.h"

/* The end of a run that hangs where nothing should; PID 1 would wait for 90 s. */
#define DEADLINE_SECONDS 10

/* There is no journal yet. */
static void log_to_kmsg(int priority, const char *text)
{
	static int fd = -1;
	char line[640];
	int n;

	if (fd < 0)
		fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	n = snprintf(line, sizeof(line), "<%d>luo-generator[%d]: %s\n", LOG_DAEMON | priority,
		     (int)getpid(), text);
	if (fd < 0 || n < 0 || write(fd, line, MIN2((size_t)n, sizeof(line) - 1)) < 0)
		fprintf(stderr, "luo-generator: %s\n", text);
}

/*
 * In an initrd it is too early: the index is for the services of the real system, and what is
 * retrieved here is gone there. Nor has a user's manager anything to do with it.
 */
static bool is_system(void)
{
	const char *initrd = getenv("SYSTEMD_IN_INITRD"), *scope = getenv("SYSTEMD_SCOPE");

	if (scope && !streq(scope, "system"))
		return false;
	if (initrd)
		return streq(initrd, "0");
	return access("/etc/initrd-release", F_OK) < 0;
}

/* PID 1 cannot be asked, it waits for us: only what /proc says of it counts. */
static unsigned manager_version(void)
{
	unsigned version;

	(void)setenv("LUO_MANAGER_ADDRESS", "unix:path=/nonexistent", true);
	return luo_manager_version(&version) < 0 ? 0 : version;
}

static const char help[] =
	"Usage: luo-generator NORMAL-DIR [EARLY-DIR LATE-DIR]\n"
	"\n"
	"Writes drop-ins that give services what luod holds for them. systemd runs this generator at\n"
	"boot and at every daemon-reload.\n"
	"\n"
	"  -h, --help     print this\n"
	"  -V, --version  print the version\n"
	"\n"
	"See luo-generator(8).\n";

int main(int argc, char *argv[])
{
	struct generator g = {
		.runtime_dir = LUO_RUNTIME_DIR,
		.unit_path = getenv("SYSTEMD_UNIT_PATH"),
		.helper = LUO_RESTORE,
		.manager_version = manager_version,
		.log = log_to_kmsg,
	};

	if (help_or_version(argc, argv, "luo-generator", help))
		return EXIT_SUCCESS;
	if (argc != 2 && argc != 4) {
		fputs("luo-generator: it takes one or three directories.\n"
		      "Try 'luo-generator --help'.\n",
		      stderr);
		return 2;
	}
	if (!is_system())
		return EXIT_SUCCESS;
	alarm(DEADLINE_SECONDS);
	umask(0022);
	g.directory = argv[1];
	(void)generator_pin(&g);
	return generator_run(&g);
}
