/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Maps a heap. All address space that it may ever need is reserved at once, and the file is mapped
 * over all of it. What is behind the end of the file becomes usable as the file grows, so nothing
 * ever moves.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define BASE_ALIGN ((size_t)2 << 20) /* a huge page; also the largest alignment of an object */

/*
 * Fixed addresses: below position-independent programs on x86-64, far from the addresses that
 * mmap(2) chooses, and where the sanitizers allow mappings.
 */
#define FIXED_FIRST UINT64_C(0x551000000000)
#define FIXED_COUNT 8 /* heaps of the largest size, side by side */

uint64_t heap_find_address(uint64_t size)
{
	for (unsigned i = 0; i < FIXED_COUNT; i++) {
		uint64_t address = FIXED_FIRST + i * LUO_HEAP_MAX;
		void *p = mmap((void *)(uintptr_t)address, size, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			       -1, 0);

		if (p == MAP_FAILED)
			continue;
		munmap(p, size);
		if ((uintptr_t)p == address)
			return address;
	}
	return FIXED_FIRST; /* mapping it shows whether the range is free */
}

/* The line of /proc/self/maps that overlaps the range, for the message. */
static void find_taken(uintptr_t begin, uintptr_t end, char *text, size_t size)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	snprintf(text, size, "something");
	while (maps && fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && from < end &&
		    to > begin) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(text, size, "%.*s", (int)size - 1, line);
			break;
		}
	}
	if (maps)
		fclose(maps);
}

static int map_fixed(struct luo_heap *h, uint64_t address, int protection, int flags)
{
	char taken[256];
	void *p;

	p = mmap((void *)(uintptr_t)address, h->max_size, protection,
		 flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, h->fd, 0);
	if (p != MAP_FAILED &&
	    (uintptr_t)p != address) { /* before kernel 4.17 the flag is a hint */
		munmap(p, h->max_size);
		errno = EEXIST;
		p = MAP_FAILED;
	}
	if (p == MAP_FAILED && errno == EEXIST) {
		find_taken((uintptr_t)address, (uintptr_t)(address + h->max_size), taken,
			   sizeof(taken));
		return heap_problem(
			-EEXIST,
			"it must be at 0x%" PRIx64 " to 0x%" PRIx64
			", where this process has: %s; open it earlier, or with a smaller max_size",
			address, address + h->max_size, taken);
	}
	if (p == MAP_FAILED)
		return heap_problem(-errno, "mapping %" PRIu64 " bytes at 0x%" PRIx64 ": %s",
				    h->max_size, address, strerror(errno));
	h->base = p;
	return 0;
}

static int map_anywhere(struct luo_heap *h, int protection, int flags)
{
	/* A copy does not grow, and under strict overcommit all of it would be reserved. */
	size_t used = h->private_copy ? MIN2(h->file_size, h->max_size) : h->max_size;
	size_t size = h->max_size + BASE_ALIGN, before;
	uint8_t *p, *base;

	p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return heap_problem(-errno,
				    "reserving %" PRIu64
				    " bytes of address space: %s; a smaller max_size needs less",
				    h->max_size, strerror(errno));
	base = (uint8_t *)(((uintptr_t)p + BASE_ALIGN - 1) / BASE_ALIGN * BASE_ALIGN);
	before = (size_t)(base - p);
	if (mmap(base, used, protection, flags | MAP_FIXED | MAP_NORESERVE, h->fd, 0) ==
	    MAP_FAILED) {
		int r = heap_problem(-errno, "mapping its memory: %s", strerror(errno));

		munmap(p, size);
		return r;
	}
	if (before > 0)
		munmap(p, before);
	if (before < BASE_ALIGN)
		munmap(base + h->max_size, BASE_ALIGN - before);
	h->base = base;
	return 0;
}

int heap_map(struct luo_heap *h, uint64_t address, unsigned flags)
{
	int protection = h->read_only && !h->private_copy ? PROT_READ : PROT_READ | PROT_WRITE;
	int kind = h->private_copy ? MAP_PRIVATE : MAP_SHARED;
	int r;

	r = address ? map_fixed(h, address, protection, kind) : map_anywhere(h, protection, kind);
	if (r < 0)
		return r;
	if (flags & LUO_HEAP_HUGEPAGE)
		(void)madvise(h->base, h->max_size, MADV_HUGEPAGE);
	/* A child that wrote to it would be a second owner. */
	if (!h->read_only)
		(void)madvise(h->base, h->max_size, MADV_DONTFORK);
	return 0;
}

void heap_unmap(struct luo_heap *h)
{
	if (h->base)
		munmap(h->base, h->max_size);
	h->base = NULL;
}
