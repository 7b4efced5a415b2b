/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * counter.c without libluo: what a service does that knows nothing but sd_notify. It keeps the same
 * memory under the same name, so one of them goes on where the other has ended.
 *
 *   cc plain.c $(pkg-config --cflags --libs libsystemd)
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

/* The first field says what the rest is: it may be read by a later version of this program. */
struct state {
	uint64_t version;
	uint64_t count;
};

/* The fd that was stored under this name, or -1. */
static int find_stored(const char *name)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), fd = -1;

	for (int i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			fd = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return fd;
}

/* A memfd that the service manager has, too. */
static int make_stored(size_t size)
{
	int fd = memfd_create("counter", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -1;
	sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=counter", &fd, 1);
	sd_notify_barrier(0, 5000000); /* until it has it */
	return fd;
}

int main(int argc, char **argv)
{
	long left = argc > 1 ? atol(argv[1]) : -1;
	struct state *state;
	int fd = find_stored("counter");

	if (fd < 0)
		fd = make_stored(sizeof(*state));
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (state == MAP_FAILED) {
		perror("cannot get my memory");
		return EXIT_FAILURE;
	}
	if (state->version == 0) /* new memory is full of zeroes */
		state->version = 1;
	if (state->version != 1) {
		fputs("this is the memory of another version of me\n", stderr);
		return EXIT_FAILURE;
	}
	while (left != 0) {
		state->count++;
		printf("%llu\n", (unsigned long long)state->count);
		fflush(stdout);
		if (left > 0)
			left--;
		else
			sleep(1);
	}
	return EXIT_SUCCESS;
}
