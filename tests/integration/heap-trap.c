/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Stops after every single store into a heap. Its mapping is read-only, so that a store is a fault;
 * the handler makes it writable and sets the trap flag of the processor, so that this one
 * instruction is done and the next handler comes, which makes the mapping read-only again and tells
 * the watcher to look. Calls that change the file are wrapped by the linker, and reported likewise.
 */

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/integration/heap-step.h"

#define TRAP_FLAG 0x100
#define REGIONS   4

static struct region {
	uint8_t *begin;
	size_t size;
} regions[REGIONS];
static bool armed, is_worker;
static int watcher_in, watcher_out;

static void protect(int protection)
{
	for (size_t i = 0; i < REGIONS; i++)
		if (regions[i].size > 0)
			syscall(SYS_mprotect, regions[i].begin, regions[i].size, protection);
}

bool trap_say(enum step_message message)
{
	char byte = (char)message;

	if (write(watcher_in, &byte, 1) != 1 || read(watcher_out, &byte, 1) != 1)
		_exit(3); /* it has said why */
	return byte != 'n';
}

static void report(void)
{
	int saved = errno;

	if (armed && is_worker)
		trap_say(STEP_STORED);
	errno = saved;
}

static void on_fault(int number, siginfo_t *info, void *p)
{
	ucontext_t *context = p;
	const uint8_t *at = info->si_addr;

	for (size_t i = 0; armed && i < REGIONS; i++)
		if (at >= regions[i].begin && at < regions[i].begin + regions[i].size) {
			protect(PROT_READ | PROT_WRITE);
			context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
			return;
		}
	signal(SIGSEGV, SIG_DFL); /* a real one */
}

static void on_step(int number, siginfo_t *info, void *p)
{
	ucontext_t *context = p;

	context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	if (armed)
		protect(PROT_READ);
	report();
}

void trap_init(int to_watcher, int from_watcher)
{
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	watcher_in = to_watcher;
	watcher_out = from_watcher;
	is_worker = true;
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGTRAP, &step, NULL);
}

void trap_arm(void)
{
	armed = true;
	protect(PROT_READ);
}

void trap_disarm(void)
{
	protect(PROT_READ | PROT_WRITE);
	armed = false;
}

/* ---- calls that map or change files ---------------------------------------------------------- */

void *__real_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t size);
int __real_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __real_posix_fallocate64(int fd, off_t offset, off_t size);
int __real_madvise(void *address, size_t size, int advice);
ssize_t __real_pwrite64(int fd, const void *buffer, size_t size, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t size);
int __wrap_madvise(void *address, size_t size, int advice);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off_t offset);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	uint8_t *p = __real_mmap64(address, size, protection, flags, fd, offset);

	if (p == MAP_FAILED || !is_worker || fd < 0 || !(protection & PROT_WRITE) ||
	    !(flags & MAP_SHARED))
		return p;
	for (size_t i = 0; i < REGIONS; i++)
		if (regions[i].size == 0) {
			regions[i] = (struct region){ p, size };
			if (armed)
				protect(PROT_READ);
			return p;
		}
	abort();
}

int __wrap_munmap(void *address, size_t size)
{
	for (size_t i = 0; i < REGIONS; i++)
		if (regions[i].size > 0 && regions[i].begin >= (uint8_t *)address &&
		    regions[i].begin < (uint8_t *)address + size)
			regions[i].size = 0;
	return __real_munmap(address, size);
}

int __wrap_ftruncate64(int fd, off_t size)
{
	int r = __real_ftruncate64(fd, size);

	report();
	return r;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
	int r = __real_fallocate64(fd, mode, offset, size);

	report();
	return r;
}

int __wrap_posix_fallocate64(int fd, off_t offset, off_t size)
{
	int r = __real_posix_fallocate64(fd, offset, size);

	report();
	return r;
}

int __wrap_madvise(void *address, size_t size, int advice)
{
	int r = __real_madvise(address, size, advice);

	report();
	return r;
}

ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off_t offset)
{
	ssize_t n = __real_pwrite64(fd, buffer, size, offset);

	report();
	return n;
}
