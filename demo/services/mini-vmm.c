/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * mini-vmm: keeps memory the way a virtual machine monitor does, without a virtual machine.
 *
 *   run N    the "guest" takes N steps; each changes one word of its RAM
 *   check    reads all of the RAM and compares it with the sum that the "guest" keeps
 *   visits   what counter.service has counted, read in memory that it shares with us
 *   fds      which of our fds are new, and which were there when we started
 *
 * What it has in its fd store, and why:
 *
 *   ram      guest memory, large
 *   window   the same memory, opened read-only, as for a display or a debugger
 *   vcpu     registers
 *   config   a sealed text: nobody can change it, whoever has an fd of it
 *   visits   memory of another service, opened read-only: a VMM would be given it over a socket
 *   control  the socket that listens for commands, so that none is refused while we are restarted
 *   irq      an eventfd, as a guest's interrupts use
 *
 * All of this survives a restart of mini-vmm. The kernel cannot carry the last two through a kexec,
 * so whoever keeps such things has to be able to make new ones.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <luo/client.h>
#include <luo/fdstore.h>
#include <luo/memfd.h>

#include "demo/services/line-server.h"

#define PORT     7002
#define RAM_SIZE (UINT64_C(64) << 20)

struct vcpu {
	uint64_t on;
	uint64_t steps;
	uint64_t random;
	uint64_t sum; /* of all words of the RAM */
};

struct vmm {
	int ram_fd;
	uint64_t *ram;
	struct vcpu *vcpu;
	const uint64_t *visits;
	char made[128]; /* names of what was not in the store */
};

static void or_die(int r, const char *what)
{
	if (r < 0)
		errx(1, "%s: %s", what, strerror(-r));
}

static void *map(int fd, unsigned how, const char *name)
{
	void *address;
	size_t size;

	or_die(luo_memfd_map(fd, how, &address, &size), name);
	return address;
}

/* ---- what is in the store, or else is made and put there ------------------------------------- */

static int make_config(struct vmm *vmm)
{
	static const char text[] = "machine = guest-1\nmemory = 64 MiB\nvcpus = 1\n";
	int fd;

	or_die(luo_memfd_new_sealed("config", text, strlen(text), &fd), "config");
	return fd;
}

static int make_window(struct vmm *vmm)
{
	int fd;

	or_die(luo_memfd_reopen(vmm->ram_fd, O_RDONLY, &fd), "window");
	return fd;
}

/* What luod stores for any unit: root may have a copy of it. */
static int counters_of_luod(void)
{
	struct luo_client *client;
	int fd, r;

	r = luo_client_connect(NULL, 10000000, &client);
	if (r < 0)
		return r;
	r = luo_client_open_entry(client, "counter.service", "counters", 0, &fd);
	luo_client_free(client);
	return r < 0 ? r : fd;
}

/* What is in the store of systemd it gives to nobody else; whoever has the memory open has a path
 * to it, for root. */
