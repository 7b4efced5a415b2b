/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The size classes: 16 to 128 in steps of 16, then four for each doubling, so that rounding up
 * wastes at most a fifth of a large block. A slab has one page; from 10 KiB on it has the pages for
 * eight blocks. Block 0 is aligned as the size (to the largest power of 2 that divides it, up to
 * 4096), so all blocks are. The table is part of the format; a test computes it again.
 */

#include "libluo/heap/internal.h"
#include "common/util.h"

/* clang-format off */
const struct heap_class heap_classes[HEAP_CLASSES] = {
	/* size, first, blocks, pages, reciprocal */
	{ 16, 576, 4060, 1, UINT64_C(68719476736) },
	{ 32, 320, 2038, 1, UINT64_C(34359738368) },
	{ 48, 240, 1360, 1, UINT64_C(22906492246) },
	{ 64, 192, 1021, 1, UINT64_C(17179869184) },
	{ 80, 176, 817, 1, UINT64_C(13743895348) },
	{ 96, 160, 681, 1, UINT64_C(11453246123) },
	{ 112, 144, 583, 1, UINT64_C(9817068106) },
	{ 128, 128, 511, 1, UINT64_C(8589934592) },
	{ 160, 128, 408, 1, UINT64_C(6871947674) },
	{ 192, 128, 340, 1, UINT64_C(5726623062) },
	{ 224, 128, 292, 1, UINT64_C(4908534053) },
	{ 256, 256, 255, 1, UINT64_C(4294967296) },
	{ 320, 128, 204, 1, UINT64_C(3435973837) },
	{ 384, 128, 170, 1, UINT64_C(2863311531) },
	{ 448, 128, 146, 1, UINT64_C(2454267027) },
	{ 512, 512, 127, 1, UINT64_C(2147483648) },
	{ 640, 128, 102, 1, UINT64_C(1717986919) },
	{ 768, 256, 85, 1, UINT64_C(1431655766) },
	{ 896, 128, 73, 1, UINT64_C(1227133514) },
	{ 1024, 1024, 63, 1, UINT64_C(1073741824) },
	{ 1280, 256, 51, 1, UINT64_C(858993460) },
	{ 1536, 512, 42, 1, UINT64_C(715827883) },
	{ 1792, 256, 36, 1, UINT64_C(613566757) },
	{ 2048, 2048, 31, 1, UINT64_C(536870912) },
	{ 2560, 512, 25, 1, UINT64_C(429496730) },
	{ 3072, 1024, 21, 1, UINT64_C(357913942) },
	{ 3584, 512, 18, 1, UINT64_C(306783379) },
	{ 4096, 4096, 15, 1, UINT64_C(268435456) },
	{ 5120, 1024, 12, 1, UINT64_C(214748365) },
	{ 6144, 2048, 10, 1, UINT64_C(178956971) },
	{ 7168, 1024, 9, 1, UINT64_C(153391690) },
	{ 8192, 4096, 7, 1, UINT64_C(134217728) },
	{ 10240, 2048, 12, 2, UINT64_C(107374183) },
	{ 12288, 4096, 10, 2, UINT64_C(89478486) },
	{ 14336, 2048, 9, 2, UINT64_C(76695845) },
	{ 16384, 4096, 11, 3, UINT64_C(67108864) },
	{ 20480, 4096, 9, 3, UINT64_C(53687092) },
	{ 24576, 4096, 10, 4, UINT64_C(44739243) },
	{ 28672, 4096, 9, 4, UINT64_C(38347923) },
	{ 32768, 4096, 9, 5, UINT64_C(33554432) },
	{ 40960, 4096, 9, 6, UINT64_C(26843546) },
	{ 49152, 4096, 9, 7, UINT64_C(22369622) },
	{ 57344, 4096, 9, 8, UINT64_C(19173962) },
	{ 65536, 4096, 8, 9, UINT64_C(16777216) },
	{ 81920, 4096, 8, 11, UINT64_C(13421773) },
	{ 98304, 4096, 8, 13, UINT64_C(11184811) },
	{ 114688, 4096, 8, 15, UINT64_C(9586981) },
	{ 131072, 4096, 8, 17, UINT64_C(8388608) },
};
/* clang-format on */
