/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Estimates what preserving a file costs.
 *
 * The kernel (mm/memfd_luo.c) pins every folio from the first to the last byte, which allocates
 * missing ones, and records 16 bytes for each. So the cost depends on the number of folios and on
 * how many are missing.
 *
 * Pages of huge folios show in how they are mapped into an aligned mapping: PAGEMAP_SCAN reports
 * that to every process, since 6.7. It cannot tell folios between the two sizes from small ones.
 */

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define COST_FIRST_SIZE SIZE_UP_TO(struct luo_memfd_cost, huge_size)

/* Debian 12's <linux/fs.h> lacks these. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN           _IOWR('f', 16, struct scan_arg)
#define SCAN_HUGE      (UINT64_C(1) << 6)
#define REGIONS        64
#define BYTES_PER_FILE 13312 /* measured */
#define FOLIO_RECORD   16    /* struct memfd_luo_folio_ser */
#define CARRIED_SEALS  (unsigned)(LUO_SEALS_CONSTANT | LUO_SEAL_FUTURE_WRITE | LUO_SEAL_EXEC)

/* Both use the same windows, so that these are mapped and populated once. */
struct look {
	int pagemap;
	uint64_t huge; /* bytes */
	struct luo_run_counter runs;
	int huge_error, runs_error;
};

