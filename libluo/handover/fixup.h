/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_HANDOVER_FIXUP_H
#define LIBLUO_HANDOVER_FIXUP_H

/*
 * Records, before the kexec, the attributes that the kernel drops or changes (mm/memfd_luo.c keeps
 * only content, size, offset and seals), and restores them after it. Internal.
 */

#include "libluo/store/internal.h"

/* The mode and owner of a retrieved memfd; equal values need not be recorded. */
#define LUO_KERNEL_MODE 0777

/*
 * Records the name of the memfd behind an entry, unless it is known. A name never changes, so this
 * can happen when the fd is stored, outside the blackout.
 */
int luo_entry_learn_name(struct luo_entry *entry);

/* Copies the attributes, with texts and extents. */
int luo_meta_copy(const struct luo_entry_meta *from, struct luo_entry_meta *ret_meta);

/*
 * Restores mode, owner, seals, O_APPEND and access of a retrieved file. Takes ownership of fd in
 * any case; *ret_fd may be another fd of the same file.
 */
int luo_fixup_consume_fd(int fd, const struct luo_entry_meta *meta, int *ret_fd);

#endif