static int counters_of_anybody(void)
{
	glob_t paths = { 0 };
	int fd = -ENOENT;

	(void)glob("/proc/[0-9]*/fd/*", GLOB_NOSORT, NULL, &paths);
	for (size_t i = 0; i < paths.gl_pathc && fd < 0; i++) {
		char link[64];
		ssize_t n = readlink(paths.gl_pathv[i], link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = 0;
		if (strncmp(link, "/memfd:counters ", 16) == 0)
			fd = open(paths.gl_pathv[i], O_RDONLY | O_CLOEXEC);
	}
	globfree(&paths);
	return fd;
}

static int make_visits(struct vmm *vmm)
{
	int theirs = counters_of_luod(), fd;

	/* counter.service may have been started at the same time. */
	for (int tries = 0; theirs < 0 && tries < 100; tries++) {
		theirs = counters_of_anybody();
		if (theirs < 0)
			usleep(100000);
	}
	or_die(theirs, "the memory of counter.service");
	or_die(luo_memfd_reopen(theirs, O_RDONLY, &fd), "visits");
	close(theirs);
	return fd;
}

static int make_control(struct vmm *vmm)
{
	return line_server_listen(PORT);
}

static int make_irq(struct vmm *vmm)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int get(struct vmm *vmm, const char *name, int (*make)(struct vmm *vmm))
{
	int fd, r;

	r = luo_fdstore_get(name, 0, &fd);
	if (r == 0)
		return fd;
	if (r != -ENOENT)
		or_die(r, name);
	fd = make(vmm);
	if (fd < 0)
		err(1, "cannot make %s", name);
	/* Not stored is not a disaster, only not kept. */
	r = luo_fdstore_push(name, fd, LUO_FDSTORE_NO_POLL);
	if (r < 0)
		warnx("cannot store %s: %s", name, strerror(-r));
	strcat(strcat(vmm->made, vmm->made[0] ? " " : ""), name);
	return fd;
}

/* ---- the "guest" ----------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t sum_of_ram(const struct vmm *vmm)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < RAM_SIZE / 8; i++)
		sum += vmm->ram[i];
	return sum;
}

static void power_on(struct vmm *vmm)
{
	/* Never the same twice: what is there in the next kernel cannot be what was made anew. */
	if (getrandom(&vmm->vcpu->random, sizeof(vmm->vcpu->random), 0) < 0)
		err(1, "getrandom");
	vmm->vcpu->random |= 1;
	for (size_t i = 0; i < RAM_SIZE / 8; i++)
		vmm->ram[i] = next_random(&vmm->vcpu->random);
	vmm->vcpu->sum = sum_of_ram(vmm);
	/* Last: if we are killed before, it is all done again. */
	vmm->vcpu->on = 1;
}

static void run(struct vmm *vmm, uint64_t steps)
{
	struct vcpu *vcpu = vmm->vcpu;

	while (steps--) {
		uint64_t *word = &vmm->ram[next_random(&vcpu->random) % (RAM_SIZE / 8)];

		vcpu->sum -= *word;
		*word += vcpu->random ^ vcpu->steps++;
		vcpu->sum += *word;
	}
}

/* ---- commands -------------------------------------------------------------------------------- */

static void answer(void *service, char *request, char *text)
{
	struct vmm *vmm = service;

	if (strncmp(request, "run ", 4) == 0) {
		run(vmm, strtoull(request + 4, NULL, 10));
		sprintf(text, "%" PRIu64, vmm->vcpu->steps);
	} else if (strcmp(request, "check") == 0) {
		strcpy(text, sum_of_ram(vmm) == vmm->vcpu->sum ? "good" : "bad");
	} else if (strcmp(request, "visits") == 0) {
		/* after the magic number; see struct table of counter.c */
		sprintf(text, "%" PRIu64, vmm->visits[1]);
	} else if (strcmp(request, "fds") == 0) {
		sprintf(text, "given %d, made: %s", luo_fdstore_count(),
			vmm->made[0] ? vmm->made : "none");
	} else {
		strcpy(text, "what?");
	}
}

static int get_memory(struct vmm *vmm, const char *name, uint64_t size)
{
	int fd, r;

	r = luo_fdstore_memfd(name, size, &fd);
	or_die(r, name);
	/* Whoever has the window cannot cut it off under us. */
	(void)luo_memfd_add_seals(fd, LUO_SEALS_SIZE);
	if (r == 1)
		strcat(strcat(vmm->made, vmm->made[0] ? " " : ""), name);
	return fd;
}

int main(void)
{
	struct vmm vmm = { 0 };
	int control;

	vmm.ram_fd = get_memory(&vmm, "ram", RAM_SIZE);
	vmm.ram = map(vmm.ram_fd, LUO_MAP_SHARED, "ram");
	vmm.vcpu = map(get_memory(&vmm, "vcpu", 4096), LUO_MAP_SHARED, "vcpu");
	if (!vmm.vcpu->on)
		power_on(&vmm);
	get(&vmm, "config", make_config);
	get(&vmm, "window", make_window);
	/* We trust counter.service, which may not have sealed it yet. */
	vmm.visits =
		map(get(&vmm, "visits", make_visits), LUO_MAP_READ | LUO_MAP_MAY_SHRINK, "visits");
	control = get(&vmm, "control", make_control);
	get(&vmm, "irq", make_irq);

	printf("mini-vmm: guest-1 after %" PRIu64 " steps; made: %s\n", vmm.vcpu->steps,
	       vmm.made[0] ? vmm.made : "nothing, all was there");
	fflush(stdout);
	line_server_run(control, answer, &vmm);
}
