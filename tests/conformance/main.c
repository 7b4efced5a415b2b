/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-conformance before: run the first part and stay in the background with its sessions, which
 *                         live until the kexec or until this process is killed.
 * luo-conformance after:  run the second part, in the new kernel.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/util.h"

#include "tests/conformance/conformance.h"

#define TIMEOUT_SECONDS 300

/* Lets go of the terminal or pipe, so that nobody waits for us to end. */
static void hold_for_ever(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || setsid() < 0)
		_exit(EXIT_FAILURE);
	for (int fd = 0; fd < 3; fd++)
		(void)dup2(null, fd);
	ignore_result(chdir("/"));
	for (;;)
		(void)pause();
}

static int stay_in_the_background(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		alarm(0);
		hold_for_ever();
	}
	printf("# sessions are held by process %d\n", pid);
	return 0;
}

int main(int argc, char **argv)
{
	int failed;

	alarm(TIMEOUT_SECONDS);
	if (argc == 2 && streq(argv[1], "before")) {
		failed = conformance_before(false);
		if (stay_in_the_background() < 0)
			return EXIT_FAILURE;
	} else if (argc == 2 && streq(argv[1], "after")) {
		failed = conformance_after(false);
	} else {
		fprintf(stderr, "usage: luo-conformance before|after\n");
		return 2;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