static int scan_window(struct look *k, const struct luo_window *w)
{
	struct scan_region regions[REGIONS] = {};
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)w->address,
		.end = (uintptr_t)w->address + w->size,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_mask = SCAN_HUGE,
		.return_mask = SCAN_HUGE,
	};

	while (arg.start < arg.end) {
		int n = ioctl(k->pagemap, SCAN, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			k->huge += regions[i].end - regions[i].start;
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

static int look_at_window(void *userdata, const struct luo_window *w)
{
	struct look *k = userdata;

	if (k->huge_error == 0)
		k->huge_error = scan_window(k, w);
	if (k->runs_error == 0)
		k->runs_error = luo_run_counter_add(&k->runs, w);
	return k->runs_error < 0 ? k->huge_error : 0; /* continues while one of them does */
}

/* A value that cannot be determined stays unknown. */
static void look_at_pages(struct luo_extents *x, struct luo_memfd_cost *cost)
{
	_cleanup_close_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct look k = { .pagemap = pagemap };

	if (pagemap < 0)
		return;
	k.runs_error = luo_run_counter_begin(&k.runs, pagemap);
	if (luo_windows_with_data(x, look_at_window, &k) >= 0) {
		cost->huge_known = k.huge_error == 0;
		cost->runs_known = k.runs_error == 0;
	}
	if (cost->huge_known)
		cost->huge = MIN2(k.huge, cost->data);
	if (cost->runs_known)
		cost->runs = k.runs.runs;
	luo_run_counter_end(&k.runs);
}

static int find_data(struct luo_extents *x, struct luo_memfd_cost *cost)
{
	size_t page = page_size();
	int64_t at = 0, begin, end;
	int r;

	while ((r = luo_extents_next(x, at, &begin, &end)) > 0) {
		cost->data += (uint64_t)(luo_round_up(end, page) - begin);
		at = end;
	}
	return r;
}

/* A file that cannot be read can still report how much it has. */
static int look_at_file(int fd, const struct luo_fd_info *info, struct luo_memfd_cost *cost)
{
	_cleanup_extents_ struct luo_extents x = LUO_EXTENTS_NONE;
	int r;

	r = luo_extents_open(fd, &x);
	if (r == -EACCES) {
		cost->data = info->allocated;
		return 0;
	}
	if (r >= 0)
		r = find_data(&x, cost);
	if (r >= 0 && info->preservable)
		look_at_pages(&x, cost);
	return r;
}

static void add_up(struct luo_memfd_cost *cost)
{
	uint64_t page = page_size();
	uint64_t whole = (uint64_t)luo_round_up((int64_t)cost->size, page);

	cost->data = MIN2(cost->data, whole);
	cost->holes = whole - cost->data;
	cost->small = cost->data - cost->huge;
	cost->kernel = BYTES_PER_FILE + (cost->small + cost->holes) / page * FOLIO_RECORD +
		       cost->huge / cost->huge_size * FOLIO_RECORD;
}

static unsigned advice_for_holes(const struct luo_memfd_cost *cost)
{
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	unsigned advice = cost->holes > LUO_SLOW_BYTES ? LUO_ADVICE_HOLES : 0;

	if (cost->holes > 0 && luo_memory_room(&room) == 0 && cost->holes > room.bytes)
		advice |= LUO_ADVICE_HOLES | LUO_ADVICE_NO_ROOM;
	return advice;
}

static unsigned advice_for(const struct luo_fd_info *info, const struct luo_memfd_cost *cost)
{
	uint64_t page = page_size();
	unsigned advice = 0;

	if (info->kind == LUO_KIND_HUGETLB)
		return LUO_ADVICE_HUGETLB;
	if (!info->preservable)
		return LUO_ADVICE_KIND;
	if (cost->size > UINT_MAX * page)
		advice |= LUO_ADVICE_TOO_LARGE;
	if (info->seals & ~CARRIED_SEALS)
		advice |= LUO_ADVICE_SEALS;
	if (info->seals & LUO_SEAL_EXEC)
		advice |= LUO_ADVICE_EXEC_SEAL;
	if (cost->small > LUO_SLOW_BYTES)
		advice |= LUO_ADVICE_SMALL_PAGES;
	if (cost->runs_known && cost->runs > LUO_SLOW_RUNS)
		advice |= LUO_ADVICE_SCATTERED;
	return advice | advice_for_holes(cost);
}

static enum luo_cost_class class_for(unsigned advice)
{
	if (advice &
	    (LUO_ADVICE_KIND | LUO_ADVICE_HUGETLB | LUO_ADVICE_TOO_LARGE | LUO_ADVICE_SEALS))
		return LUO_COST_REFUSED;
	if (advice & LUO_ADVICE_EXEC_SEAL)
		return LUO_COST_COPIED;
	return advice ? LUO_COST_SLOW : LUO_COST_FAST;
}

int luo_memfd_cost_check(const struct luo_memfd_cost *ret)
{
	return sized_struct_check(ret, COST_FIRST_SIZE);
}

void luo_memfd_cost_return(struct luo_memfd_cost *ret, const struct luo_memfd_cost *cost)
{
	(void)sized_struct_return(ret, COST_FIRST_SIZE, cost, sizeof(*cost));
}

_public_ int luo_memfd_cost(int fd, struct luo_memfd_cost *ret_cost)
{
	struct luo_memfd_cost cost = { .struct_size = sizeof(cost),
				       .huge_size = luo_huge_page_size() };
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	int r;

	r = luo_memfd_cost_check(ret_cost);
	if (r >= 0)
		r = luo_fd_inspect(fd, &info);
	if (r < 0)
		return r;
	if (S_ISREG(info.mode) && info.kind != LUO_KIND_PATH) {
		cost.size = info.size;
		r = look_at_file(fd, &info, &cost);
		if (r < 0)
			return r;
		add_up(&cost);
	}
	cost.advice = advice_for(&info, &cost);
	cost.cost_class = class_for(cost.advice);
	if (cost.cost_class == LUO_COST_REFUSED)
		cost.reason = info.reason ?: luo_memfd_advice_to_string(cost.advice);
	luo_memfd_cost_return(ret_cost, &cost);
	return 0;
}

_public_ const char *luo_cost_class_to_string(enum luo_cost_class cost_class)
{
	static const char *const names[] = { "fast", "slow", "copied", "refused" };

	return (unsigned)cost_class < ELEMENTSOF(names) ? names[cost_class] : "unknown";
}

_public_ const char *luo_memfd_advice_to_string(unsigned advice)
{
	static const char *const texts[] = {
		"the kernel can preserve memory files only: memfds and unlinked files on tmpfs",
		("hugetlb memory cannot be preserved: copy it into a memfd with transparent huge pages"), /* one, for clang */
		"it has more pages than the kernel can preserve in one file: use several",
		"it has a seal that the kernel cannot preserve",
		"the kernel would restore it read-only, because it is sealed against exec: it is carried as a copy",
		"its holes will be filled with memory: shrink it, or fill them before",
		"there is not enough memory to fill its holes",
		"much of it is in small pages: huge ones are preserved 100 times faster",
		"its pages are scattered, which slows down the boot of the next kernel",
	};
	int bit = __builtin_ffs((int)advice) - 1;

	return bit >= 0 && (size_t)bit < ELEMENTSOF(texts) ? texts[bit] : NULL;
}
