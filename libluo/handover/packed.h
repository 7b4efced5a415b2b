/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_PACKED_H
#define LIBLUO_HANDOVER_PACKED_H

/*
 * Files that are carried as a copy. Internal.
 *
 * Preserving fills the holes of a file with memory that is never given back, and a memfd with
 * F_SEAL_EXEC is restored read-only. Both are carried as a plain memfd. A sparse file is carried as
 * its extents, one behind the other, with their list in the mapping.
 */

#include "libluo/store/internal.h"

/*
 * Lists the data extents of a file. -E2BIG if there are more than LUO_MAPPING_EXTENTS_MAX.
 * @ret_bytes: sum of the lengths
 */
int luo_extents_list(int fd, uint64_t size, struct luo_extent **ret_extents, size_t *ret_n,
		     uint64_t *ret_bytes);

/* Makes the packed copy: a plain memfd that holds only the extents. */
int luo_pack(int fd, const struct luo_extent *extents, size_t n, int *ret_fd);

/* Makes a new memfd of the old name and size with the data at its offsets. */
int luo_unpack(int packed_fd, const struct luo_entry_meta *meta, int *ret_fd);

#endif
