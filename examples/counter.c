/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The smallest service that keeps its memory: it counts, and goes on counting after it was
 * restarted, and after the kernel was replaced under it.
 *
 *   luo-run --unit counter -- luo-example-counter
 *
 * Under systemd: FileDescriptorStoreMax=1, FileDescriptorStorePreserve=yes, NotifyAccess=main.
 *
 * With an argument it counts so many times and ends; otherwise once a second for ever.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <luo/fdstore.h>

/* What is in the memfd. It may be read by a later version of this program: so it says what it is.
 */
struct state {
	uint64_t version;
	uint64_t count;
};

static struct state *get_state(void)
{
	struct state *state;
	int fd, r;

	/* There already, or made and stored just now. */
	r = luo_fdstore_memfd("counter", sizeof(*state), &fd);
	if (r < 0) {
		fprintf(stderr, "cannot get my memory: %s\n", strerror(-r));
		return NULL;
	}
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (state == MAP_FAILED) {
		perror("mmap");
		return NULL;
	}
	if (r == 1)
		state->version = 1;
	if (state->version != 1) {
		fputs("this is the memory of another version of me\n", stderr);
		return NULL;
	}
	return state;
}

int main(int argc, char **argv)
{
	long left = argc > 1 ? atol(argv[1]) : -1;
	struct state *state = get_state();

	if (!state)
		return EXIT_FAILURE;
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
