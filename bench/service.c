/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-service NAME: a service of systemd that does the same at every start, whether it is
 * given anything or not: it is ready at once. What takes time it does when it is told to.
 *
 *   SIGUSR1   stores memfds of its own; or if it was given them, looks whether they are unharmed
 *   SIGUSR2   takes them out of the store again
 *
 * Either writes /run/luo-bench/NAME: "stored", "verified" or "empty".
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "bench/die.h"

#define N_FILES 5
#define PAGE    4096

static void say(const char *service, const char *what)
{
	char path[256], path_new[264];
	FILE *f;

	(void)mkdir("/run/luo-bench", 0755);
	snprintf(path, sizeof(path), "/run/luo-bench/%s", service);
	snprintf(path_new, sizeof(path_new), "%s.new", path);
	f = fopen(path_new, "we");
	if (!f || fprintf(f, "%s\n", what) < 0 || fclose(f) != 0)
		die(-errno, "%s", path_new);
	must_errno(rename(path_new, path));
}

/* Different in each file of each service. */
static void content(char page[PAGE], const char *service, int i)
{
	memset(page, 'a' + i, PAGE);
	snprintf(page, PAGE, "%s %d", service, i);
}

static void store_one(const char *service, int i)
{
	int fd = must_errno(memfd_create(service, MFD_CLOEXEC));
	char page[PAGE], text[64];

	content(page, service, i);
	if (must_errno(pwrite(fd, page, PAGE, 0)) != PAGE)
		die(-EIO, "%s", service);
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=file-%d", i);
	if (must(sd_pid_notify_with_fds(0, 0, text, &fd, 1)) == 0)
		die(-ENOTCONN, "%s", service);
	/* PID 1 has it; it is the only one, as after a restart of a service that closes its own. */
	close(fd);
}

/* The names are "file-0:file-1:...", in whatever order. */
static void verify(const char *service, int n, const char *names)
{
	unsigned seen = 0;

	if (n != N_FILES)
		die(-EBADMSG, "%s was given %d fds", service, n);
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		char page[PAGE], is[PAGE];
		int i;

		if (!names || sscanf(names, "file-%d", &i) != 1 || i < 0 || i >= N_FILES)
			die(-EBADMSG, "%s: the names are wrong", service);
		content(page, service, i);
		if (must_errno(pread(fd, is, PAGE, 0)) != PAGE || memcmp(page, is, PAGE) != 0)
			die(-EBADMSG, "%s: file-%d", service, i);
		seen |= 1U << i;
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	if (seen != (1U << N_FILES) - 1)
		die(-EBADMSG, "%s: a file is missing", service);
}

static void empty(void)
{
	for (int i = 0; i < N_FILES; i++) {
		char text[64];

		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=file-%d", i);
		must(sd_notify(0, text));
	}
}

int main(int argc, char **argv)
{
	const char *service = argc == 2 ? argv[1] : NULL, *names = getenv("LISTEN_FDNAMES");
	int n = must(sd_listen_fds(0));
	sigset_t signals;

	if (!service)
		die(-EINVAL, "usage: luo-bench-service NAME");
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	must_errno(sigprocmask(SIG_BLOCK, &signals, NULL));
	must(sd_notify(0, "READY=1"));
	for (;;) {
		int number;

		if (sigwait(&signals, &number) != 0)
			die(-EINVAL, "sigwait");
		if (number == SIGUSR2) {
			empty();
			say(service, "empty");
		} else if (n > 0) {
			verify(service, n, names);
			say(service, "verified");
		} else {
			for (int i = 0; i < N_FILES; i++)
				store_one(service, i);
			say(service, "stored");
		}
	}
}
