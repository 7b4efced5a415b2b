/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pools of hugetlb pages, and the names of page sizes. */

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/util.h"

#define POOLS "/sys/kernel/mm/hugepages"

/* The number behind @key, in the line that begins with it. */
static int read_number(const char *path, const char *key, uint64_t *ret)
{
	FILE *f = fopen(path, "re");
	char line[256];
	int r = -ENODATA;

	if (!f)
		return -errno;
	while (r < 0 && fgets(line, sizeof(line), f))
		if (startswith(line, key) && sscanf(line + strlen(key), "%" SCNu64, ret) == 1)
			r = 0;
	fclose(f);
	return r;
}

static uint64_t number_of_pool(const char *name, const char *file)
{
	char path[PATH_MAX];
	uint64_t n = 0;

	snprintf(path, sizeof(path), POOLS "/%s/%s", name, file);
	(void)read_number(path, "", &n);
	return n;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct luo_hugetlb_pool *x = a, *y = b;

	return x->size < y->size ? -1 : x->size > y->size;
}

/* Pages that are promised to a mapping are still among the free. */
static void read_pool(const char *name, uint64_t kib, struct luo_hugetlb_pool *ret)
{
	uint64_t reserved = number_of_pool(name, "resv_hugepages");

	ret->size = kib * 1024;
	ret->pages = number_of_pool(name, "nr_hugepages");
	ret->free = number_of_pool(name, "free_hugepages");
	ret->free -= MIN2(ret->free, reserved);
	ret->is_default = false;
}

static void mark_default(struct luo_hugetlb_pool *pools, size_t n)
{
	uint64_t kib;

	if (read_number("/proc/meminfo", "Hugepagesize:", &kib) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		pools[i].is_default = pools[i].size == kib * 1024;
}

_public_ int luo_hugetlb_pools(struct luo_hugetlb_pool ret_pools[LUO_HUGETLB_POOLS_MAX],
			       size_t *ret_n)
{
	struct dirent *entry;
	uint64_t kib;
	size_t n = 0;
	DIR *dir;

	if (!ret_pools || !ret_n)
		return -EINVAL;
	dir = opendir(POOLS);
	if (!dir && errno != ENOENT)
		return -errno;
	while (dir && n < LUO_HUGETLB_POOLS_MAX && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kib) == 1)
			read_pool(entry->d_name, kib, &ret_pools[n++]);
	if (dir)
		closedir(dir);
	qsort(ret_pools, n, sizeof(ret_pools[0]), compare_sizes);
	mark_default(ret_pools, n);
	*ret_n = n;
	return 0;
}

/* Of a page that one entry of the page table's second level maps: what "huge" means to shmem. */
size_t luo_huge_page_size(void)
{
	static size_t size;
	size_t known = __atomic_load_n(&size, __ATOMIC_RELAXED);
	uint64_t n;

	if (known == 0) {
		if (read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "", &n) < 0 ||
		    n == 0 || (n & (n - 1)))
			n = UINT64_C(2) << 20;
		known = (size_t)n;
		__atomic_store_n(&size, known, __ATOMIC_RELAXED);
	}
	return known;
}

static const char units[] = "KMGTPE";

_public_ char *luo_hugetlb_size_to_string(uint64_t size, char buffer[24])
{
	size_t unit = 0;

	while (unit < strlen(units) && size >= 1024 && size % 1024 == 0) {
		size /= 1024;
		unit++;
	}
	snprintf(buffer, 24, "%" PRIu64 "%.*s", size, unit > 0, unit > 0 ? units + unit - 1 : "");
	return buffer;
}

/* "K", "k", "kB", "KiB" or nothing; the shift, or negative. */
static int parse_unit(const char *text)
{
	const char *unit;

	if (*text == '\0')
		return 0;
	unit = strchr(units, toupper((unsigned char)*text));
	if (!unit || !(streq(text + 1, "") || streq(text + 1, "B") || streq(text + 1, "iB")))
		return -EINVAL;
	return 10 * (int)(unit - units + 1);
}

_public_ int luo_hugetlb_size_from_string(const char *text, uint64_t *ret_size)
{
	unsigned long long n;
	char *end;
	int shift;

	if (!text || !ret_size || !isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || n == 0 || (n & (n - 1)))
		return -EINVAL;
	shift = parse_unit(end);
	if (shift < 0 || n > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_size = (uint64_t)n << shift;
	return 0;
}
