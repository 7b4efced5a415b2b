/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The size of a transparent huge page. */

#include <inttypes.h>
#include <stdio.h>

#include "libluo/memfd/internal.h"
#include "common/util.h"

#define PMD_SIZE_PATH "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

static size_t read_size(void)
{
	FILE *f = fopen(PMD_SIZE_PATH, "re");
	uint64_t n = 0;

	if (f) {
		if (fscanf(f, "%" SCNu64, &n) != 1)
			n = 0;
		fclose(f);
	}
	if (n == 0 || (n & (n - 1)))
		return (size_t)2 << 20;
	return (size_t)n;
}

/* Of a page that one entry of the page table's second level maps: what "huge" means to shmem. */
size_t luo_huge_page_size(void)
{
	static size_t size; /* threads may read it at the same time; they find the same */
	size_t known = __atomic_load_n(&size, __ATOMIC_RELAXED);

	if (known == 0) {
		known = read_size();
		__atomic_store_n(&size, known, __ATOMIC_RELAXED);
	}
	return known;
}
